"""The list of inputs that the older benchmark tool is given, where newer tools take a folder."""

from __future__ import annotations

import os
from pathlib import Path

from harness.declaration import DeclarationError
from harness.files.pack import described
from harness.files.packed import MANIFEST
from harness.model import Model
from harness.sizes import TensorSpec
from harness.verdict import Refused


def listing(at: Path, folder: Path, model: Model, n: int) -> str:
    """The text of a list that is to lie at a path, for the ``n`` inputs of a packed folder: ``-input_text_path`` of
    benchmark.x86_64 and benchmark.aarch64.

    A line an input: its place, counted from 0 however the files are numbered, its path, width and height. Paths are
    relative to the folder of the list, because the tool opens them as they stand and so has to be started there; list
    and inputs may be moved to another machine together. Raises ``Refused`` where a path holds white space, which ends
    it for the tool, ``FileExistsError`` where the list would be in the way of the packed files, and
    ``DeclarationError`` where the input is no channels x height x width, or a file holds more than one of them.

    Source: ``get_info.py bin``, which the vendor's pages call (Ascend/ModelZoo-PyTorch at 05360171,
    ``ACL_PyTorch/contrib/cv/detection/CenterNet/get_info.py``; ``EfficientDetD0/README.md`` beside it explains the
    columns; CRNN's own page there gives ``-input_text_path=./crnn.info -input_width=100 -input_height=32``). Guide 001
    measures accuracy without this tool; how it cuts a batch whose axis is not the first is not known, so take batch 1.
    """
    if model.layout.batched:
        raise DeclarationError(f"{model.name}: its files hold whole batches, a list is of single pictures")
    place, inputs = at.parent.resolve() / at.name, folder.resolve() / model.layout.inputs
    if inputs in place.parents:
        raise FileExistsError(f"{at}: lies among the inputs, where tools take every file for one; choose another place")
    if place in {folder.resolve() / name for name in (model.layout.inputs, MANIFEST, model.layout.labels)}:
        raise FileExistsError(f"{at}: is a part of the packed folder itself; choose another name")
    width, height = size_of(model.inputs[0])
    way = Path(os.path.relpath(inputs, place.parent)).as_posix()
    paths = [f"{way}/{model.layout.file(number)}" for number in range(n)]
    if len(paths[0].split()) != 1:
        raise Refused(f"{at}: the path {paths[0]!r} would hold white space, which ends it; choose folders without")
    return "".join(f"{number} {path} {width} {height}\n" for number, path in enumerate(paths))


def size_of(spec: TensorSpec) -> tuple[int, int]:
    """Width and height of a picture as an input takes it. Raises ``DeclarationError`` where it takes none."""
    if len(spec.item) != 3:
        raise DeclarationError(f"the input {spec.name} is {described(spec)}, a list needs channels x height x width")
    return spec.item[2], spec.item[1]
