"""What a declaration says of one form of a network on its way to the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from harness.declaration import DeclarationError, Scalar, declared
from harness.quantisation import Quantisation
from harness.sizes import TensorSpec

Promise = Literal["none", "exact", "close", "lossy", "opaque"]
"""What a form keeps of the form it is compared with: ``exact`` the same numbers, ``close`` up to float noise, ``none``
where nothing before it runs. A ``lossy`` form is a declared change, whose loss is measured: the share of answers that
stay the same. An ``opaque`` form means nothing on its own: it is built and inspected, never run."""
Format = Literal["weights", "paddle", "torch", "onnx"]
"""What a form's files are. Weights and Paddle programs are built and inspected; what runs is torch and ONNX."""
RUNS = ("torch", "onnx")
QUANTISABLE = "quantisable"
Precision = Literal["fp32", "fp64", "fp16", "int16", "int8"]


@declared
class Form:
    """One shape of the network on its way to the device.

    ``step`` names what makes it from its parent (``"package.module:name"``, a ``harness.step.Step``). ``against`` names
    the form that its promise is about, where that is not the nearest ancestor that runs. ``references`` are those that
    can make it, all where none is named: only a published Paddle program can be converted. ``equal`` is the least share
    of answers that a ``lossy`` form leaves as they were, and ``because`` says what it loses them by. ``operators``,
    ``nodes`` and ``parameters`` are exact figures of the full-size form, declared and changed on purpose.

    ``outputs`` are its own where they are not the model's, and those of the forms made from it; ``reduce`` then names
    what makes them of the outputs that came before, so that the two can be compared. A ``static`` form has no open
    axis: it is made anew for each point. ``quantisation`` says how an integer form comes about:
    see ``quantised``.
    """

    name: str
    parent: str | None
    step: str
    format: Format
    promise: Promise = "none"
    against: str | None = None
    equal: float | None = None
    because: str = ""
    references: tuple[str, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    reduce: str = ""
    static: bool = False
    quantisation: Quantisation | None = None
    precision: Precision = "fp32"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    opset: int | None = None
    nodes: int | None = None
    operators: Mapping[str, int] = field(default_factory=dict)
    parameters: int | None = None

    @property
    def runs(self) -> bool:
        """Whether a backend can run it and its numbers mean something."""
        return self.format in RUNS and self.promise != "opaque"


def quantisation_of(form: Form) -> Quantisation:
    """How a quantised form comes about. Raises ``DeclarationError`` for any other."""
    if form.quantisation is None:
        raise DeclarationError(f"{form.name}: is not a quantised form")
    return form.quantisation


def quantisable(parent: str, **figures: Any) -> Form:
    """The form that integer ones are made of: a graph in single precision as the quantiser wants it. ``figures`` are
    those that its file must show."""
    step = "harness.quantize.quantisable:quantisable"
    return Form(name=QUANTISABLE, parent=parent, step=step, format="onnx", promise="close", **figures)


def quantised(
    name: str, how: Quantisation, *, equal: float, because: str, parent: str = QUANTISABLE, **figures: Any
) -> Form:
    """The integer form of a quantisable one: weights of 8 bits, activations of as many as ``how`` says.

    Its precision is that of the activations. ``equal`` and ``because`` are those of any ``lossy`` form, of answers on
    the samples that accuracy is asked of; ``figures`` are those that its file must show.
    """
    return Form(
        name=name,
        parent=parent,
        step="harness.quantize.quantise:quantise",
        format="onnx",
        precision="int8" if how.bits == 8 else "int16",
        promise="lossy",
        equal=equal,
        because=because,
        quantisation=how,
        **figures,
    )
