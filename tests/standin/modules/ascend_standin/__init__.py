"""Plays Ascend's tools on a machine without a device: what they take, print, write and return, bad habits included.

Networks run in ONNX Runtime on the processor, so the numbers are true ones, and the times are those of the processor.
Everything that names a version says ``stand-in``, so that nobody takes these tools for the vendor's.
"""

import sys

VERSION = "7.0.stand-in"


def say(*lines: str) -> None:
    """Prints lines to standard output, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
