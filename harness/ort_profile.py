"""What ONNX Runtime's profiler wrote: which node ran where, and how long it took in each run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.verdict import Broken

LARGEST = 2**26
"""Bytes of a profile that is read. A run of a network of a thousand nodes takes less than one million."""
NODE, SESSION = "Node", "Session"
RUN = "model_run"
"""The event of one ``InferenceSession.run``; its nodes lie within it."""
TIMED = "_kernel_time"
"""What the name of a node's event ends with. Earlier versions also wrote the fences around it."""
SMALL = 0.005
"""Operators below this share of the time are told together."""
OTHERS = "others"
SHARE, NODES, MS = "share: ", "nodes: ", "ms: "
"""What the names of an operator's figures begin with in a record."""


class ProfileError(Broken):
    """A profile is not one, or not of the runs that were asked for."""


@dataclass(frozen=True)
class Kernel:
    """One node as it ran, in the graph as ONNX Runtime made it: ``microseconds`` is the least that any run but the
    first took, by wall clock, as neighbours stretch single runs and shorten none."""

    name: str
    operator: str
    provider: str
    microseconds: int


@dataclass(frozen=True)
class Operator:
    """All nodes of one type: how many, how long, and the share of the time of all nodes."""

    name: str
    nodes: int
    microseconds: int
    share: float


@dataclass(frozen=True)
class Profile:
    """The nodes of a session, and how many runs they were timed in, the first one left out."""

    kernels: tuple[Kernel, ...]
    runs: int

    @property
    def providers(self) -> Mapping[str, int]:
        """How many nodes ran on each provider."""
        return Counter(kernel.provider for kernel in self.kernels)

    @property
    def operators(self) -> tuple[Operator, ...]:
        """A line for each type of node, the longest first."""
        nodes = Counter(kernel.operator for kernel in self.kernels)
        spent: Counter[str] = Counter()
        for kernel in self.kernels:
            spent[kernel.operator] += kernel.microseconds
        whole = max(spent.total(), 1)
        ranked = sorted(nodes, key=lambda name: (-spent[name], name))
        return tuple(Operator(name, nodes[name], spent[name], spent[name] / whole) for name in ranked)

    @property
    def told(self) -> tuple[Operator, ...]:
        """The operators that take time, and those that take little as one."""
        small = [each for each in self.operators if each.share < SMALL]
        nodes, spent = (sum(getattr(each, name) for each in small) for name in ("nodes", "microseconds"))
        rest = Operator(OTHERS, nodes, spent, sum(each.share for each in small))
        return (*(each for each in self.operators if each.share >= SMALL), *([rest] if small else []))


def read_profile(path: Path) -> Profile:
    """The profile in a file of ``end_profiling``. Raises ``ProfileError`` where it cannot be read, is too large, is no
    profile, or holds fewer than two runs: the first only warms up. Without any node its profile is empty."""
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise ProfileError(f"{path}: a profile of {size} bytes, expected at most {LARGEST}; profile fewer runs")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path}: the profile cannot be read: {error}; expected JSON of ONNX Runtime") from error
    return parse_profile(text, str(path))


def parse_profile(text: str, where: str) -> Profile:
    """The profile in a text; what it raises names ``where`` it stood."""
    try:
        events = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{where}: no profile: {error}; expected a JSON list of events, whole") from error
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ProfileError(f"{where}: no profile: expected a JSON list of events")
    runs = sorted(_span(event, where) for event in events if (event.get("cat"), event.get("name")) == (SESSION, RUN))
    if len(runs) < 2:
        raise ProfileError(f"{where}: {len(runs)} runs ({RUN}), expected at least 2, of which the first only warms up")
    timed = [_by_node(within, where) for within in _split(events, runs, where)][1:]
    nodes = dict.fromkeys(node for found in timed for node in found)
    kernels = (Kernel(*node[:3], min(found[node] for found in timed if node in found)) for node in nodes)
    return Profile(tuple(kernels), len(timed))


def _split(
    events: Sequence[Mapping[str, Any]], runs: Sequence[tuple[int, int]], where: str
) -> Iterator[list[Mapping[str, Any]]]:
    """The events of nodes of each run, by time: threads and files may give them in any order."""
    nodes = [event for event in events if event.get("cat") == NODE and str(event.get("name", "")).endswith(TIMED)]
    within: list[list[Mapping[str, Any]]] = [[] for _ in runs]
    for event in nodes:
        began, _ = _span(event, where)
        # Before the first run nothing runs; what a run started belongs to it.
        number = next((at for at in reversed(range(len(runs))) if runs[at][0] <= began), None)
        if number is None:
            raise ProfileError(f"{where}: {event['name']} at {began} us, before the first run at {runs[0][0]} us")
        within[number].append(event)
    yield from within


def _by_node(events: Sequence[Mapping[str, Any]], where: str) -> dict[tuple[str, str, str, str], int]:
    """Microseconds by name, operator, provider and number in the graph; of a node that runs more often, all of them."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for event in events:
        arguments = event.get("args")
        arguments = arguments if isinstance(arguments, dict) else {}
        operator, provider = (arguments.get(name) for name in ("op_name", "provider"))
        if not (isinstance(operator, str) and operator and isinstance(provider, str) and provider):
            raise ProfileError(
                f"{where}: {event['name']} has operator {operator!r} and provider {provider!r}, expected two names"
            )
        name = str(event["name"]).removesuffix(TIMED)
        found[name, operator, provider, str(arguments.get("node_index", ""))] += _span(event, where)[1]
    return found


def _span(event: Mapping[str, Any], where: str) -> tuple[int, int]:
    """When an event began and how long it took, in microseconds."""
    began, took = event.get("ts"), event.get("dur")
    if type(began) is not int or type(took) is not int or began < 0 or took < 0:
        raise ProfileError(
            f"{where}: {event.get('name')!r} has ts {began!r} and dur {took!r}, expected whole microseconds"
        )
    return began, took
