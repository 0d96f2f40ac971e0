"""One device, one measurement at a time: a lock a device across processes and users, and whether it may be timed.

Accuracy shares a device, timing has it alone. Who times goes first: from the moment that it waits, nobody else begins
to share. Locks are the kernel's, so they are gone with the process that held them, however it ended.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from harness.ascend.drive.host import Place
from harness.ascend.npu_smi import HEALTHY, Device, read_info
from harness.probe import machine
from harness.verdict import Broken

notes = logging.getLogger(__name__)

FOLDER = Path("/tmp")  # noqa: S108 - one place for every user of the device; what lies there is only locked, never read
PATIENCE = 3600.0
"""Seconds to wait for a device that others use; a timing phase of all models takes less."""
TOLD_EVERY = 60.0
POLL = 0.2
SETTLE = 5.0
"""Seconds in which an AI core may still show the load of a process that has just ended: npu-smi samples it."""

Kind = Literal["shared", "alone"]


@contextmanager
def occupied(device: int, kind: Kind) -> Iterator[None]:
    """The device is ours, ``shared`` with other processes or ``alone``, until leaving. Raises ``Broken`` where it does
    not become free within ``PATIENCE``."""
    how = fcntl.LOCK_SH if kind == "shared" else fcntl.LOCK_EX
    with ExitStack() as held:
        gate = held.enter_context(_file(device, "gate"))
        _acquire(gate, how, device)
        lock = held.enter_context(_file(device, "lock"))
        _acquire(lock, how, device)
        if kind == "shared":
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@contextmanager
def _file(device: int, name: str) -> Iterator[int]:
    path = FOLDER / f"ocr-deployment-conformance-ascend-{device}.{name}"
    # Opened as it is where another user made it: a sticky folder refuses to create what is there already.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            handle = os.open(path, flags)
        except FileNotFoundError:
            handle = os.open(path, flags | os.O_CREAT, 0o644)
    except OSError as error:
        raise Broken(f"{path}: the lock of device {device} cannot be opened: {error.strerror}; remove it") from error
    try:
        yield handle
    finally:
        os.close(handle)


def _acquire(handle: int, how: int, device: int) -> None:
    began = told = time.monotonic()
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if now - began >= PATIENCE:
                raise Broken(
                    f"device {device} was not free for {PATIENCE:g} s: other processes of this suite use it; see which "
                    "with fuser, or choose another device with --device=N"
                ) from None
            if now - told >= TOLD_EVERY:
                notes.warning("waiting for device %d, which other processes use, since %.0f s", device, now - began)
                told = now
            time.sleep(POLL)
        else:
            return


def check_idle(place: Place, when: str) -> None:
    """The device is healthy, and nobody computes on it. Raises ``Broken`` with what npu-smi shows, and ``when``."""
    until = time.monotonic() + SETTLE
    while True:
        device = _now(place)
        reason = device.why_not_timed
        if reason is None:
            return
        # Load alone may be what has just ended; a process or an alarm is not.
        lasting = device.health != HEALTHY or bool(device.processes)
        if lasting or time.monotonic() >= until:
            raise Broken(
                f"device {place.number} cannot be timed ({when}): {reason}; a time taken now would mean nothing"
            )
        time.sleep(POLL)


def _now(place: Place) -> Device:
    """The device as npu-smi shows it now."""
    answer = machine(fresh=True).run([place.host.npu_smi, "info"], place.host.environment)
    known = place.device
    for device in read_info(answer.printed).devices:
        if (device.npu, device.chip) == (known.npu, known.chip):
            return device
    raise Broken(f"device {place.number}: npu-smi info shows no NPU {known.npu} chip {known.chip} any more; see dmesg")
