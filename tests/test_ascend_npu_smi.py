"""Devices are read from every layout by its header, only a healthy and idle one may be timed, and names stay single."""

from __future__ import annotations

import pytest

from harness.ascend.npu_smi import Info, read_info
from harness.ascend.npu_smi_queries import numbered, read_board, read_health, read_mapping, read_usages, soc_version
from harness.ascend.npu_smi_values import Share
from harness.verdict import Broken

INFO = """\
+------------------------------------------------------------------------------------------+
| npu-smi 22.0.0                   Version: 22.0.2                                         |
+----------------------+---------------+---------------------------------------------------+
| NPU     Name         | Health        | Power(W)   Temp(C)          Hugepages-Usage(page) |
| Chip    Device       | Bus-Id        | AICore(%)  Memory-Usage(MB)                       |
+======================+===============+===================================================+
| 3       310P3        | OK            | NA         45               0    / 0              |
| 0       1            | 0000:86:00.0  | 0          1236 / 1236                            |
+======================+===============+===================================================+
"""
A3 = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc3.5               Version: 24.1.rc3.5                                           |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     Ascend910           | OK            | 174.3       35                0    / 0             |
| 0     0                   | 0000:9D:00.0  | 0           0    / 0          3099 / 65536         |
+------------------------------------------------------------------------------------------------+
| 0     Ascend910           | OK            | -           36                0    / 0             |
| 1     1                   | 0000:9F:00.0  | 7           0    / 0          20701/ 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| No running processes found in NPU 0                                                            |
+===========================+===============+====================================================+
"""
MAPPING = """\
\tNPU ID                         Chip ID                        Chip Logic ID                  Chip Name
\t3                              0                              1                              Ascend 310P3
\t3                              1                              -                              Mcu
"""
PHYSICAL = """\
\tNPU ID          Chip ID         Chip Logic ID   Chip Phy-ID     Chip Name
\t0               0               0               0               Ascend910
\t0               1               1               1               Ascend910
\t0               2               -               -               Mcu
"""


def told(text: str) -> str:
    with pytest.raises(Broken) as raised:
        read_info(text)
    return str(raised.value)


class TestInfo:
    def test_tool_and_driver_are_told_apart(self):
        read = read_info(INFO)
        assert (read.tool, read.driver) == ("22.0.0", "22.0.2")

    def test_a_table_without_its_first_line_is_read(self):
        read = read_info("\n".join(INFO.splitlines()[3:]))
        assert read == Info(tool=None, driver=None, devices=read_info(INFO).devices)

    def test_columns_go_by_the_header(self):
        (device,) = read_info(INFO).devices
        assert (device.npu, device.chip, device.device, device.physical) == (3, 0, 1, None)
        assert (device.power, device.memory, device.hbm) == (None, Share(1236, 1236), None)

    def test_both_chips_of_a_card_are_devices(self):
        first, second = read_info(A3).devices
        assert (first.npu, first.chip, first.physical, first.power) == (0, 0, 0, 174.3)
        assert (second.npu, second.chip, second.physical, second.power) == (0, 1, 1, None)
        assert second.hbm == Share(20701, 65536)

    def test_log_lines_in_between_are_passed_over(self):
        spread = INFO.replace("\n", "\n[WARNING] DRV(1,npu-smi): 2025-01-01 slow\n")
        assert read_info(spread) == read_info(INFO)

    def test_no_process_table_is_not_an_idle_one(self):
        assert read_info(INFO).devices[0].processes is None
        assert read_info(A3).devices[0].processes == ()

    def test_a_failed_driver_is_named(self):
        text = told("dcmi module initialize failed. ret is -8005")
        assert "ret is -8005" in text
        assert "HwHiAiUser" in text
        assert "DrvMngGetConsoleLogLevel" in told("DrvMngGetConsoleLogLevel failed. (ret=4)\n")

    @pytest.mark.parametrize(
        ("text", "expected", "found"),
        [
            ("", "a table", "the end of the text"),
            ("bash: npu-smi: command not found", "a table", "command not found"),
            ("+---+\n| x |\n", "the header NPU Name | Health", "+---+"),
            (INFO.replace("Health  ", "Health x"), "the header NPU Name | Health", "+---"),
            (INFO.replace("Bus-Id  ", "Bus     "), "the header Chip | Bus-Id", "Chip Device"),
            (INFO.replace("1236 / 1236", "1236 / "), "a number as Memory-Usage(MB)", "86:00.0"),
            (INFO.replace("1236 / 1236", "12 1236"), "5 values", None),
            (INFO.replace("| 0       1 ", "| x       1 "), "a number as Chip", "x 1"),
            ("\n".join(INFO.splitlines()[:7]), "the second row of '| 3", "the end of the text"),
            ("\n".join(INFO.splitlines()[:6]), "two rows for every chip", None),
            ("\n".join(INFO.splitlines()[:8])[:-30], "a row that ends with |", "0000:86"),
        ],
    )
    def test_a_text_that_is_no_table_is_told(self, text, expected, found):
        message = told(text)
        assert expected in message
        assert found is None or found in message


class TestTimed:
    """Saboteurs: a device that must not be timed."""

    @pytest.mark.parametrize("health", ["Warning", "Alarm", "Critical", "UNKNOWN", "", "ok"])
    def test_only_ok_is_healthy(self, health):
        (device,) = read_info(INFO.replace("| OK   ", f"| {health}   ")).devices
        assert f"health is {health}, expected OK" in device.why_not_timed

    def test_a_healthy_idle_device_may_be_timed(self):
        assert read_info(INFO).devices[0].why_not_timed is None

    def test_a_process_makes_only_its_own_chip_busy(self):
        row = "| 0       1                 | 4711          | python3                  | 123                     |"
        table = "\n".join(row if "No running" in line else line for line in A3.splitlines()).replace("| 7  ", "| 0  ")
        first, second = read_info(table).devices
        assert first.why_not_timed is None
        assert "busy with python3 (pid 4711)" in second.why_not_timed

    def test_work_of_somebody_unseen_is_told(self):
        assert "AI core at 7%, expected 0%" in read_info(A3).devices[1].why_not_timed


class TestMapping:
    def test_logic_numbers_are_given_by_npu_and_chip(self):
        (device,) = numbered(read_info(INFO).devices, read_mapping(MAPPING))
        assert (device.npu, device.logic) == (3, 1)

    def test_a_further_column_is_read_by_its_name(self):
        chips = read_mapping(PHYSICAL)
        assert [(one.logic, one.physical, one.name) for one in chips] == [
            (0, 0, "Ascend910"),
            (1, 1, "Ascend910"),
            (None, None, "Mcu"),
        ]
        assert [one.logic for one in numbered(read_info(A3).devices, chips)] == [0, 1]

    def test_a_device_that_is_not_mapped_is_told(self):
        with pytest.raises(Broken, match=r"a Chip Logic ID for NPU 3 chip 0 \(310P3\)"):
            numbered(read_info(INFO).devices, read_mapping(PHYSICAL))

    @pytest.mark.parametrize(
        "text", ["", "NPU ID  Chip ID", MAPPING.splitlines()[0], MAPPING.replace("Ascend 310P3", "")]
    )
    def test_a_text_that_is_no_mapping_is_told(self, text):
        with pytest.raises(Broken, match="npu-smi info -m: expected"):
            read_mapping(text)


class TestQueries:
    def test_both_chips_of_a_card_have_their_usages(self):
        text = "NPU ID : 5\nChip Count : 2\n\nMemory Capacity(MB) : 21534\nMemory Usage Rate(%) : 8\n"
        text += "Aicore Usage Rate(%) : 3\nChip ID : 0\n\nMemory Capacity(MB) : 21535\nMemory Usage Rate(%) : NA\n"
        text += "Aicore Usage Rate(%) : 0\nChip ID : 1\n"
        first, second = read_usages(text)
        assert (first.npu, first.chip, first.memory_capacity, first.memory, first.ai_core) == (5, 0, 21534, 8, 3)
        assert (second.npu, second.chip, second.memory_capacity, second.memory, second.ai_core) == (
            5,
            1,
            21535,
            None,
            0,
        )

    def test_an_alarm_is_told_with_its_code(self):
        health = read_health("  Health Status : Alarm\n  Error Code : 80E18005\n  Error Information : node type=soc\n")
        assert (health.status, health.error_code, health.error) == ("Alarm", "80E18005", "node type=soc")

    @pytest.mark.parametrize("read", [read_board, read_health, read_usages])
    @pytest.mark.parametrize("text", ["", "nothing", "NPU ID : many\nHealth Status : NA\nChip ID : 0"])
    def test_other_texts_are_told(self, read, text):
        with pytest.raises(Broken, match=r"npu-smi info -t .*: expected"):
            read(text)


class TestName:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("310P3", "Ascend310P3"),
            ("Ascend 310P3", "Ascend310P3"),
            ("Ascend310P3", "Ascend310P3"),
            ("Ascend910", "Ascend910"),
            ("Ascend 910B3", "Ascend910B3"),
            ("910B2C", "Ascend910B2C"),
            ("310", "Ascend310"),
        ],
    )
    def test_the_prefix_comes_once(self, name, expected):
        assert soc_version(name) == expected
        assert soc_version(expected) == expected

    def test_later_chips_take_the_name_of_the_card(self):
        assert soc_version("Ascend910", "9391") == "Ascend910_9391"

    @pytest.mark.parametrize("name", ["", "xxx", "Ascend", "Mcu", "Ascend310310P3", "AscendAscend310", "../310"])
    def test_what_is_no_chip_is_told(self, name):
        with pytest.raises(Broken, match="expected the name of a chip"):
            soc_version(name)
