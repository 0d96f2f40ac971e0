"""What a host has is told from transcripts alone: devices, chip, versions and tools; absent is not broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.ascend.drive.host import Host, discover
from harness.ascend.npu_smi import read_info
from harness.backends import Availability
from harness.backends.ascend import BACKEND, details, provenance
from harness.verdict import Absent, Broken
from tests.ascend_devices import captures, commands
from tests.recorded_host import HELP, INFO, MAPPING, MSAME_HELP, NO_MODULE, Transcript

Change = Callable[[Transcript], object]


def answered(change: Change = lambda host: None) -> Host:
    transcript = Transcript()
    change(transcript)
    return discover(transcript.probe())


def available(change: Change) -> Availability:
    transcript = Transcript()
    change(transcript)
    return BACKEND.discover(transcript.probe())


def without(program: str) -> Change:
    return lambda host: host.programs.pop(program)


def answering(command: str, code: int, text: str) -> Change:
    return lambda host: host.answers.update({command: (code, text)})


class TestHost:
    def test_devices_have_the_numbers_of_acl_tools_and_the_chips_name_of_atc(self) -> None:
        host = answered()
        assert [(device.npu, device.logic) for device in host.devices] == [(4, 0), (5, 1)]
        assert host.chips == ("Ascend310P3", "Ascend310P3")
        assert (host.place(1).device.npu, host.place(1).named) == (5, "Ascend310P3")

    def test_versions_are_those_of_npu_smi_driver_and_toolkit(self) -> None:
        host = answered(
            lambda host: host.files.update({"/usr/local/Ascend/firmware/version.info": "Version=7.1.0.11.220\n"})
        )
        assert host.versions == {
            "npu-smi": "23.0.7",
            "driver": "23.0.7",
            "firmware": "7.1.0.11.220",
            "toolkit": "7.0.0",
        }

    def test_the_toolkit_is_looked_for_where_its_variables_say_before_where_it_is_installed(self) -> None:
        def both(host: Transcript) -> None:
            host.files["/usr/local/Ascend/ascend-toolkit/latest/version.cfg"] = "runtime_running_version=[1:8.0.T63]\n"
            host.files["/opt/cann/version.cfg"] = "runtime_running_version=[1:6.0.1]\n"
            host.files = {path: text for path, text in host.files.items() if path.endswith("version.cfg")}

        assert answered(both).versions["toolkit"] == "6.0.1"

    def test_tools_are_given_the_toolkits_variables_and_no_others(self) -> None:
        transcript = Transcript(variables={"ASCEND_TOOLKIT_HOME": "/opt/cann", "PYTHONPATH": "/p", "SECRET": "s"})
        host = discover(transcript.probe())
        assert host.environment == {"ASCEND_TOOLKIT_HOME": "/opt/cann", "PYTHONPATH": "/p"}
        assert all(given == host.environment for given in transcript.given)

    def test_ais_bench_is_looked_for_with_every_python_and_msame_after_them(self) -> None:
        def second(host: Transcript) -> None:
            host.programs["python3"] = ("/venv/python3", "/usr/bin/python3")
            host.programs["msame"] = ("/opt/msame",)
            run = host._run

            def answer(arguments, environment):
                if arguments[0] == "/venv/python3":
                    host.answers["python3 -m ais_bench --help"] = (1, NO_MODULE)
                    found = run(arguments, environment)
                    host.answers["python3 -m ais_bench --help"] = (0, HELP)
                    return found
                return run(arguments, environment)

            host._run = answer  # type: ignore[method-assign]

        assert answered(second).runner == ("/usr/bin/python3", "-m", "ais_bench")

        def none(host: Transcript) -> None:
            answering("python3 -m ais_bench --help", 1, NO_MODULE)(host)
            host.programs["msame"] = ("/opt/msame",)

        host = answered(none)
        assert (host.runner, host.features) == (("/opt/msame",), None)

    def test_an_a3_chip_is_named_with_what_its_board_says(self) -> None:
        def a3(host: Transcript) -> None:
            host.answers["npu-smi info"] = (0, INFO.replace("310P3    ", "Ascend910"))
            for npu in (4, 5):
                text = f"NPU ID : {npu}\nChip ID : 0\nChip Name : Ascend910\nNPU Name : 9391\n"
                host.answers[f"npu-smi info -t board -i {npu} -c 0"] = (0, text)

        assert answered(a3).chips == ("Ascend910_9391", "Ascend910_9391")

    def test_a_device_that_is_not_there_is_named_with_those_that_are(self) -> None:
        with pytest.raises(Absent, match=r"no device 7: npu-smi shows 0, 1; choose with --device=N"):
            answered().place(7)


class TestAbsent:
    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (lambda host: host.programs.clear(), "no npu-smi and no atc on PATH"),
            (without("npu-smi"), "no npu-smi on PATH"),
            (without("atc"), "no atc on PATH"),
            (without("python3"), "no module ais_bench for no python3 on PATH, and no msame on PATH"),
            (
                answering("python3 -m ais_bench --help", 1, NO_MODULE),
                "no module ais_bench for /usr/bin/python3, and no msame on PATH",
            ),
            (
                answering("python3 -m ais_bench --help", 0, "usage: ais_infer [--model MODEL] [--loop LOOP]\n"),
                "ais_infer of before 2022-11, which lists no times",
            ),
        ],
    )
    def test_it_says_what_is_missing_and_where_it_was_looked_for(self, change: Change, expected: str) -> None:
        found = available(change)
        assert (found.present, found.broken) == (False, False)
        assert expected in found.reason
        assert "install" in found.told

    def test_the_toolkits_variables_are_named_where_they_are_not_set(self) -> None:
        def bare(host: Transcript) -> None:
            host.programs.clear()
            host.variables = {}

        assert "ASCEND_TOOLKIT_HOME, ASCEND_HOME_PATH unset" in available(bare).reason
        with pytest.raises(Absent, match="backend ascend: no npu-smi"):
            available(bare).required("ascend")


class TestBroken:
    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (
                answering("atc", 127, "atc.bin: error while loading shared libraries: libascend_hal.so: cannot open\n"),
                "libascend_hal.so",
            ),
            (answering("npu-smi info", 1, "dcmi module initialize failed. ret is -8005\n"), "-8005"),
            (answering("npu-smi info", 0, "\x00\x01garbage\n"), "expected a table"),
            (answering("npu-smi info -m", 0, "NPU ID\n"), "npu-smi info -m"),
            (
                answering("python3 -m ais_bench --help", 1, "ImportError: libascendcl.so: cannot open shared object\n"),
                "ais_bench does not load",
            ),
            (answering("python3 -m ais_bench --help", 0, "hello\n"), "the options --model and --loop"),
            (lambda host: host.files.clear(), "its toolkit tells no version"),
        ],
    )
    def test_what_is_there_and_does_not_work_is_no_skip(self, change: Change, expected: str) -> None:
        found = available(change)
        assert (found.present, found.broken) == (False, True)
        assert expected in found.reason
        with pytest.raises(Broken, match="backend ascend"):
            found.required("ascend")

    def test_msame_that_does_not_load_is_broken_too(self) -> None:
        def msame(host: Transcript) -> None:
            host.programs |= {"msame": ("/opt/msame",), "python3": ()}
            host.answers["msame --help"] = (127, "msame: error while loading shared libraries: libascendcl.so\n")

        assert "msame does not load" in available(msame).reason


class TestStandIn:
    @pytest.mark.parametrize(
        "change",
        [
            lambda host: host.answers.update({"npu-smi info": (0, INFO.replace("23.0.7 ", "7.0.stand-in "))}),
            lambda host: host.files.update(dict.fromkeys(host.files, "version=7.0.stand-in\n")),
            answering("python3 -m ais_bench --help", 0, HELP + "a stand-in\n"),
        ],
    )
    def test_one_tool_that_plays_the_vendors_marks_the_whole_host(self, change: Change) -> None:
        host = answered(change)
        assert host.stand_in
        assert host.place(0).named == "stand-in Ascend310P3"
        assert all(value.startswith("stand-in: ") for value in provenance(host).values())

    def test_msame_that_plays_the_vendors_is_found_too(self) -> None:
        def msame(host: Transcript) -> None:
            host.programs |= {"msame": ("/opt/msame",), "python3": ()}
            host.answers["msame --help"] = (0, f"{MSAME_HELP}\nstand-in\n")

        assert answered(msame).stand_in
        assert provenance(answered(msame))["runner"] == "stand-in: msame"

    def test_the_vendors_own_tools_are_none(self) -> None:
        assert not answered().stand_in
        assert provenance(answered()) == {
            "chip": "2 x Ascend310P3",
            "npu-smi": "23.0.7",
            "driver": "23.0.7",
            "toolkit": "7.0.0",
            "runner": "ais_bench G2/G3",
        }


class TestDetails:
    def test_a_device_that_may_not_be_timed_says_why(self) -> None:
        alarmed = INFO.replace("| OK  ", "| Alarm", 1)
        lines = list(details(answered(answering("npu-smi info", 0, alarmed))))
        assert lines[0].startswith("atc /opt/cann/bin/atc, npu-smi /usr/local/sbin/npu-smi")
        assert "device 0: Ascend310P3, health Alarm; NPU 4 chip 0 (310P3): health is Alarm, expected OK" in lines[1]
        assert lines[2] == "device 1: Ascend310P3, health OK; may be timed"


class TestRecorded:
    """Hosts as others recorded them, where their records are here."""

    @pytest.mark.parametrize(
        ("number", "chip"), [(1, "Ascend310"), (3, "Ascend910B"), (4, "Ascend910B2C"), (5, "Ascend310B4")]
    )
    def test_every_recorded_layout_makes_a_host(self, shared: Path, number: int, chip: str) -> None:
        text = captures((shared / "samples" / f"npu-smi-{number}.txt").read_text())[0]
        devices = read_info(text).devices
        rows = [f"{one.npu}    {one.chip}    {place}    Ascend {one.name}" for place, one in enumerate(devices)]
        transcript = Transcript()
        transcript.answers["npu-smi info"] = (0, text)
        transcript.answers["npu-smi info -m"] = (0, "\n".join([MAPPING.split("\n")[0], *rows]))
        found = BACKEND.discover(transcript.probe())
        assert found.present, found.reason
        assert found.provenance["chip"] == f"{len(devices)} x {chip}"

    def test_a_recorded_toolkit_gives_its_version(self, shared: Path) -> None:
        text = (shared / "samples" / "ascend-versions-1.txt").read_text()
        files = {command.removeprefix("cat "): printed for command, printed in commands(text).items()}
        host = answered(lambda transcript: transcript.files.clear() or transcript.files.update(files))
        assert (host.versions["toolkit"], host.versions["driver"]) == ("8.0.T63", "24.1.rc2.2")

    def test_both_recorded_answers_of_atc_prove_that_it_loads(self, shared: Path) -> None:
        text = (shared / "samples" / "atc-8.txt").read_text()
        for printed in captures(text):
            assert answered(answering("atc", 255, printed)).atc == "/opt/cann/bin/atc"
