"""Ascend devices: forms compiled by atc, run by ais_bench or msame, timed with the device to itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.ascend.drive.host import Host, Place, discover
from harness.backends import Availability, Room
from harness.cells import Cell
from harness.probe import Probe, machine
from harness.process import private_folder
from harness.provenance import STAND_IN
from harness.store import Artefact
from harness.verdict import Absent, Broken, Outcome, Refused

if TYPE_CHECKING:  # listing cells needs no arrays
    from harness.ascend.drive.session import AscendSession

RECORDED = ("options", "dropped", "warned")
"""Facts of a compile that a record keeps beside the times."""


class AscendBackend:
    """Compiles what is deployed for the chip of a device, as the model's recipe says, and runs it there."""

    name = "ascend"
    formats: tuple[str, ...] = ("onnx",)
    markers: tuple[str, ...] = ("npu",)
    compiles = True
    timed = True

    def discover(self, probe: Probe) -> Availability:
        """Present where a device answers and the tools load; broken where one is there and does not."""
        try:
            host = discover(probe)
        except Outcome as outcome:
            return Availability(False, str(outcome), broken=isinstance(outcome, Broken))
        return Availability(True, provenance=provenance(host), details=tuple(details(host)))

    def prepare(self, form: Artefact, cell: Cell, room: Room) -> Artefact:
        """The offline model. Raises ``Refused`` where it computes in another precision than its cell says."""
        from harness.ascend.drive.compile import compiled

        made = compiled(form, cell, place_of(room), room.store)
        if made.facts["precision"] != cell.precision:
            raise Refused(f"{cell.id}: compiled to compute in {made.facts['precision']}, expected {cell.precision}")
        return made

    @contextmanager
    def open(self, prepared: Artefact, cell: Cell, room: Room) -> Iterator[AscendSession]:
        """A session on the device of this process."""
        from harness.ascend.drive.compile import OM, recipe_of
        from harness.ascend.drive.runner import Job, runner_of
        from harness.ascend.drive.session import AscendSession

        place = place_of(room)
        room.scratch.mkdir(parents=True, exist_ok=True)
        # A copy below TMPDIR: newer tools refuse links, and paths with characters that checkouts may have.
        with private_folder(Path(tempfile.gettempdir()), "model") as folder:
            om = folder / OM
            shutil.copyfile(prepared.file(OM), om)
            om.chmod(0o640)
            log = room.scratch / f"{cell.id}.log"
            compiled = {f"compiled_{name}": str(prepared.facts[name]) for name in RECORDED}
            job = Job(om=om, compiled=compiled, cell=cell, recipe=recipe_of(cell), place=place, log=log)
            yield AscendSession(job, runner_of(place))


def place_of(room: Room) -> Place:
    """The device that this process uses: of those that it may, or of all, by its number among its neighbours."""
    host = discover(machine())
    numbers = room.compute.devices or tuple(device.logic for device in host.devices if device.logic is not None)
    if not numbers:
        raise Absent("npu-smi shows no device that ACL tools can open")
    return host.place(numbers[room.compute.worker % len(numbers)])


def provenance(host: Host) -> dict[str, str]:
    """What the answers of a host depend on. Of a stand-in every line says so."""
    chips = sorted(set(host.chips))
    found = {"chip": ", ".join(f"{host.chips.count(chip)} x {chip}" for chip in chips), **host.versions}
    found["runner"] = "msame" if host.features is None else f"ais_bench {'/'.join(sorted(host.features.generations))}"
    return {name: f"{STAND_IN}: {value}" for name, value in found.items()} if host.stand_in else found


def details(host: Host) -> Iterator[str]:
    """A line for the tools, and one for each device."""
    yield f"atc {host.atc}, npu-smi {host.npu_smi}, runner {' '.join(host.runner)}"
    for device, chip in zip(host.devices, host.chips, strict=True):
        fit = device.why_not_timed or "may be timed"
        yield f"device {device.logic}: {chip}, health {device.health}; {fit}"


BACKEND = AscendBackend()
