"""What is known of every recorded output of atc, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.ascend import atc
from tests.ascend_devices import captures

Facts = Mapping[str, Any]


def compiled(text: str) -> Facts:
    read = atc.judge(text, 0, ["yolox.om", "kernel_meta", "fusion_result.json"], "yolox")
    return {
        "artefact": read.artefact,
        "problems": read.problems,
        "warnings": [(one.code, one.operators) for one in read.warnings],
        "errors": read.errors,
    }


def failed(text: str) -> Facts:
    read = atc.judge(text, 255, [], "net")
    return {
        "artefact": read.artefact,
        "codes": [one.code for one in read.errors],
        "text": read.errors[0].text,
        "operators": read.errors[0].operators,
        "optypes": read.errors[0].optypes,
        "environment": read.environment,
    }


def surroundings(text: str) -> list[tuple[list[str], str, str]]:
    read = [atc.judge(capture, 255, [], "net") for capture in captures(text)]
    return [
        ([message.code for message in one.errors], one.environment.what, one.environment.line)
        for one in read
        if one.environment
    ]


def probed(text: str) -> Facts:
    for capture in captures(text):
        atc.check_loads(capture, 255)
    read = [atc.judge(capture, 255, [], "net").errors for capture in captures(text)]
    return {"codes": [one[0].code for one in read], "newer": read[1][0].text}


PYTHON = "a module of the toolkit's Python cannot be imported"
CONV = ("Conv_52", "Conv_112", "Conv_172", "Conv_232", "Conv_292")
NO_PARSER = "No parser is registered for Op [Conv_52, optype [ai.onnx::11::Convx]]."
FACTS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "atc-1.txt": (
        compiled,
        {
            "artefact": "yolox.om",
            "problems": (),
            "warnings": [("W11001", (f"Slice_{number}",)) for number in (29, 9, 39, 19)],
            "errors": (),
        },
    ),
    "atc-10.txt": (
        surroundings,
        [
            (["E40000"], PYTHON, "E40000: Failed to import te.platform.log_util."),
            (
                ["EC0010"],
                PYTHON,
                "EC0010: Failed to import Python module [ModuleNotFoundError: No module named 'decorator'.].",
            ),
            (
                [],
                "a library cannot be loaded",
                "/home/channy/Ascend/ascend-toolkit/8.0.0/x86_64-linux/bin/atc.bin: error while loading shared "
                "libraries: libascend_hal.so: cannot open shared object file: No such file or directory",
            ),
        ],
    ),
    "atc-11.txt": (
        failed,
        {
            "artefact": None,
            "codes": ["E10001"],
            "text": "Value [-1] for parameter [Inputs] is invalid. Reason: maybe you should set input_shape to specify "
            "its shape",
            "operators": (),
            "optypes": (),
            "environment": None,
        },
    ),
    "atc-2.txt": (
        failed,
        {
            "artefact": None,
            "codes": ["E19010"],
            "text": NO_PARSER,
            "operators": CONV,
            "optypes": ("ai.onnx::11::Convx",),
            "environment": None,
        },
    ),
    "atc-4.txt": (
        failed,
        {
            "artefact": None,
            "codes": ["EZ3002"],
            "text": "Optype [Convx] of Ops kernel [AICORE] is unsupported.",
            "operators": (),
            "optypes": ("Convx",),
            "environment": None,
        },
    ),
    "atc-6.txt": (
        failed,
        {
            "artefact": None,
            "codes": ["EZ9010"],
            "text": NO_PARSER,
            "operators": CONV,
            "optypes": ("ai.onnx::11::Convx",),
            "environment": None,
        },
    ),
    "atc-7.txt": (
        failed,
        {
            "artefact": None,
            "codes": ["E19025"],
            "text": "Input tensor is invalid. Reason:",
            "operators": (),
            "optypes": (),
            "environment": None,
        },
    ),
    "atc-8.txt": (
        probed,
        {
            "codes": ["E10054", "E10007"],
            "newer": "[--framework] is required. The value must be [0(Caffe) or 1(MindSpore) or 3(TensorFlow) or "
            "5(Onnx)].",
        },
    ),
}
