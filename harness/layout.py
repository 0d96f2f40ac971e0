"""How samples and outputs lie in folders, for tools that read and write files."""

from __future__ import annotations

from pathlib import PurePosixPath

from harness.declaration import DeclarationError, declared


@declared
class FileLayout:
    """How samples and outputs lie in folders for tools that read and write files.

    ``input`` names the file of sample i in the folder ``inputs``, ``output`` that of its k-th output without suffix;
    the first sample has the number ``first``. ``labels`` is the file with a line a sample: the name of its input file,
    ``separator``, its truth, in lower case where ``lower`` says so.

    With ``{i}`` in it, ``labels`` names a file for each of the inputs': the class of each pixel, raw int32. ``batched``
    says that a file holds a whole batch of the point, and that i counts those.
    """

    input: str = "img_{i}.bin"
    output: str = "img_{i}_{k}"
    labels: str = "labels.txt"
    inputs: str = "inputs"
    first: int = 0
    separator: str = "\t"
    lower: bool = False
    batched: bool = False

    def __post_init__(self) -> None:
        for name, fields in (("input", ("{i}",)), ("output", ("{i}", "{k}"))):
            if missing := [each for each in fields if each not in getattr(self, name)]:
                raise DeclarationError(f"FileLayout.{name}: {getattr(self, name)!r} has no {missing[0]}")
        if self.first < 0:
            raise DeclarationError(f"FileLayout.first: {self.first}, expected 0 or more")
        folder = PurePosixPath(self.labels).parts[:-1]
        if self.labels_by_file and len(folder) != 1:
            raise DeclarationError(f"FileLayout.labels: {self.labels!r}, expected a folder for them, and their name")
        if folder == (self.inputs,):
            raise DeclarationError(
                f"FileLayout.labels: {self.labels!r} lies in {self.inputs!r}, where tools take every file for an input"
            )
        if self.batched and not self.labels_by_file:
            raise DeclarationError(
                f"FileLayout.labels: {self.labels!r} has a line an input, but an input is a batch; expected a file "
                "for each, with {i} in its name"
            )
        mixed = [each for each in self.separator if each.isdigit() or each in f"{self.input}\r\n"]
        if mixed or not self.separator:
            raise DeclarationError(
                f"FileLayout.separator: {self.separator!r} cannot be told from the name {self.input!r} or the end of a "
                "line; expected characters that neither has"
            )

    @property
    def told(self) -> str:
        """What decides how a folder of inputs is written and read, in one line."""
        truth = "truth in lower case" if self.lower else "truth"
        labels = "int32" if self.labels_by_file else f"name, {self.separator!r}, {truth}"
        held = "a batch" if self.batched else "one"
        return f"{self.input} from {self.first}, {self.labels} of {labels}; {held} a file in {self.inputs}"

    @property
    def labels_by_file(self) -> bool:
        """Whether labels are files of pixels, and not lines of a text."""
        return "{i}" in self.labels

    def held(self, batch: int) -> int:
        """How many samples a file holds at a point of this batch."""
        return batch if self.batched else 1

    def file(self, place: int) -> str:
        """The input file at a place, the first of which is 0."""
        return self.input.format(i=self.first + place)

    def label(self, place: int) -> str:
        """The file of labels at a place, below the packed folder."""
        return self.labels.format(i=self.first + place)

    def line(self, place: int, truth: str) -> str:
        """The line of that sample in the labels file, without its end."""
        return f"{self.file(place)}{self.separator}{truth.lower() if self.lower else truth}"
