"""Trains a CTC recogniser on rendered words: deterministic, resumable, with progress and a loss curve.

CTC sits on a plateau of blanks for the first several hundred steps; short words, warm-up and gradient clipping break
it. Step k always sees the same words, so an interrupted training goes on exactly where its last saved state lies.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.datasets.rendered.words import draw_word
from harness.model import Scalar
from harness.postprocess.ctc import BLANK, decode, encode
from harness.preprocess.crnn import normalise

SAVE_EVERY = 250
CHECK_EVERY = 500
REPORT_EVERY = 50
CHECK_WORDS = 200


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


def train(
    make: Callable[[], nn.Module], params: Mapping[str, Scalar], work: Path, say: Callable[[str], None]
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
    loss_of = nn.CTCLoss(blank=BLANK, zero_infinity=True)
    losses: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(_words, schedule.seed, progress.step, schedule.batch)
        while progress.step < schedule.steps:
            began = time.monotonic()
            pictures, targets = upcoming.result()
            upcoming = pool.submit(_words, schedule.seed, progress.step + 1, schedule.batch)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(progress.step)
            losses.append(_step(network, optimiser, loss_of, (pictures, targets), schedule.clip))
            progress.step += 1
            progress.seconds += time.monotonic() - began
            if progress.step % REPORT_EVERY == 0 or progress.step == schedule.steps:
                _report(network, schedule, progress, losses, say)
                losses = []
            if progress.step % SAVE_EVERY == 0 or progress.step == schedule.steps:
                _save(network, optimiser, schedule, progress, work / "state.pt")
        upcoming.cancel()
    return network, progress


def accuracy(network: nn.Module, seed: int, count: int, batch: int = 50) -> tuple[int, int]:
    """(hits, words) of the network on the first ``count`` words of the rendered set ``seed``, lower-cased."""
    hits = 0
    network.eval()
    with torch.inference_mode():
        for start in range(0, count, batch):
            drawn = [draw_word(seed, index) for index in range(start, min(start + batch, count))]
            scores = network(torch.from_numpy(np.stack([normalise(picture) for picture, _ in drawn]))).numpy()
            hits += sum(decode(scores[:, item]) == label.lower() for item, (_, label) in enumerate(drawn))
    return hits, count


def _words(seed: int, step: int, batch: int) -> tuple[Tensor, list[list[int]]]:
    drawn = [draw_word(seed, step * batch + item) for item in range(batch)]
    pictures = torch.from_numpy(np.stack([normalise(picture) for picture, _ in drawn]))
    return pictures, [encode(label.lower()) for _, label in drawn]


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of: nn.CTCLoss,
    words: tuple[Tensor, list[list[int]]],
    clip: float,
) -> float:
    pictures, targets = words
    network.train()
    scores = network(pictures)
    lengths = torch.full((len(targets),), scores.shape[0])
    flat = torch.tensor([index for target in targets for index in target])
    loss: Tensor = loss_of(scores, flat, lengths, torch.tensor([len(target) for target in targets]))
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()
    return loss.item()


def _report(
    network: nn.Module, schedule: Schedule, progress: Progress, losses: list[float], say: Callable[[str], None]
) -> None:
    point: dict[str, float] = {"step": progress.step, "loss": round(sum(losses) / len(losses), 4)}
    if progress.step % CHECK_EVERY == 0:
        hits, count = accuracy(network, schedule.held_out_seed, CHECK_WORDS)
        point["acc"] = hits / count
    progress.curve.append(point)
    left = progress.seconds / progress.step * (schedule.steps - progress.step) / 60
    shown = ", ".join(f"{name} {value:g}" for name, value in point.items() if name != "step")
    say(f"step {progress.step}/{schedule.steps}: {shown}; about {left:.0f} min left")


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
