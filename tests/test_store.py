"""Artefacts are built once, whoever asks; damage, kills and full disks leave nothing half-made behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from harness.store import MANIFEST, Store
from harness.verdict import Broken

PARTS = {"step": "toy:make", "param.opset": "11"}
BUILDER = """
import resource, sys, time
from pathlib import Path
from harness.store import Store
from harness.verdict import Broken

root, log, seconds, size, limit = Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))

def build(out):
    with log.open("a") as file:
        file.write("built\\n")
    (out / "part.bin").write_bytes(b"x")
    print("inside", flush=True)
    time.sleep(seconds)
    (out / "model.bin").write_bytes(b"x" * int(size))
    return {"nodes": 41}

print("ready", flush=True)
sys.stdin.readline()
try:
    made = Store(root).get("toy", {"step": "toy:make", "param.opset": "11"}, build)
    print(made.digest, made.because)
except Broken as broken:
    print(f"Broken: {broken}")
"""

DAMAGE = {
    "truncated file": lambda folder: (folder / "model.bin").write_bytes(b"weights"),
    "altered bytes": lambda folder: (folder / "model.bin").write_bytes(b"w" + b"Weights " * 100),
    "deleted file": lambda folder: (folder / "model.bin").unlink(),
    "altered file in a folder": lambda folder: (folder / "deep" / "notes.txt").write_text("opset 12"),
    "deleted folder": lambda folder: shutil.rmtree(folder / "deep"),
    "deleted manifest": lambda folder: (folder / MANIFEST).unlink(),
    "truncated manifest": lambda folder: (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:60]),
    "emptied manifest": lambda folder: (folder / MANIFEST).write_text("{}"),
    "manifest that is no text": lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe"),
}


class Builder:
    """Builds two files and counts how often it was asked to."""

    def __init__(self, content: bytes = b"weights " * 100) -> None:
        self.content = content
        self.calls = 0

    def __call__(self, out: Path) -> dict[str, int]:
        assert list(out.iterdir()) == []
        self.calls += 1
        (out / "model.bin").write_bytes(self.content)
        (out / "deep").mkdir()
        (out / "deep" / "notes.txt").write_text("opset 11")
        return {"nodes": 41}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store's folder, not there yet."""
    return tmp_path / "store"


