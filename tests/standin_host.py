"""A host with two Ascend devices that are only played: what to set so that the suite finds the tools that play them.

``tests/standin/modules/ascend_standin/misbehaviour.py`` lists what they can be told to do wrong.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.process import Finished, run

FOLDER = Path(__file__).parent / "standin"
MODULES = FOLDER / "modules"
TOOLKIT = FOLDER / "toolkit"
AIS_BENCH = ("python3", "-m", "ais_bench")


def environment(misbehave: str = "") -> dict[str, str]:
    """The variables of such a host; ``misbehave`` is what its tools do wrong: ``atc.crash,busy_later:3``. Tools are run
    by this very Python, which has what they need."""
    places = (str(FOLDER / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    return {
        "PATH": os.pathsep.join(places),
        "PYTHONPATH": str(MODULES),
        "ASCEND_TOOLKIT_HOME": str(TOOLKIT),
        "ASCEND_STANDIN": misbehave,
    }


def played(folder: Path, *command: str, misbehave: str = "", timeout: float = 60, **variables: str) -> Finished:
    """A tool that has run in ``folder``, as the suite runs programs; its log lies beside it."""
    tool = Path(command[0])
    # The folder of the tool is not in the suite's own PATH, where the program is looked for.
    program = FOLDER / "bin" / tool if command[0] != "python3" else Path(sys.executable)
    return run(
        (program, *command[1:]),
        folder=folder,
        log=folder.parent / f"{folder.name}.log",
        timeout=timeout,
        environment=environment(misbehave) | variables,
    )
