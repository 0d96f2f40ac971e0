"""Sizes: the axes of inputs and outputs, and the points that bind those which are open."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from harness.declaration import DeclarationError, choose, declared

BATCH = "batch"
"""The symbol of the batch axis in a ``TensorSpec``."""


@declared
class Symbol:
    """An axis whose size a point binds: ``low`` to ``high`` in steps of ``multiple``, which divides both."""

    name: Literal["height", "width"]
    low: int
    high: int
    multiple: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high or self.low % self.multiple or self.high % self.multiple:
            raise DeclarationError(
                f"Symbol({self.name}): {self.low} to {self.high} in steps of {self.multiple}; expected a range that "
                "begins and ends at a multiple"
            )

    def __str__(self) -> str:
        return self.name

    def bound(self, size: int) -> int:
        """The size. Raises ``DeclarationError`` where it is none that the network takes, with the nearest ones."""
        if self.low <= size <= self.high and size % self.multiple == 0:
            return size
        below = min(max(size // self.multiple * self.multiple, self.low), self.high)
        nearest = sorted({below, min(below + self.multiple, self.high)})
        raise DeclarationError(
            f"{self.name} {size}: expected a multiple of {self.multiple} from {self.low} to {self.high}, such as "
            f"{' or '.join(map(str, nearest))}"
        )


@declared
class Point:
    """The sizes that are bound for a run: a batch, and height and width of the picture where those are symbols.

    ``slow`` where measuring it takes over a minute. ``memory`` is the most that a session may take there, in MiB.
    ``compiled`` where it is for devices alone: a guide's batch of large pictures, which a processor takes minutes for.
    """

    batch: int
    height: int | None = None
    width: int | None = None
    slow: bool = False
    memory: int | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise DeclarationError(f"Point: height {self.height} and width {self.width} go together")

    @property
    def id(self) -> str:
        """``bs8``, or ``bs1_736x1280`` with height and width."""
        return f"bs{self.batch}" if self.height is None else f"bs{self.batch}_{self.height}x{self.width}"


@declared
class TensorSpec:
    """An input or output: its name, its axes (an int, ``BATCH``, or a ``Symbol``) and its numpy dtype."""

    name: str
    axes: tuple[int | str | Symbol, ...]
    dtype: Literal["float32", "float64", "int64", "int32", "uint8"]

    def __post_init__(self) -> None:
        for axis in self.axes:
            if isinstance(axis, str):
                choose(f"TensorSpec({self.name}).axes", axis, (BATCH,))

    @property
    def batch_axis(self) -> int:
        """Where the batch lies; 0 in most tensors, 1 in CRNN's output."""
        return self.axes.index(BATCH)

    @property
    def is_float(self) -> bool:
        """Whether it holds measures, and not classes or counts."""
        return self.dtype.startswith("float")

    @property
    def smallest(self) -> TensorSpec:
        """With the lowest sizes in the place of symbols."""
        axes = [axis.low if isinstance(axis, Symbol) else axis for axis in self.axes]
        return replace(self, axes=tuple(axes))

    @property
    def named(self) -> tuple[int | str, ...]:
        """The axes as a graph names them: an int, or the symbol's name."""
        return tuple(axis.name if isinstance(axis, Symbol) else axis for axis in self.axes)

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The axes that a point binds."""
        return tuple(axis for axis in self.axes if isinstance(axis, Symbol))

    @property
    def item(self) -> tuple[int, ...]:
        """The shape of one item, without the batch axis. Raises ``DeclarationError`` where sizes are open."""
        if self.symbols:
            raise DeclarationError(f"{self.name}: {self.symbols[0].name} is open; ask at a point that binds it")
        return tuple(axis for axis in self.axes if isinstance(axis, int))

    def shape(self, batch: int) -> tuple[int, ...]:
        """The shape at a batch size. Raises ``DeclarationError`` where other sizes are open."""
        shape = list(self.item)
        shape.insert(self.batch_axis, batch)
        return tuple(shape)

    def bound(self, point: Point) -> TensorSpec:
        """With every axis a size, that of the batch too."""
        return replace(self, axes=self.at(point).shape(point.batch))

    def at(self, point: Point) -> TensorSpec:
        """With the sizes of a point in the place of symbols. Raises ``DeclarationError`` for one that a symbol does not
        take, or that the point does not bind."""
        sizes = {"height": point.height, "width": point.width}
        axes = [axis.bound(sizes[axis.name] or 0) if isinstance(axis, Symbol) else axis for axis in self.axes]
        return replace(self, axes=tuple(axes)) if self.symbols else self
