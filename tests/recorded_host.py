"""A probe that answers from a transcript: what each command printed, which files there are, what is set."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.probe import Answered, Probe

INFO = """\
+--------------------------------------------------------------------------------------------------------+
| npu-smi 23.0.7                                   Version: 23.0.7                                        |
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===============================+=================+======================================================+
| 4       310P3                 | OK              | 15.8         42                0    / 0              |
| 0       0                     | 0000:82:00.0    | 0            1074 / 21534                            |
+===============================+=================+======================================================+
| 5       310P3                 | OK              | 15.4         43                0    / 0              |
| 0       1                     | 0000:89:00.0    | 0            1070 / 21534                            |
+===============================+=================+======================================================+
"""
MAPPING = """\
\tNPU ID                         Chip ID                        Chip Logic ID                  Chip Name
\t4                              0                              0                              Ascend 310P3
\t4                              1                              -                              Mcu
\t5                              0                              1                              Ascend 310P3
\t5                              1                              -                              Mcu
"""
ATC = """\
ATC start working now, please wait for a moment.
...
ATC run failed, Please check the detail log, Try 'atc --help' for more information
E10007: [PID: 7] 2026-01-02-03:04:05.678.901 [--framework] is required. The value must be [5(Onnx)].
"""
HELP = """\
usage: __main__.py [-h] --model MODEL [--input INPUT] [--output OUTPUT] [--output_dirname OUTPUT_DIRNAME]
                   [--outfmt {NPY,BIN,TXT}] [--loop LOOP] [--warmup_count WARMUP_COUNT] [--device DEVICE]
"""
MSAME_HELP = """\
usage: msame --model model.om --input in --output out --outfmt TXT --loop 1
"""
NO_MODULE = "/usr/bin/python3: No module named ais_bench\n"
VERSION = "package_name=Ascend-cann-toolkit\nversion=7.0.0\ninnerversion=V100R001C15SPC005B220\n"


@dataclass
class Transcript:
    """What a host answers. ``answers`` are exit code and text by the end of a command; ``programs`` the places of each
    program."""

    programs: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "npu-smi": ("/usr/local/sbin/npu-smi",),
            "atc": ("/opt/cann/bin/atc",),
            "python3": ("/usr/bin/python3",),
        }
    )
    answers: dict[str, tuple[int, str]] = field(
        default_factory=lambda: {
            "npu-smi info": (0, INFO),
            "npu-smi info -m": (0, MAPPING),
            "atc": (255, ATC),
            "python3 -m ais_bench --help": (0, HELP),
            "msame --help": (0, MSAME_HELP),
        }
    )
    files: dict[str, str] = field(
        default_factory=lambda: {f"/opt/cann/{platform.machine()}-linux/ascend_toolkit_install.info": VERSION}
    )
    variables: dict[str, str] = field(default_factory=lambda: {"ASCEND_TOOLKIT_HOME": "/opt/cann", "EDITOR": "vi"})
    given: list[Mapping[str, str]] = field(default_factory=list)

    def probe(self) -> Probe:
        """The probe; what programs were given of the environment is kept in ``given``."""
        return Probe(
            package=lambda name: None,
            places=lambda name: self.programs.get(name, ()),
            run=self._run,
            read=self.files.get,
            variables=self.variables,
        )

    def _run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Answered:
        self.given.append(environment)
        command = " ".join([arguments[0].rpartition("/")[2], *arguments[1:]])
        code, text = self.answers[command]
        return Answered(code, text.encode())
