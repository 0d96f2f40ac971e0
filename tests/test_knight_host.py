"""Where the tools are, and of which generation, is told from transcripts alone; absent is not broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.backends.knight import BACKEND
from harness.knight.drive.host import Host, contained, discover
from harness.probe import Answered, Probe
from harness.verdict import Absent, Broken

SCRIPT = "/TS-Knight/Quantize/Onnx/run_quantization.py"
HELP = "usage: run_quantization.py [-h] [-f F] [-r R] [-uds UDS]\n"


@dataclass
class Machine:
    """What a machine answers: ``answers`` by the end of a command, files, programs on PATH, variables."""

    programs: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def probe(self) -> Probe:
        def run(arguments: list[str], environment: dict[str, str]) -> Answered:
            self.asked.append(" ".join(arguments))
            for command, (code, text) in self.answers.items():
                if self.asked[-1].endswith(command):
                    return Answered(code, text.encode())
            raise AssertionError(f"nobody answers {self.asked[-1]}")

        return Probe(
            package=lambda name: None,
            places=lambda name: (self.programs[name],) if name in self.programs else (),
            run=run,
            read=lambda path: "" if path in self.files else None,
            variables=self.variables,
        )


def old() -> Machine:
    return Machine(
        programs={"Knight": "/usr/bin/Knight", "python": "/usr/bin/python", "python3": "/usr/bin/python3"},
        files=(SCRIPT,),
        answers={"Knight -v": (0, "Knight 1.3.0.7\n"), "--help": (0, HELP)},
    )


def new() -> Machine:
    return Machine(
        programs={"Knight": "/usr/bin/Knight"},
        answers={"Knight -v": (0, "ts.knight 3.0.0.11.build1\n"), "quant --help": (0, "--run-config FILE, -rc FILE\n")},
    )


def in_image(inside: Callable[[], Machine] = old) -> Machine:
    machine = inside()
    scripted = bool(machine.files)
    answers = {f"ls {SCRIPT}": (0, SCRIPT) if scripted else (2, "ls: No such file"), **machine.answers}
    answers |= {"ls /TS-Knight/Quantize/Onnx/onnx_quantize_tool/run_quantization.py": (2, "ls: No such file")}
    return Machine(programs={"docker": "/usr/bin/docker"}, variables={"KNIGHT_IMAGE": "ts.knight:1"}, answers=answers)


class TestFound:
    def test_the_script_of_the_older_generation_with_what_lies_beside_it(self):
        host = discover(old().probe())
        assert (host.generation, host.version, host.own_script, host.image) == ("script", "1.3.0.7", True, "")
        assert (host.tools.script, host.tools.python) == (SCRIPT, "/usr/bin/python")
        assert host.tools.compare == "/TS-Knight/Quantize/Onnx/sim2quant_compare.py"
        assert host.tools.npy2bin == "/TS-Knight-software/tools/npy2bin.py"

    def test_the_second_folder_of_the_images(self):
        machine = old()
        machine.files = ("/TS-Knight/Quantize/Onnx/onnx_quantize_tool/run_quantization.py",)
        assert discover(machine.probe()).tools.script == machine.files[0]

    def test_a_folder_that_is_named_is_the_only_one(self):
        machine = old()
        machine.variables = {"KNIGHT_TOOLS": "/opt/tools", "SECRET": "s"}
        machine.files = ("/opt/tools/run_quantization.py", "/opt/tools/npy2bin.py")
        host = discover(machine.probe())
        assert host.tools.npy2bin == "/opt/tools/npy2bin.py"
        assert host.environment == {"KNIGHT_TOOLS": "/opt/tools"}

    def test_the_newer_generation_by_its_run_configurations(self):
        host = discover(new().probe())
        assert (host.generation, host.version, host.own_script) == ("json", "3.0.0.11.build1", True)

    @pytest.mark.parametrize(("inside", "generation"), [(old, "script"), (new, "json")])
    def test_an_image_is_asked_without_network_or_mounts(self, inside, generation):
        machine = in_image(inside)
        host = discover(machine.probe())
        assert (host.generation, host.image, host.docker) == (generation, "ts.knight:1", "/usr/bin/docker")
        assert all(command.startswith("/usr/bin/docker run --rm --network none") for command in machine.asked)
        assert not any(" -v /" in command for command in machine.asked)

    def test_a_script_without_functions_of_the_user_is_said_to_be_one(self):
        machine = old()
        machine.answers["--help"] = (0, "usage: run_quantization.py [-f F]\n")
        found = BACKEND.discover(machine.probe())
        assert found.present
        assert "no network can be asked of it" in found.details[1]

    def test_a_version_that_is_not_told_is_said_to_be_none(self):
        machine = old()
        machine.answers["Knight -v"] = (2, "unknown option -v")
        assert discover(machine.probe()).version == "not told"

    def test_a_stand_in_says_so_in_every_line(self):
        machine = old()
        machine.answers["Knight -v"] = (0, "Knight 1.1.0.7 stand-in")
        assert all(line.startswith("stand-in: ") for line in BACKEND.discover(machine.probe()).provenance.values())


class TestAbsent:
    @pytest.mark.parametrize(
        ("machine", "expected"),
        [
            (
                Machine(),
                r"no run_quantization.py in /TS-Knight/Quantize/Onnx or /TS-Knight/Quantize/Onnx/onnx_quantize_tool, "
                r"KNIGHT_IMAGE unset, no Knight on PATH; run the suite inside.*vendor's technical support",
            ),
            (
                Machine(variables={"KNIGHT_IMAGE": "x:1"}),
                "KNIGHT_IMAGE=x:1, but no docker on PATH; install docker 19.03",
            ),
        ],
    )
    def test_it_says_what_was_looked_for_where_and_how_to_get_it(self, machine, expected):
        with pytest.raises(Absent, match=expected):
            discover(machine.probe())
        found = BACKEND.discover(machine.probe())
        assert (found.present, found.broken) == (False, False)

    def test_what_lies_between_the_generations_is_neither(self):
        machine = new()
        machine.answers["quant --help"] = (0, "-m -w -f -uds -if -s -d -bs -i")
        with pytest.raises(Absent, match=r"names no --run-config.*tools of 2.x"):
            discover(machine.probe())


class TestBroken:
    @pytest.mark.parametrize(
        ("command", "answer", "expected"),
        [
            ("--help", (1, "ModuleNotFoundError: No module named 'onnx'"), "does not load.*lacks a module"),
            ("Knight -v", (127, "error while loading shared libraries: libx.so"), "does not load.*library"),
        ],
    )
    def test_tools_that_are_there_and_do_not_load(self, command, answer, expected):
        machine = old()
        machine.answers[command] = answer
        with pytest.raises(Broken, match=expected):
            discover(machine.probe())
        assert BACKEND.discover(machine.probe()).broken

    def test_a_script_without_the_rest_of_the_chain(self):
        machine = old()
        machine.programs.pop("Knight")
        with pytest.raises(Broken, match=r"run_quantization.py is here, but no Knight on PATH"):
            discover(machine.probe())


class TestContainer:
    def test_it_sees_one_folder_and_no_network(self):
        command = contained("docker", "ts.knight:1", Path("/tmp/work"), "knight-1")  # noqa: S108
        assert command[:2] == ["docker", "run"]
        assert command[-1] == "ts.knight:1"
        assert command[command.index("-v") + 1] == "/tmp/work:/tmp/work"  # noqa: S108
        assert command[command.index("--network") + 1] == "none"
        assert command.count("-v") == 1

    def test_one_that_does_not_end_is_removed_and_not_only_its_client(self, tmp_path):
        docker = tmp_path / "docker"
        docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$1" = run ] && exec sleep 60\nexit 0\n')
        docker.chmod(0o755)
        made = discover(in_image().probe())
        host = Host(**{**vars(made), "docker": str(docker), "environment": {}})
        with pytest.raises(Broken, match=r"not finished after 0.3 s"):
            host.start(["Knight", "rne-sim"], tmp_path, tmp_path / "log", 0.3)
        run, removed = (tmp_path / "calls").read_text().splitlines()
        name = run.split()[run.split().index("--name") + 1]
        assert removed == f"rm -f {name}"