def go(*processes: subprocess.Popen[str]) -> None:
    """Lets builders begin together, once all of them are ready."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def partials(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".partial").glob("*"))


class TestBuilding:
    def test_an_artefact_is_built_once_and_found_by_the_next_process(self, root):
        build = Builder()
        made = Store(root).get("toy", PARTS, build)
        found = Store(root).get("toy", dict(reversed(PARTS.items())), build)
        assert build.calls == 1
        assert found == made
        assert made.file("model.bin").read_bytes() == build.content
        assert made.facts == {"nodes": 41}
        assert made.size == len(build.content) + len("opset 11")
        assert partials(root) == []

    def test_equal_bytes_have_equal_digests_and_one_changed_byte_another(self, root):
        store = Store(root)
        same, as_well, other = (store.get(f"toy{at}", PARTS, Builder(b"%d" % (at // 2))).digest for at in range(3))
        assert same == as_well != other

    def test_processes_that_ask_at_once_build_once_and_share_the_result(self, root, tmp_path, python):
        running = [python(BUILDER, root, tmp_path / "log", 0.2, 1000, 0) for _ in range(3)]
        go(*running)
        told = [process.communicate(timeout=60)[0].split("\n")[-2] for process in running]
        assert (tmp_path / "log").read_text() == "built\n"
        assert len(set(told)) == 1
        assert told[0].endswith(" first time")

    def test_the_first_build_says_that_it_is_the_first(self, root):
        assert Store(root).get("toy", PARTS, Builder()).because == "first time"

    @pytest.mark.parametrize(
        ("parts", "told"),
        [
            ({**PARTS, "param.opset": "13"}, "changed: param.opset 11 -> 13"),
            ({**PARTS, "tool.onnx": "1.23.2"}, "changed: tool.onnx (none) -> 1.23.2"),
            ({"step": "toy:make"}, "changed: param.opset 11 -> (none)"),
            ({"step": "toy:make", "param.opset": "12", "a": "1"}, "changed: a (none) -> 1, param.opset 11 -> 12"),
        ],
    )
    def test_a_changed_key_builds_again_and_says_which_part_changed(self, root, parts, told):
        build = Builder()
        store = Store(root)
        store.get("other", {"unrelated": "1"}, build)
        store.get("toy", PARTS, build)
        assert store.get("toy", parts, build).because == told
        assert build.calls == 3

    def test_a_key_is_compared_with_the_artefact_that_was_used_last(self, root):
        for opset, age in (("11", 100), ("13", 50), ("14", 200)):
            made = Store(root).get("toy", {"opset": opset}, Builder())
            os.utime(made.file(MANIFEST), (1e9 - age, 1e9 - age))
        assert Store(root).get("toy", {"opset": "15"}, Builder()).because == "changed: opset 13 -> 15"


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
    def test_a_damaged_artefact_is_built_again_and_says_so(self, root, damage):
        build = Builder()
        made = Store(root).get("toy", PARTS, build)
        damage(made.folder)
        again = Store(root).get("toy", PARTS, build)
        assert build.calls == 2
        assert again.because == "damaged: its files are not those of its manifest"
        assert (again.digest, again.file("model.bin").read_bytes()) == (made.digest, build.content)

    @pytest.mark.parametrize("text", ["", '{"name": "toy", "k', "[]", "{}"], ids=["empty", "truncated", "list", "bare"])
    @pytest.mark.parametrize("name", ["toy", "other"])
    def test_a_damaged_manifest_does_not_keep_other_artefacts_from_being_built(self, root, name, text):
        Store(root).get("toy", PARTS, Builder()).file(MANIFEST).write_text(text)
        assert Store(root).get(name, {"param.opset": "13"}, Builder()).facts == {"nodes": 41}

    def test_a_damaged_manifest_does_not_keep_the_store_from_being_pruned(self, root):
        Store(root).get("toy", PARTS, Builder()).file(MANIFEST).write_text("{")
        old = Store(root).get("other", PARTS, Builder()).folder
        os.utime(old / MANIFEST, (0, 0))
        assert old in [folder for folder, _ in Store(root).prune(1)]


class TestInterruption:
    @pytest.mark.parametrize("error", [ValueError("no such operator"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
    def test_what_stops_a_build_passes_through_and_leaves_nothing(self, root, error):
        def build(out):
            (out / "model.bin").write_bytes(b"half")
            raise error

        with pytest.raises(type(error)) as raised:
            Store(root).get("toy", PARTS, build)
        assert raised.value is error
        assert partials(root) == []
        assert list(root.rglob(MANIFEST)) == []
        assert Store(root).get("toy", PARTS, Builder()).because == "first time"

    def test_a_failed_rebuild_leaves_the_store_as_it_was(self, root):
        made = Store(root).get("toy", PARTS, Builder())
        with pytest.raises(ZeroDivisionError):
            Store(root).get("toy", {"other": "key"}, lambda out: {"nodes": 1 // 0})
        assert [folder for folder, _ in Store(root).entries()] == [made.folder]

    def test_a_killed_build_is_done_anew_and_its_half_is_removed(self, root, tmp_path, python):
        with python(BUILDER, root, tmp_path / "log", 600, 1000, 0) as process:
            go(process)
            assert process.stdout.readline() == "inside\n"
            assert len(partials(root)) == 1
            process.kill()
        build = Builder()
        made = Store(root).get("toy", PARTS, build)
        assert build.calls == 1
        assert made.because == "first time"
        assert partials(root) == []
        assert sorted(path.name for path in made.folder.iterdir()) == ["deep", MANIFEST, "model.bin"]

    def test_pruning_removes_what_a_killed_build_left(self, root, tmp_path, python):
        with python(BUILDER, root, tmp_path / "log", 600, 1000, 0) as process:
            go(process)
            process.stdout.readline()
            process.kill()
        left = root / ".partial" / partials(root)[0]
        assert list(Store(root).prune(1000)) == [(left, 1)]
        assert partials(root) == []

    def test_pruning_waits_for_a_build_in_progress_and_takes_nothing_from_it(self, root, tmp_path, python):
        with python(BUILDER, root, tmp_path / "log", 0.3, 1000, 0) as process:
            go(process)
            assert process.stdout.readline() == "inside\n"
            assert list(Store(root).prune(1)) == []
            assert process.stdout.readline().endswith(" first time\n")
        assert len(list(Store(root).entries())) == 1


class TestDisk:
    @pytest.mark.parametrize("below", [".", "deeper/still"])
    def test_a_store_below_a_regular_file_is_broken_and_names_the_option(self, tmp_path, below):
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(Broken, match=r"the store .* cannot be written: .*--store=DIR"):
            Store(tmp_path / "file" / below).get("toy", PARTS, Builder())

    def test_a_file_in_the_place_of_an_artefact_is_broken_and_names_the_option(self, root):
        root.mkdir()
        (root / "toy").write_text("not a folder")
        with pytest.raises(Broken, match=r"cannot be written: .*--store=DIR"):
            Store(root).get("toy", PARTS, Builder())
        assert partials(root) == []

    def test_a_full_disk_is_broken_and_leaves_nothing(self, root, tmp_path, python):
        out, err = python(BUILDER, root, tmp_path / "log", 0, 1_000_000, 10_000).communicate("go\n", timeout=60)
        assert out.startswith(f"ready\ninside\nBroken: disk full while building toy in {root}: "), err
        assert "--store=DIR" in out
        assert partials(root) == []
        assert list(root.rglob(MANIFEST)) == []

    def test_a_full_disk_is_told_also_where_a_native_writer_gives_it_another_name(self, root, monkeypatch):
        # Stands in for a small disk: what is free is what the store's files leave of it.
        usage = namedtuple("usage", "total used free")

        def small_disk(_: object) -> usage:
            used = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
            return usage(10_000_000, used, 10_000_000 - used)

        def build(out):
            (out / "weights.safetensors").write_bytes(bytes(9_999_000))
            raise RuntimeError("Error while serializing: I/O error")

        monkeypatch.setattr("harness.store.shutil.disk_usage", small_disk)
        with pytest.raises(Broken, match="disk full while building toy"):
            Store(root).get("toy", PARTS, build)

    def test_an_error_of_the_builder_about_a_file_elsewhere_does_not_blame_the_store(self, root, tmp_path):
        (tmp_path / "weights.pth").write_text("a file")

        def build(out):
            return {"bytes": len((tmp_path / "weights.pth" / "below").read_bytes())}

        with pytest.raises(NotADirectoryError):
            Store(root).get("toy", PARTS, build)


class TestPruning:
    def test_pruning_keeps_what_was_used_lately_and_says_what_it_removed(self, root):
        old, used, new = (Store(root).get(name, PARTS, Builder()) for name in ("old", "used", "new"))
        for made in (old, used):
            os.utime(made.file(MANIFEST), (0, 0))
        Store(root).get("used", PARTS, Builder())
        assert list(Store(root).prune(1)) == [(old.folder, old.size)]
        assert {folder for folder, _ in Store(root).entries()} == {used.folder, new.folder}

    def test_a_pruned_artefact_is_built_again(self, root):
        made = Store(root).get("toy", PARTS, Builder())
        os.utime(made.file(MANIFEST), (0, 0))
        assert [folder for folder, _ in Store(root).prune(1)] == [made.folder]
        assert Store(root).get("toy", PARTS, Builder()).digest == made.digest

    def test_a_store_that_is_not_there_has_nothing_to_prune(self, root):
        assert list(Store(root).prune(0)) == []

    def test_an_artefact_that_another_process_removes_meanwhile_is_left_out(self, root):
        made = [Store(root).get("toy", {"opset": opset}, Builder()).folder for opset in ("11", "13")]
        entries = Store(root).entries()
        first = next(entries)[0]
        shutil.rmtree(next(folder for folder in made if folder != first))
        assert list(entries) == []

    def test_entries_come_with_their_manifests_the_longest_unused_first(self, root):
        for name, when in (("b", 20), ("a", 30), ("c", 10)):
            os.utime(Store(root).get(name, PARTS, Builder()).file(MANIFEST), (when, when))
        found = [json.loads((folder / MANIFEST).read_text()) for folder, _ in Store(root).entries()]
        assert found == [manifest for _, manifest in Store(root).entries()]
        assert [manifest["name"] for manifest in found] == ["c", "b", "a"]
