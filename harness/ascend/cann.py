"""Versions of CANN, in their order: ``8.0.RC2`` before ``8.0.0``, ``5.0.4.6`` after ``5.0.4``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.verdict import Broken

NUMBERS = re.compile(r"\d+(?:\.\d+)*")
CANDIDATE = re.compile(r"RC(\d+(?:\.\d+)*)", re.IGNORECASE)
EARLY = re.compile(r"(alpha|beta)[.-]?(\d+)", re.IGNORECASE)
LENGTH = 4
"""Numbers in the longest versions, such as 5.0.4.6; shorter ones end in noughts."""
RELEASED = (1,)


@dataclass(frozen=True, order=True)
class Cann:
    """A version of CANN. Two that compare equal are the same release, however it is spelt: ``7.0`` and ``7.0.0``.

    Alphas and betas come before what they lead to, release candidates before the release. A word that is none of these
    (``8.0.T63``, ``7.0.stand-in``) names a build of that release, and changes no order.
    """

    key: tuple[tuple[int, ...], ...]
    text: str = field(compare=False)

    @classmethod
    def of(cls, text: str) -> Cann:
        """The version that a text names. Raises ``Broken`` where it does not begin with a number."""
        text = text.strip()
        found = NUMBERS.match(text)
        if found is None:
            raise Broken(f"CANN version {text!r}: expected numbers first, as in 6.0.RC1, 5.0.4.6 or 8.0.0")
        rest = text[found.end() :]
        candidate, early = CANDIDATE.search(rest), EARLY.search(rest)
        stage = (0, *_numbers(candidate[1])) if candidate else RELEASED
        ahead = (0, len(early[1]) == len("beta"), int(early[2])) if early else RELEASED
        return cls((_padded(_numbers(found[0])), stage, ahead), text)

    def __str__(self) -> str:
        return self.text


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))


def _padded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return numbers + (0,) * (LENGTH - len(numbers))
