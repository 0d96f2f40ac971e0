"""Plays the tools of TS.Knight on a machine without them: what they take, print, write and return, bad habits included.

Networks are quantised and run by ONNX Runtime, so the numbers are those of another quantiser. Whatever is not published
of the tools is played in one of the ways that are known of their neighbours. Everything that names a version says
``stand-in``, so that nobody takes these tools for the vendor's.
"""

import sys

VERSION = "1.1.0.7 stand-in"


def say(*lines: str) -> None:
    """Prints lines to standard output, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
