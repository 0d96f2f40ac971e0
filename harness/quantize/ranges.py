"""Ranges on disk: the file that ONNX Runtime's quantiser reads in the place of calibrating itself.

It is ``calibration_cache_path`` of ``onnxruntime.quantization.quantize_static``. A cache names its method and is
refused for another; these are always called ``MinMax``, whatever rule found them: of that method no histograms are
asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.verdict import Refused

RANGES = "ranges.json"
"""The file of ranges in an artefact."""


def write_ranges(path: Path, ranges: Mapping[str, tuple[float, float]]) -> None:
    """The lowest and the highest number of each tensor as a calibration cache, rounded to float32; by name."""
    from onnxruntime.quantization import calibrate

    held = {
        name: calibrate.TensorData(
            lowest=np.array([ranges[name][0]], np.float32), highest=np.array([ranges[name][1]], np.float32)
        )
        for name in sorted(ranges)
    }
    calibrate.save_tensors_data(calibrate.TensorsData(calibrate.CalibrationMethod.MinMax, held), path)


def read_ranges(path: Path) -> dict[str, tuple[float, float]]:
    """The lowest and the highest number of each tensor. Raises ``Refused`` where the file is no such cache, or a range
    is not finite or does not hold zero."""
    from onnxruntime.quantization import calibrate

    try:
        held = calibrate.load_tensors_data(path)
        ranges = {name: (float(data.lowest.item()), float(data.highest.item())) for name, data in held.items()}
        method = held.calibration_method
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"{path}: not a calibration cache of ONNX Runtime: {type(error).__name__}: {error}; build it anew"
        ) from error
    if method is not calibrate.CalibrationMethod.MinMax:
        raise Refused(f"{path}: ranges by {method}, expected CalibrationMethod.MinMax; build it anew")
    for name, (lowest, highest) in ranges.items():
        if not (math.isfinite(lowest) and math.isfinite(highest) and lowest <= 0 <= highest):
            raise Refused(f"{path}: {name} has the range {lowest:g} to {highest:g}, expected finite and around zero")
    return ranges
