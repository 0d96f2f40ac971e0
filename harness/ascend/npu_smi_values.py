"""Values that ``npu-smi`` prints, by the name of their column or key; ``NA`` and ``-`` are no value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from harness.ascend.printed import NUMBER, figure, unexpected
from harness.process.faults import shown
from harness.verdict import Broken

FAILED = re.compile(r"dcmi module initialize failed|DrvMng\w+ failed|\bdcmi\b.*\bret(?:=| is )-?[0-9]+")
UNKNOWN = ("NA", "N/A", "-", "--")
WHOLE = re.compile(r"[0-9]{1,18}")
DECIMAL = re.compile(NUMBER)
SHARE = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")

Value = TypeVar("Value")


@dataclass(frozen=True)
class Share:
    """How much of something is used, in its column's unit: MB, or pages."""

    used: int
    total: int


@dataclass(frozen=True)
class Row:
    """Values by the name of their column, and the line that they come from. Every reading raises ``Broken`` with that
    line where the value is of another kind."""

    tool: str
    line: str
    values: dict[str, str]

    def known(self, name: str) -> str | None:
        """The value; nothing where there is none, or it is not known."""
        value = self.values.get(name)
        return None if not value or value in UNKNOWN else value

    def number(self, name: str) -> int:
        """A whole number that must be there."""
        value = self.whole(name)
        if value is None:
            raise unexpected(self.tool, f"a whole number as {name}", self.line)
        return value

    def whole(self, name: str) -> int | None:
        """A whole number, if any."""
        return self._read(name, WHOLE, lambda found: int(found[0]))

    def decimal(self, name: str) -> float | None:
        """A finite number, if any."""
        return self._read(name, DECIMAL, lambda found: figure(self.tool, found[0], self.line))

    def share(self, name: str) -> Share | None:
        """Both numbers of ``used/total``, if any."""
        return self._read(name, SHARE, lambda found: Share(int(found[1]), int(found[2])))

    def _read(self, name: str, form: re.Pattern[str], make: Callable[[re.Match[str]], Value]) -> Value | None:
        text = self.known(name)
        found = None if text is None else form.fullmatch(text)
        if text is not None and not found:
            raise unexpected(self.tool, f"a number as {name}", self.line)
        return make(found) if found else None


def answered(tool: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines, where the driver answered at all; else raises ``Broken`` with its line."""
    failed = next((line for line in lines if FAILED.search(line)), None)
    if failed:
        raise Broken(
            f"{tool}: the driver does not answer: {shown(failed)!r}; load the driver, give this container the "
            "devices, or run as a member of the group HwHiAiUser"
        )
    return lines
