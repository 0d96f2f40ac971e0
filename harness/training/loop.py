"""Trains a network on rendered samples: deterministic, resumable, with progress and a loss curve.

Step k always sees the same samples, so an interrupted training goes on exactly where its last saved state lies.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harness.declaration import Scalar

SAVE_EVERY = 250
CHECK_EVERY = 500
REPORT_EVERY = 50
CHECKED = 200

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What fixes a training: the network's weights are a function of this, the code and the machine's arithmetic."""

    initial_seed: int
    seed: int
    held_out_seed: int
    steps: int
    batch: int
    learning_rate: float
    warm_up: float
    weight_decay: float
    clip: float

    def rate(self, step: int) -> float:
        """Learning rate of a step: a linear warm-up, then a cosine to zero."""
        warm = max(1, round(self.warm_up * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


@dataclass
class Progress:
    """How far a training is: the next step, seconds spent, and one point of the loss curve every 50 steps."""

    step: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


class Lessons(Protocol):
    """What a network is trained on."""

    def batch(self, seed: int, step: int, size: int) -> Any:
        """The samples of one step: a pure function of its arguments, drawn in a thread of its own."""
        ...

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """The loss of a network in training mode on one batch."""
        ...

    def hits(self, network: nn.Module, seed: int, count: int) -> int:
        """How many of the first ``count`` samples of the set ``seed`` a network in evaluation mode answers right."""
        ...


def train(
    lessons: Lessons, make: Callable[[], nn.Module], params: Mapping[str, Scalar], work: Path, say: Say
) -> tuple[nn.Module, Progress]:
    """The trained network. Goes on from the state in ``work`` where one lies there; a state of another schedule is
    refused with ``ValueError``. ``params`` are the fields of ``Schedule``."""
    schedule = Schedule(**params)  # type: ignore[arg-type]
    torch.manual_seed(schedule.initial_seed)
    network = make()
    work.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=schedule.weight_decay)
    progress = _restore(network, optimiser, schedule, work / "state.pt")
    if progress.step:
        say(f"going on at step {progress.step} of {schedule.steps}")
    losses: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(lessons.batch, schedule.seed, progress.step, schedule.batch)
        while progress.step < schedule.steps:
            began = time.monotonic()
            batch = upcoming.result()
            upcoming = pool.submit(lessons.batch, schedule.seed, progress.step + 1, schedule.batch)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(progress.step)
            losses.append(_step(network, optimiser, lessons.loss, batch, schedule.clip))
            progress.step += 1
            progress.seconds += time.monotonic() - began
            if progress.step % REPORT_EVERY == 0 or progress.step == schedule.steps:
                _report(lessons, network, schedule, progress, losses)
                say(_line(schedule, progress))
                losses = []
            if progress.step % SAVE_EVERY == 0 or progress.step == schedule.steps:
                _save(network, optimiser, schedule, progress, work / "state.pt")
        upcoming.cancel()
    return network, progress


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of: Callable[[nn.Module, Any], Tensor],
    batch: Any,
    clip: float,
) -> float:
    network.train()
    loss = loss_of(network, batch)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()
    return loss.item()


def _report(lessons: Lessons, network: nn.Module, schedule: Schedule, progress: Progress, losses: list[float]) -> None:
    """Adds a point to the loss curve."""
    point: dict[str, float] = {"step": progress.step, "loss": round(sum(losses) / len(losses), 4)}
    if progress.step % CHECK_EVERY == 0:
        network.eval()
        with torch.inference_mode():
            point["acc"] = lessons.hits(network, schedule.held_out_seed, CHECKED) / CHECKED
    progress.curve.append(point)


def _line(schedule: Schedule, progress: Progress) -> str:
    left = progress.seconds / progress.step * (schedule.steps - progress.step) / 60
    shown = ", ".join(f"{name} {value:g}" for name, value in progress.curve[-1].items() if name != "step")
    return f"step {progress.step}/{schedule.steps}: {shown}; about {left:.0f} min left"


def _save(
    network: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule, progress: Progress, path: Path
) -> None:
    state = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": json.dumps(vars(schedule), sort_keys=True),
        "progress": json.dumps(vars(progress)),
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _restore(network: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule, path: Path) -> Progress:
    if not path.exists():
        return Progress()
    state: Mapping[str, Any] = torch.load(path, weights_only=True)
    wanted = json.dumps(vars(schedule), sort_keys=True)
    if state["schedule"] != wanted:
        raise ValueError(
            f"{path} belongs to another schedule: found {state['schedule']}, asked for {wanted}; "
            "remove it to start again, or choose another --work folder"
        )
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**json.loads(state["progress"]))
