"""Training goes on where it was interrupted, and ends with the weights that it would have had anyway."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from harness.networks.crnn import Crnn
from harness.networks.rare import Rare
from harness.networks.svtr_lcnet import SvtrLcnet
from harness.training import attention, lines, loop
from harness.training.__main__ import main
from harness.training.loop import Schedule
from harness.training.recognition import train

MAKE = partial(Crnn, width=0.0625)
PARAMS = {
    "initial_seed": 3,
    "seed": 1,
    "held_out_seed": 2,
    "steps": 5,
    "batch": 4,
    "learning_rate": 1e-3,
    "warm_up": 0.4,
    "weight_decay": 1e-4,
    "clip": 5.0,
}
LESSONS = {
    "words": (train, MAKE),
    "curved words": (attention.train, partial(Rare, width=0.125, hidden=16)),
    "lines": (lines.train, partial(SvtrLcnet, width=0.125, hidden=16)),
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves every second step and reports every step, so that a short training has something to resume."""
    monkeypatch.setattr(loop, "SAVE_EVERY", 2)
    monkeypatch.setattr(loop, "REPORT_EVERY", 1)


def interrupt_at(step: int):
    def say(line: str) -> None:
        if line.startswith(f"step {step}/"):
            raise KeyboardInterrupt

    return say


@pytest.mark.parametrize("lessons", LESSONS)
def test_an_interrupted_training_ends_with_the_same_weights_and_curve(lessons: str, tmp_path: Path) -> None:
    teach, make = LESSONS[lessons]
    whole, through = teach(make, PARAMS, tmp_path / "whole", lambda line: None)
    with pytest.raises(KeyboardInterrupt):
        teach(make, PARAMS, tmp_path / "broken", interrupt_at(3))
    said: list[str] = []
    resumed, again = teach(make, PARAMS, tmp_path / "broken", said.append)
    assert said[0] == "going on at step 2 of 5"
    assert [point["step"] for point in again.curve] == [1, 2, 3, 4, 5]
    assert again.curve == through.curve
    assert isinstance(whole, make.func)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    first, _ = train(MAKE, PARAMS, tmp_path, lambda line: None)
    again, progress = train(MAKE, PARAMS, tmp_path, interrupt_at(1))
    assert progress.step == 5
    assert all(torch.equal(first.state_dict()[name], tensor) for name, tensor in again.state_dict().items())


def test_the_state_of_another_schedule_is_refused(tmp_path: Path) -> None:
    train(MAKE, PARAMS, tmp_path, lambda line: None)
    with pytest.raises(ValueError, match="belongs to another schedule"):
        train(MAKE, {**PARAMS, "learning_rate": 2e-3}, tmp_path, lambda line: None)


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    schedule = Schedule(**{**PARAMS, "steps": 100, "warm_up": 0.1})
    rates = [schedule.rate(step) for step in range(101)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == max(rates) == schedule.learning_rate
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.0)


def test_the_command_writes_checkpoint_and_card_and_refuses_an_unknown_model(tmp_path: Path, capsys) -> None:
    words = ["crnn", f"--out={tmp_path / 'out'}", f"--work={tmp_path / 'work'}", "--steps=1", "--threads=1"]
    assert main(words) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"crnn.safetensors", "card.json"}
    assert "rendered_words: 0/500" in capsys.readouterr().out
    assert main(["crn"]) == 1
    assert "did you mean 'crnn'?" in capsys.readouterr().err
