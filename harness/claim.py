"""Claims: published figures, kept as printed, and how they are judged."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Literal

from harness.declaration import DeclarationError, declared

TIMES = ("throughput", "latency", "total", "speedup")
"""Metrics that are times: samples a second, milliseconds a call; and, listed and judged nowhere, seconds for a set of
unstated size, and how many times as fast one device is as another."""
PERCENT = "%"
"""The unit of a share that is printed as per cent."""
SIZE = "size"
"""The metric of a claim on the size of an artefact, in MB of 10^6 bytes."""
LIKENESS = "cosine"
"""The metric of a claim on how alike the outputs of a device and of ONNX Runtime are: the mean over pictures."""
Clock = Literal["device", "device+copies", "host", "cpu", "sum-of-calls", "end-to-end"]


@declared
class Claim:
    """One figure of a reference.

    ``printed`` is the figure as its source prints it. With ``hits`` and ``n`` the declaration is checked:
    hits / (n + epsilon), truncated or rounded to the printed digits, must give it; vendors do both. ``allow`` says how
    far below the figure a measurement may fall, absolute for metrics in [0, 1] and relative for times and sizes, and
    ``because`` says why. Better than published is never a failure. ``part`` names the one set of words that it is
    about, where the data are several, ``form`` the one that a file's size is of, and ``size`` height and width of the
    picture that a time is of (``736x1280``). ``precisions`` are those that must reach
    it: a device that computes in half precision may have to reach what was measured in single precision. ``fails`` says
    what is published to go wrong there, in the place of a figure: such a claim is told, and nothing has to fail.
    """

    metric: str
    printed: str
    source: str
    hits: int | None = None
    n: int | None = None
    epsilon: float = 0.0
    allow: float = 0.0
    because: str = ""
    unit: str = ""
    clock: Clock | None = None
    device: str = ""
    batch: int | None = None
    size: str = ""
    doubts: str = ""
    part: str = ""
    precisions: tuple[str, ...] = ("fp32",)
    form: str = ""
    fails: str = ""

    def __post_init__(self) -> None:
        where = f"Claim({self.metric} {self.printed})"
        if (self.hits is None) != (self.n is None):
            raise DeclarationError(f"{where}: hits and n go together, got hits={self.hits}, n={self.n}")
        if self.allow and not self.because:
            raise DeclarationError(f"{where}.because: missing; an allowance of {self.allow} needs its reason")
        if self.is_time and self.clock is None:
            raise DeclarationError(f"{where}.clock: missing; a time without its clock cannot be compared")
        if self.metric == "latency" and (self.unit, self.batch is None) != ("ms", False):
            raise DeclarationError(
                f"{where}: a latency is in ms, of a call at a batch; found {self.unit!r}, {self.batch}"
            )
        if self.is_size and (self.unit != "MB" or not self.form):
            raise DeclarationError(f"{where}: a size is in MB, of a form; found {self.unit!r}, {self.form!r}")
        if bool(self.fails) == _is_number(self.printed):
            raise DeclarationError(
                f"{where}.printed: write the figure alone, as in '0.7923'; what stands there instead needs ``fails``"
            )
        if self.hits is not None and self.n is not None:
            if not 0 <= self.hits <= self.n or self.n == 0:
                raise DeclarationError(f"{where}: hits={self.hits} of n={self.n} is no share of samples")
            found = printings(self.hits, self.n, self.epsilon, self.printed)
            if Decimal(self.printed) not in found:
                raise DeclarationError(
                    f"{where}: hits/n = {self.hits}/{self.n} prints as {' or '.join(map(str, sorted(found)))}, "
                    f"not as {self.printed}"
                )

    @property
    def is_time(self) -> bool:
        """Whether a clock gives this figure, and not a comparison with the truth."""
        return self.metric in TIMES

    @property
    def is_size(self) -> bool:
        """Whether it is about the size of an artefact, which *build* judges."""
        return self.metric == SIZE

    @property
    def is_likeness(self) -> bool:
        """Whether it compares a device with this machine, which *agreement* does."""
        return self.metric == LIKENESS

    @property
    def point(self) -> str | None:
        """The id of the point that a time is of; nothing where no batch is stated."""
        if self.batch is None:
            return None
        return f"bs{self.batch}_{self.size}" if self.size else f"bs{self.batch}"

    @property
    def value(self) -> float:
        """The figure: exactly hits / (n + epsilon) where they are known, else as printed; a latency as samples/s, per
        cent as a share. 0 of a failure."""
        if self.metric == "latency" and self.batch is not None:
            return 1000 * self.batch / float(self.printed)
        if self.hits is not None and self.n is not None:
            return self.hits / (self.n + self.epsilon)
        return self._stated

    @property
    def floor(self) -> float:
        """The least value that is not a failure; of times in samples a second."""
        if self.is_time:
            return self.value * (1 - self.allow)
        return min(self.value, self._stated) - self.allow

    @property
    def _stated(self) -> float:
        """What is printed, as a number."""
        if self.fails:
            return 0.0
        return float(Decimal(self.printed) / 100) if self.unit == PERCENT else float(self.printed)


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except ArithmeticError:
        return False


def printings(hits: int, n: int, epsilon: float, printed: str) -> set[Decimal]:
    """hits / (n + epsilon) truncated and rounded to as many digits as ``printed`` has after the point."""
    exact = Decimal(hits) / (Decimal(n) + Decimal(repr(epsilon)))
    quantum = Decimal(1).scaleb(Decimal(printed).as_tuple().exponent)  # type: ignore[arg-type]
    return {exact.quantize(quantum, rounding=mode) for mode in (ROUND_DOWN, ROUND_HALF_UP)}
