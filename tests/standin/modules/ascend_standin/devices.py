"""The devices of the host that is played: two, of one chip."""

from __future__ import annotations

from dataclasses import dataclass

from ascend_standin.misbehaviour import Misbehaviour, counted

CHIP = "310P3"
NUMBERS = (0, 8)
"""Of the cards, for ``npu-smi -i``; the numbers for ACL tools are 0 and 1."""
MEMORY = 21527
HBM = 65536
PROCESS = 4711
LOAD = 87


@dataclass(frozen=True, kw_only=True)
class Device:
    """One chip, alone on its card. ``logic`` is its number for ACL tools."""

    npu: int
    logic: int
    chip: str
    health: str = "OK"
    ai_core: int = 0

    @property
    def soc_version(self) -> str:
        """Its name as atc takes it."""
        return f"Ascend{self.chip}"

    @property
    def has_hbm(self) -> bool:
        """Whether it has memory of its own kind, as the chips for training have."""
        return self.chip.startswith("910")


def devices(asked: Misbehaviour) -> tuple[Device, ...]:
    """The devices as they are at this call; what is asked of them concerns the first."""
    chip = next(iter(asked.values("chip")), CHIP)
    later = {name: asked.values(f"{name}_later") for name in ("busy", "alarm")}
    count = counted() if any(later.values()) else 0
    now = {name: asked.asked(name) or any(count >= int(value) for value in later[name]) for name in later}
    first = Device(
        npu=NUMBERS[0],
        logic=0,
        chip=chip,
        health="Alarm" if now["alarm"] else "OK",
        ai_core=LOAD if now["busy"] else 0,
    )
    return (first, Device(npu=NUMBERS[1], logic=1, chip=chip))
