"""Names of places in a page."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 160


class Anchors:
    """Gives every thing an id that no other thing has: its own name, as far as an id can hold it.

    The first thing of a name gets the name itself, so what must keep a stable id is asked for first.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._ids: dict[tuple[str, ...], str] = {}
        self._taken = set(taken)

    def of(self, kind: str, *names: str) -> str:
        """The id of a thing: ``accuracy-crnn-ort-fp32-bs8-bundled``. ``kind`` tells things of the same name apart."""
        thing = (kind, *names)
        if thing not in self._ids:
            # An id holds no space, and a percent sign in a link means something else.
            wanted = re.sub(r"[^\w.~-]+", "_", "-".join(names))[:LONGEST] or kind
            found, number = wanted, 1
            while found in self._taken:
                number += 1
                found = f"{wanted}-{number}"
            self._ids[thing] = found
            self._taken.add(found)
        return self._ids[thing]
