"""What a declaration says of a backend that compiles: the options of its tools, as the guide gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from harness.declaration import DeclarationError, Scalar, declared
from harness.sizes import Point


@declared
class Recipe:
    """How a backend that compiles takes a model.

    ``precision`` is what the compiler is told to compute in, always explicitly. ``options`` are the compiler's, by name
    with underscores, and ``environment`` its variables; model, output, shapes, device and precision are set by the
    backend. ``toolkits`` are the versions of the toolkit that the model is meant for. ``compiles`` names, by a form
    that is deployed, the form whose file the compiler is given in its place: the same network in a spelling that ONNX
    Runtime does not take. ``dynamic`` asks for one artefact for the range of all points instead of one a point, and
    ``sizes`` are the least and the largest height and width that it takes; points beyond them are not asked of it.
    ``points`` names the only ones that are, where a guide's tools take no others. ``loop`` is how often pure inference
    executes, ``outputs`` the format of output files.

    What a device may lose is declared by the form that is the deployed one in the recipe's precision, or by the one
    that ``foretold`` names for a deployed form: a quantised one is made of another form than what is deployed.
    """

    precision: Literal["fp16", "fp32", "int16", "int8"]
    toolkits: tuple[str, ...]
    options: Mapping[str, Scalar] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    compiles: Mapping[str, str] = field(default_factory=dict)
    foretold: Mapping[str, str] = field(default_factory=dict)
    dynamic: bool = False
    sizes: tuple[int, ...] = ()
    points: tuple[str, ...] = ()
    loop: int = 50
    outputs: Literal["bin", "txt"] = "bin"

    def takes(self, point: Point) -> bool:
        """Whether a point lies within the sizes, and is one of the points where some are named."""
        if self.points and point.id not in self.points:
            return False
        bound = [size for size in (point.height, point.width) if size is not None]
        return not self.sizes or all(self.sizes[0] <= size <= self.sizes[1] for size in bound)

    def __post_init__(self) -> None:
        if not 1 <= self.loop <= 100:
            raise DeclarationError(f"Recipe.loop: {self.loop}, expected 1 to 100, which every runner takes")
        if self.sizes and (len(self.sizes) != 2 or not self.dynamic or self.sizes[0] > self.sizes[1]):
            raise DeclarationError(
                f"Recipe.sizes: {self.sizes}, expected the least and the largest of a dynamic recipe"
            )
        if not self.toolkits:
            raise DeclarationError("Recipe.toolkits: empty; name the toolkit versions that the model is meant for")
