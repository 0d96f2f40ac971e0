"""One device, one measurement at a time, whoever asks; and nothing is timed on a device that is busy or not well."""

from __future__ import annotations

import fcntl
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.ascend.drive import occupancy
from harness.ascend.drive.host import Place, discover
from harness.ascend.drive.occupancy import check_idle, occupied
from harness.verdict import Broken
from tests.recorded_host import INFO, Transcript

HOLD = """
import sys
from pathlib import Path
from harness.ascend.drive import occupancy

occupancy.FOLDER = Path(sys.argv[1])
with occupancy.occupied(0, sys.argv[2]):
    print("held", flush=True)
    sys.stdin.readline()
"""
PROCESS = """\
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Chip                  | Process id      | Process name             | Process memory(MB)        |
+===============================+=================+======================================================+
| 4       0                     | 124528          | python3.8                | 17400                     |
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(occupancy, "FOLDER", tmp_path)
    monkeypatch.setattr(occupancy, "PATIENCE", 0.5)
    monkeypatch.setattr(occupancy, "POLL", 0.02)
    monkeypatch.setattr(occupancy, "SETTLE", 0.2)
    return tmp_path


@pytest.fixture
def hold(python: Start, folder: Path):
    """Holds a device in another process until the test ends."""
    with ExitStack() as held:

        def start(kind: str) -> subprocess.Popen[str]:
            # Left in reverse: the process is ended before its pipes are closed.
            process = held.enter_context(python(HOLD, folder, kind))
            held.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            return process

        yield start


class TestOccupied:
    def test_accuracy_shares_a_device(self, hold) -> None:
        hold("shared")
        with occupied(0, "shared"):
            pass

    @pytest.mark.parametrize(("there", "wanted"), [("alone", "shared"), ("shared", "alone"), ("alone", "alone")])
    def test_timing_shares_with_nobody(self, hold, there: str, wanted: occupancy.Kind) -> None:
        hold(there)
        with pytest.raises(Broken, match=r"device 0 was not free for 0.5 s.*--device=N"), occupied(0, wanted):
            pass

    def test_another_device_is_free(self, hold) -> None:
        hold("alone")
        with occupied(1, "alone"):
            pass

    def test_a_process_that_is_killed_holds_nothing(self, hold) -> None:
        process = hold("alone")
        process.kill()
        process.wait()
        with occupied(0, "alone"):
            pass

    def test_who_waits_to_time_is_not_overtaken_by_those_who_share(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(occupancy, "PATIENCE", 30.0)
        order: list[str] = []
        timing = threading.Event()

        def time_it() -> None:
            with occupied(0, "alone"):
                order.append("timed")

        def share_it() -> None:
            timing.wait()
            with occupied(0, "shared"):
                order.append("shared")

        with occupied(0, "shared"):
            threads = [threading.Thread(target=time_it), threading.Thread(target=share_it)]
            threads[0].start()
            while not _gate_is_held(folder):
                pass
            timing.set()
            threads[1].start()
            threads[1].join(0.2)
            assert order == []
        for thread in threads:
            thread.join()
        assert order == ["timed", "shared"]

    def test_a_lock_that_is_a_link_to_elsewhere_is_not_followed(self, folder: Path) -> None:
        (folder / "ocr-deployment-conformance-ascend-0.gate").symlink_to(folder / "elsewhere")
        with pytest.raises(Broken, match="cannot be opened"), occupied(0, "shared"):
            pass
        assert not (folder / "elsewhere").exists()


class TestIdle:
    @pytest.fixture
    def place(self, monkeypatch: pytest.MonkeyPatch) -> tuple[Place, list[str]]:
        """A device, and what npu-smi shows of it from now on, one after the other; the last stays."""
        transcript = Transcript()
        shown = [INFO]
        monkeypatch.setattr(occupancy, "machine", lambda fresh: transcript.probe())
        run = transcript._run

        def next_shown(arguments, environment):
            transcript.answers["npu-smi info"] = (0, shown[0])
            if len(shown) > 1:
                shown.pop(0)
            return run(arguments, environment)

        found = discover(transcript.probe()).place(0)
        transcript._run = next_shown  # type: ignore[method-assign]
        return found, shown

    def test_a_healthy_and_idle_device_may_be_timed(self, place) -> None:
        check_idle(place[0], "before")

    @pytest.mark.parametrize(
        ("shown", "expected"),
        [
            (INFO.replace("| OK  ", "| Alarm", 1), "health is Alarm, expected OK"),
            (INFO.replace("| 0            1074", "| 87           1074"), "AI core at 87%, expected 0%"),
            (INFO + PROCESS, r"busy with python3.8 \(pid 124528\)"),
        ],
    )
    def test_what_makes_a_time_worthless_is_named_with_when(self, place, shown: str, expected: str) -> None:
        place[1][:] = [shown]
        with pytest.raises(Broken, match=rf"device 0 cannot be timed \(after\): NPU 4 chip 0.*{expected}"):
            check_idle(place[0], "after")

    def test_load_that_has_just_ended_may_settle(self, place) -> None:
        place[1][:] = [INFO.replace("| 0            1074", "| 87           1074"), INFO]
        check_idle(place[0], "before")

    def test_another_device_may_be_busy(self, place) -> None:
        place[1][:] = [INFO.replace("| 0            1070", "| 87           1070")]
        check_idle(place[0], "before")

    def test_a_device_that_has_gone_is_named(self, place) -> None:
        place[1][:] = [INFO.replace("| 4       310P3", "| 6       310P3")]
        with pytest.raises(Broken, match="shows no NPU 4 chip 0 any more"):
            check_idle(place[0], "after")


def _gate_is_held(folder: Path) -> bool:
    with (folder / "ocr-deployment-conformance-ascend-0.gate").open() as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
