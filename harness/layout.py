"""How samples and outputs lie in folders, for tools that read and write files."""

from __future__ import annotations

from harness.declaration import DeclarationError, declared


@declared
class FileLayout:
    """How samples and outputs lie in folders for tools that read and write files.

    ``input`` names the file of sample i, ``output`` that of its k-th output without suffix; the first sample has the
    number ``first``. ``labels`` is the file with a line a sample: the name of its input file, ``separator``, its truth,
    in lower case where ``lower`` says so.
    """

    input: str = "img_{i}.bin"
    output: str = "img_{i}_{k}"
    labels: str = "labels.txt"
    first: int = 0
    separator: str = "\t"
    lower: bool = False

    def __post_init__(self) -> None:
        for name, fields in (("input", ("{i}",)), ("output", ("{i}", "{k}"))):
            if missing := [each for each in fields if each not in getattr(self, name)]:
                raise DeclarationError(f"FileLayout.{name}: {getattr(self, name)!r} has no {missing[0]}")
        if self.first < 0:
            raise DeclarationError(f"FileLayout.first: {self.first}, expected 0 or more")
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
        return f"{self.input} from {self.first}, {self.labels} of name, {self.separator!r}, {truth}"

    def file(self, place: int) -> str:
        """The input file of the sample at a place of the data set; the first place is 0."""
        return self.input.format(i=self.first + place)

    def line(self, place: int, truth: str) -> str:
        """The line of that sample in the labels file, without its end."""
        return f"{self.file(place)}{self.separator}{truth.lower() if self.lower else truth}"
