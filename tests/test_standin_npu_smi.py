"""The played host has two devices that npu-smi's readers take, and that fall ill or busy when they are told to."""

from __future__ import annotations

import pytest

from harness.ascend.npu_smi import read_info
from harness.ascend.npu_smi_queries import numbered, read_board, read_health, read_mapping, read_usages, soc_version
from harness.ascend.versions import read_running, read_toolkit
from harness.verdict import Broken
from tests.standin_host import TOOLKIT, played


def devices(folder, misbehave=""):
    info = read_info(played(folder, "npu-smi", "info", misbehave=misbehave).lines)
    mapping = read_mapping(played(folder, "npu-smi", "info", "-m", misbehave=misbehave).lines)
    return numbered(info.devices, mapping)


class TestDevices:
    def test_two_healthy_and_idle_ones_whose_numbers_differ_by_tool(self, tmp_path):
        found = devices(tmp_path)
        assert [(one.npu, one.logic, one.device, one.name) for one in found] == [(0, 0, 0, "310P3"), (8, 1, 1, "310P3")]
        assert [one.why_not_timed for one in found] == [None, None]
        assert all(one.hbm is None and one.processes == () for one in found)

    def test_what_names_a_version_says_that_it_is_played(self, tmp_path):
        info = read_info(played(tmp_path, "npu-smi", "info").lines)
        assert "stand-in" in info.tool
        assert "stand-in" in info.driver
        assert "stand-in" in read_running((TOOLKIT / "version.cfg").read_text()).version
        for machine in ("x86_64", "aarch64"):
            text = (TOOLKIT / f"{machine}-linux" / "ascend_toolkit_install.info").read_text()
            assert "stand-in" in read_toolkit(text).version

    @pytest.mark.parametrize(("chip", "hbm"), [("310", False), ("910B3", True)])
    def test_another_chip_has_the_layout_of_its_kind(self, tmp_path, chip, hbm):
        for one in devices(tmp_path, f"chip:{chip}"):
            assert (one.name, soc_version(one.name)) == (chip, f"Ascend{chip}")
            assert (one.hbm is not None) == hbm
            assert (one.device is None) == hbm

    def test_questions_about_a_card_are_answered_by_its_own_number(self, tmp_path):
        def ask(kind, npu="8", *more):
            return played(tmp_path, "npu-smi", "info", "-t", kind, "-i", npu, *more)

        board, chip = read_board(ask("board").lines), read_board(ask("board", "8", "-c", "0").lines)
        assert ("stand-in" in board.driver, chip.chip_name) == (True, "310P3")
        assert read_health(ask("health").lines).status == "OK"
        (usage,) = read_usages(ask("usages").lines)
        assert (usage.npu, usage.chip, usage.ai_core, usage.hbm) == (8, 0, 0, None)
        # 1 is the device's number for ACL tools.
        assert ask("health", "1").code == 1

    def test_a_910_tells_its_hbm(self, tmp_path):
        answer = played(tmp_path, "npu-smi", "info", "-t", "usages", "-i", "0", misbehave="chip:910B3")
        assert read_usages(answer.lines)[0].hbm == 0


class TestMisbehaviour:
    def test_the_first_device_is_busy(self, tmp_path):
        first, second = devices(tmp_path, "busy")
        assert (first.ai_core, [one.name for one in first.processes], second.why_not_timed) == (87, ["python3"], None)
        answer = played(tmp_path, "npu-smi", "info", "-t", "usages", "-i", "0", misbehave="busy")
        assert read_usages(answer.lines)[0].ai_core == 87

    def test_the_first_device_is_ill(self, tmp_path):
        first, second = devices(tmp_path, "alarm")
        assert (first.health, second.health) == ("Alarm", "OK")
        health = read_health(played(tmp_path, "npu-smi", "info", "-t", "health", "-i", "0", misbehave="alarm").lines)
        assert (health.status, health.error_code) == ("Alarm", "80E01801")

    def test_later_is_from_that_call_on(self, tmp_path):
        def look():
            answer = played(
                tmp_path,
                "npu-smi",
                "info",
                misbehave="busy_later:2,alarm_later:3",
                ASCEND_STANDIN_STATE=str(tmp_path / "count"),
            )
            first = read_info(answer.lines).devices[0]
            return first.ai_core, first.health

        assert [look(), look(), look()] == [(0, "OK"), (87, "OK"), (87, "Alarm")]

    def test_later_needs_somewhere_to_count(self, tmp_path):
        answer = played(tmp_path, "npu-smi", "info", misbehave="busy_later:2")
        assert (answer.code, "ASCEND_STANDIN_STATE" in answer.lines[0]) == (2, True)

    @pytest.mark.parametrize("misbehave", ["no_dcmi", "exit0", "garbage"])
    def test_no_driver_and_no_table_are_told(self, tmp_path, misbehave):
        answer = played(tmp_path, "npu-smi", "info", misbehave=misbehave)
        assert answer.code == (1 if misbehave == "no_dcmi" else 0)
        with pytest.raises(Broken):
            read_info(answer.lines)
