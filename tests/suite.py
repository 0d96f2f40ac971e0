"""Runs the suite as its users do: pytest in a process of its own, from the project's root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.registry import PROJECT


def run_suite(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """pytest with these options, to its end; never under the xdist of the tests around it."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=PROJECT,
        env=clean_environment() | (env or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """The environment without what the pytest around this one put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}


def answers(run: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The record's answers by question, subject and reference."""
    record = json.loads((run / "record.json").read_text())
    return {(answer["question"], answer["subject"], answer["reference"]): answer for answer in record["answers"]}
