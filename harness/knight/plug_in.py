"""The Python file with the user's inference function that the quantiser calls, generated for prepared inputs.

The tool calls it several times: on the float graph, where it watches what is forwarded in order to find ranges, and on
the quantised one; and again where it is only asked to infer. It runs on the Python of the tool, 3.8 in the vendor's
images, and needs nothing but NumPy.
"""

from __future__ import annotations

from pathlib import Path

TEMPLATE = '''"""Forwards prepared inputs, one a file, and keeps what comes back. Generated."""
import os

import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func

INPUTS = {inputs!r}
OUTPUTS = {outputs!r}
COUNT = {count!r}


# The manual asks for a decorator with the name of the function.
@onnx_infer_func.register({function!r})
def {function}(executor):
    done = 0
    for number in range(COUNT):
        found = executor.forward(np.load(os.path.join(INPUTS, "%d.npy" % number), allow_pickle=False))
        if OUTPUTS is not None:
            for k, value in enumerate(found):
                np.save(os.path.join(OUTPUTS, "%d_%d.npy" % (number, k)), np.asarray(value))
        done += 1
        if done == executor.iteration:
            break
    # The tool takes this for an accuracy, of which it prints the loss from float to quantised graph. Accuracy is
    # judged elsewhere, with truths that are not here, so it is given how many inputs were forwarded: a loss of nothing.
    print("metric: " + repr({{"samples": done}}))
    return done
'''


def plug_in(function: str, inputs: Path, count: int, outputs: Path | None = None) -> str:
    """The source of a plug-in that registers ``function`` and forwards ``inputs/0.npy`` to ``count`` less one, as far
    as the tool's iterations go; outputs go to ``outputs/N_K.npy``, K being the number of the output."""
    kept = None if outputs is None else str(outputs)
    return TEMPLATE.format(function=function, inputs=str(inputs), outputs=kept, count=count)
