"""Words in whichever layout they lie, and the many sets of them that the text-recognition benchmark is made of.

The benchmark's ``evaluation`` folder holds a folder a set, LMDBs of ten names and 12,067 words in all. PaddleOCR walks
it in the order of the file system and draws another word for one whose label its encoder refuses, unseeded; here the
order is that of the names, and what becomes of such labels is declared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, combinations, islice
from pathlib import Path

import numpy as np

from harness.assets.listing import Listing
from harness.datasets import DataError, Sample
from harness.datasets.lmdb_words import DATA, LmdbWords
from harness.datasets.picture_list import LIST, PictureList
from harness.declaration import DeclarationError, choose
from harness.postprocess.recognition import LOWER
from harness.verdict import Absent, Verdict

Words = LmdbWords | PictureList
LAYOUTS = f"an LMDB of the text-recognition benchmarks ({DATA}) or pictures with a list of labels ({LIST})"
WIDTH = 25
"""Of an encoded label: ``max_text_length`` of ``rec_r34_vd_tps_bilstm_att.yml``, PaddleOCR 2.5."""
DONE = {"skip": "skipped", "replace": "replaced"}
DIGEST = 16


class AbsentSet(DataError, Absent):
    """A set of words that was asked for by name is not among those that lie there."""

    verdict = Verdict.SKIPPED


def open_words(folder: Path, name: str = "") -> Words:
    """The words of a folder, opened: an LMDB where it holds one, else the pictures of its list.

    Raises ``DataError`` where the folder is neither, or is damaged.
    """
    if (folder / DATA).exists():
        return LmdbWords(folder, name)
    if (folder / LIST).exists():
        return PictureList(folder, name)
    raise DataError(f"{folder}: holds no {DATA} and no {LIST}; expected {LAYOUTS}")


def is_usable(label: str) -> bool:
    """Whether ``AttnLabelEncode`` of PaddleOCR 2.5 (``ppocr/data/imaug/label_ops.py``), 25 wide, keeps a label.

    It refuses one that is empty or longer than 25 as it stands, and one of which nothing, or 25 and more, is left in
    lower case without all that is no digit and no letter from a to z.
    """
    left = sum(character in LOWER for character in label.lower())
    return 0 < len(label) <= WIDTH and 0 < left < WIDTH


class WordSets:
    """Every set of words below a folder, one after the other in the order of their paths.

    Sample ids are those of each set, ``<set>/<number>``, a set being named as its folder. ``only`` names sets, with
    commas between, where not all are meant. ``labels`` says what becomes of samples whose label is not usable:

    * ``keep``: they are given as they are;
    * ``skip``: they are left out;
    * ``replace``: in the place of each a usable one of all sets is given, picture and label of the same, drawn by
      ``seed`` and place; its id is ``<set>/<number><<set>/<number>``, the second that of what is given.

    Raises ``DataError`` where there is no set, two have one name, or one is damaged, and ``AbsentSet`` where one that
    ``only`` names is not there. At most one set is open at a time.
    """

    def __init__(self, folder: Path, name: str = "", *, labels: str = "keep", seed: int = 0, only: str = "") -> None:
        choose("labels", labels, ("keep", *DONE))
        if seed < 0:
            raise DeclarationError(f"seed: {seed}, expected 0 or more")
        self._name = name or folder.name
        self._labels = labels
        self._seed = seed
        self._unread, found = _walk(folder)
        self._folders = _chosen(found, only, f"{self._name}: {folder}", self._unread)
        self._names = list(self._folders)
        self._open: tuple[str, Words] | None = None
        self._counts, unusable = self._survey()
        self._ends = list(accumulate(self._counts))
        self._numbers: Sequence[int] = range(self._ends[-1])
        if labels != "keep" and len(unusable) == len(self._numbers):
            raise DataError(
                f"{self._name}: {folder}: none of its {len(unusable)} labels is usable; expected 1 to {WIDTH} "
                f"characters, and 1 to {WIDTH - 1} digits and letters from a to z among them"
            )
        if labels == "skip":
            left_out = set(unusable)
            self._numbers = [number for number in self._numbers if number not in left_out]
        self._refused: set[int] = set(unusable if labels == "skip" else ())
        self._digests: dict[str, dict[int, bytes]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._numbers)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every sample from number ``start`` on; what is missing or damaged raises ``DataError`` naming its set."""
        for place in islice(self._numbers, start, None):
            sample = self._sample(place)
            if self._labels == "keep" or is_usable(sample.truth):
                digest = blake2b(sample.content, digest_size=DIGEST).digest()
                self._digests[self._names[bisect_right(self._ends, place)]][place] = digest
                yield sample
            else:
                self._refused.add(place)
                yield self._replaced(sample, place)

    def facts(self) -> Mapping[str, int | str]:
        """What was seen so far: unusable labels, unless they are kept, and pictures that lie in two sets.

        What was left out is known on opening; what was given in the place of another sample is compared with no other.
        """
        told: dict[str, int | str] = {}
        if self._labels in DONE:
            told[f"unusable labels {DONE[self._labels]}"] = len(self._refused)
        counted = {name: Counter(self._digests[name].values()) for name in self._names}
        for one, other in combinations(self._names, 2):
            shared = sum(times for digest, times in counted[one].items() if digest in counted[other])
            if shared:
                told[f"pictures of {one} in {other}"] = shared
        if self._unread:
            told["folders that could not be read"] = ", ".join(map(str, self._unread))
        return told

    def close(self) -> None:
        """Gives the files back."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _survey(self) -> tuple[list[int], list[int]]:
        """How many samples each set has, and the places of those with an unusable label, unless all are kept."""
        counts: list[int] = []
        unusable: list[int] = []
        try:
            for name in self._names:
                words = self._set(name)
                if self._labels != "keep":
                    truths = enumerate(words.truths(), sum(counts))
                    unusable += [place for place, truth in truths if not is_usable(truth)]
                counts.append(len(words))
        finally:
            self.close()
        return counts, unusable

    def _sample(self, place: int) -> Sample:
        """The sample at a place among those of all sets."""
        which = bisect_right(self._ends, place)
        return self._set(self._names[which]).sample(place - self._ends[which] + self._counts[which])

    def _replaced(self, sample: Sample, place: int) -> Sample:
        """A usable sample in the place of one that is not: the same one from wherever it is asked for."""
        drawn = np.random.default_rng((self._seed, place))
        while True:
            other = self._sample(int(drawn.integers(self._ends[-1])))
            if is_usable(other.truth):
                return Sample(f"{sample.id}<{other.id}", other.content, other.truth)

    def _set(self, name: str) -> Words:
        """A set, opened, and none but it."""
        if self._open is None or self._open[0] != name:
            self.close()
            self._open = name, open_words(self._folders[name], name)
        return self._open[1]


def _walk(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders that could not be read, and those that hold a set, in the order of their paths."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with sets of words below it, each {LAYOUTS}")
    listing = Listing(folder)
    found = {path.parent for name in (DATA, LIST) for path in listing.matches(f"**/{name}")}
    return listing.unread, sorted(found, key=lambda each: each.relative_to(folder).parts)


def _chosen(found: Sequence[Path], only: str, where: str, unread: Sequence[Path]) -> dict[str, Path]:
    """The folders of the sets that are meant, by name."""
    hidden = f"; could not read {', '.join(map(str, unread))}" if unread else ""
    if not found:
        raise DataError(f"{where}: no set of words below it, looked at any depth for {LAYOUTS}{hidden}")
    wanted = [name.strip() for name in only.split(",")] if only else []
    if "" in wanted:
        raise DeclarationError(f"only: {only!r} names a set without a name; expected names with commas between")
    named = [(folder.resolve().name if folder.name in ("", "..") else folder.name, folder) for folder in found]
    chosen: dict[str, Path] = {}
    for name, folder in named:
        if wanted and name not in wanted:
            continue
        if name in chosen:
            raise DataError(f"{where}: two sets are named {name}, {chosen[name]} and {folder}; ids would not be unique")
        chosen[name] = folder
    absent = [name for name in dict.fromkeys(wanted) if name not in chosen]
    if absent:
        raise AbsentSet(
            f"{where}: no set {' and no set '.join(absent)} below it, there are {', '.join(dict(named))}{hidden}; "
            f"put a folder of that name there, {LAYOUTS}"
        )
    return chosen
