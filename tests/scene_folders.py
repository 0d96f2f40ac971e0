"""A few rendered scenes, declared as the bundled data of DB, for tests of commands and questions on places."""

from __future__ import annotations

from pathlib import Path

FEW = """
from dataclasses import replace

from harness.registry import load_models

DB = load_models()["db"]
BUNDLED = DB.reference("bundled")
DATA = replace(BUNDLED.data, params={**BUNDLED.data.params, "count": 5}, n=5, digest=None)
REFERENCES = tuple(replace(each, data=DATA) if each.name == "bundled" else each for each in DB.references)
MODEL = replace(DB, name="few_scenes", references=REFERENCES)
"""
"""DB with the first five of its scenes: drawing all hundred takes ten seconds."""
NAME = "few_scenes"


def declare_scenes(folder: Path) -> Path:
    """A folder with the declaration, for ``--models``."""
    folder.mkdir(parents=True)
    (folder / f"{NAME}.py").write_text(FEW)
    return folder
