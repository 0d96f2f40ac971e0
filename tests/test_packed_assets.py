"""Assets are found in archives, which are unpacked into the cache once, and read no more."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from harness.assets import Assets
from harness.assets.archives import unpack
from harness.assets.cache import Cache
from harness.reference import Archive, Asset
from harness.verdict import Absent, Broken

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HELD = {"pack/toy.pth": CONTENT, "pack/note.txt": b"1"}
UNPACKER = """
import shutil, sys, time
from pathlib import Path
from harness.assets import archives
from harness.assets.cache import Cache
from harness.reference import Archive

def slowly(source, file, length):
    file.write(source.read(3))
    file.flush()
    print("inside", flush=True)
    time.sleep(float(sys.argv[3]))
    shutil_copy(source, file)

shutil_copy = shutil.copyfileobj
archives.shutil.copyfileobj = slowly
print("ready", flush=True)
sys.stdin.readline()
print(Cache(Path(sys.argv[2])).unpack(Archive(name="pack.tar"), Path(sys.argv[1])))
"""


def asset(*patterns: str, **said: object) -> Asset:
    described = {"name": "toy weights", "licence": "none", "source": "the vendor's page"}
    return Asset(**{**described, "patterns": patterns or ("**/toy.pth",), **said})


def pack(path: Path, held: dict[str, bytes]) -> str:
    """The sha256 of a tar that is made at this path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as out:
        for name, content in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def begin(*processes: subprocess.Popen[str]) -> None:
    """Lets processes begin together, once all of them are ready."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def looking(folder: Path, cache: Path) -> Assets:
    """As a new process looks."""
    return Assets((folder,), Cache(cache))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of assets, with nothing in it."""
    made = tmp_path / "assets"
    made.mkdir()
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache's folder, not there yet."""
    return tmp_path / "cache"


class TestFinding:
    @pytest.mark.parametrize("declared", [True, False], ids=["sha256 declared", "not declared"])
    def test_an_asset_is_found_in_its_archive_and_the_archive_read_no_more(self, folder, cache, declared, monkeypatch):
        digest = pack(folder / "deep" / "pack.tar", HELD)
        packed = asset(archive=Archive(name="pack.tar", sha256=digest if declared else None), sha256=SHA256)
        assert looking(folder, cache).locate(packed) == folder / "deep" / "pack.tar"
        assert not cache.exists()
        found = looking(folder, cache).find(packed)
        assert found == cache / "unpacked" / digest / "pack" / "toy.pth"
        assert found.read_bytes() == CONTENT
        monkeypatch.setattr("harness.assets.cache.unpack", None)
        monkeypatch.setattr("harness.assets.cache.file_digest", lambda path: SHA256 if path == found else None)
        assert looking(folder, cache).locate(packed) == found
        assert looking(folder, cache).find(packed) == found
        (folder / "deep" / "pack.tar").unlink()
        assert looking(folder, cache).locate(packed) == (found if declared else None)

    def test_what_lies_there_unpacked_is_preferred_unless_it_is_something_else(self, folder, cache):
        digest = pack(folder / "pack.tar", HELD)
        packed = asset(archive=Archive(name="pack.tar"), sha256=SHA256)
        (folder / "toy.pth").write_bytes(CONTENT)
        assert looking(folder, cache).find(packed) == folder / "toy.pth"
        (folder / "toy.pth").write_bytes(b"others")
        assert looking(folder, cache).find(packed) == cache / "unpacked" / digest / "pack" / "toy.pth"

    def test_another_archive_of_the_same_name_is_passed_by_for_the_declared_one(self, folder, cache):
        pack(folder / "a" / "pack.tar", {"pack/toy.pth": b"others"})
        digest = pack(folder / "b" / "pack.tar", HELD)
        packed = asset("pack/toy.pth", archive=Archive(name="pack.tar", sha256=digest))
        assert looking(folder, cache).find(packed).read_bytes() == CONTENT

    def test_an_archive_changed_since_it_was_unpacked_is_unpacked_again(self, folder, cache):
        packed = asset("pack/toy.pth", archive=Archive(name="pack.tar"))
        for content in (CONTENT, b"weights of a later version"):
            pack(folder / "pack.tar", {"pack/toy.pth": content})
            os.utime(folder / "pack.tar", (0, len(content)))
            assert looking(folder, cache).find(packed).read_bytes() == content


class TestChecking:
    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (
                lambda tar: pack(tar, {"pack/other.pth": b"1"}),
                r"the archive pack\.tar holds nothing that matches \*\*/toy\.pth",
            ),
            (lambda tar: tar.write_bytes(tar.read_bytes()[:600]), r"pack\.tar: damaged: unexpected end of data"),
            (
                lambda tar: pack(tar, {"../toy.pth": b"1"}),
                r"pack\.tar: refused, nothing was unpacked: member '\.\./toy",
            ),
            (lambda tar: pack(tar, {"toy.pth": b"others"}), r"unpacked/.*toy\.pth: has 6 bytes, toy weights has 7"),
        ],
        ids=["no such member", "truncated", "hostile", "another member"],
    )
    def test_an_archive_that_cannot_give_the_asset_is_read_once_broken_and_named(
        self, folder, cache, spoil, told, monkeypatch
    ):
        reads = []
        monkeypatch.setattr("harness.assets.cache.unpack", lambda *given: (reads.append(given), unpack(*given)))
        pack(folder / "pack.tar", HELD)
        spoil(folder / "pack.tar")
        assets = looking(folder, cache)
        packed = asset(size=7, archive=Archive(name="pack.tar"))
        for _ in range(2):
            with pytest.raises(Broken, match=told):
                assets.find(packed)
        assert len(reads) == 1
        assert list((cache / ".partial").iterdir()) == []

    def test_an_archive_that_cannot_be_read_is_broken_and_one_that_is_not_there_is_absent(
        self, folder, cache, monkeypatch
    ):
        def unreadable(path: Path) -> str:
            raise PermissionError(13, "Permission denied")

        packed = asset(archive=Archive(name="pack.tar"))
        (folder / "pack.tar").symlink_to("nowhere")
        assert looking(folder, cache).locate(packed) is None
        with pytest.raises(Absent):
            looking(folder, cache).find(packed)
        pack(folder / "nowhere", HELD)
        monkeypatch.setattr("harness.assets.cache.file_digest", unreadable)
        with pytest.raises(Broken, match=r"assets/pack\.tar: cannot be read: Permission denied"):
            looking(folder, cache).find(packed)

    def test_an_archive_that_is_not_the_declared_one_is_not_unpacked(self, folder, cache):
        digest = pack(folder / "pack.tar", {"pack/toy.pth": b"others"})
        packed = asset("pack/toy.pth", archive=Archive(name="pack.tar", sha256=SHA256))
        with pytest.raises(Broken, match=rf"pack\.tar: its sha256 is {digest}, that of pack\.tar is {SHA256}; fetch"):
            looking(folder, cache).find(packed)
        assert not (cache / "unpacked").exists()


class TestProcesses:
    def test_a_killed_unpacking_leaves_nothing_that_is_used(self, folder, cache, python):
        digest = pack(folder / "pack.tar", HELD)
        packed = asset("pack/toy.pth", archive=Archive(name="pack.tar", sha256=digest))
        with python(UNPACKER, folder / "pack.tar", cache, 600) as process:
            begin(process)
            assert process.stdout.readline() == "inside\n"
            process.kill()
        half = cache / ".partial" / digest / "pack" / "toy.pth"
        assert half.exists()
        assert looking(folder, cache).locate(packed) == folder / "pack.tar"
        assert not (cache / "unpacked").exists()
        assert looking(folder, cache).find(packed).read_bytes() == CONTENT
        assert not half.exists()

    def test_processes_that_ask_at_once_unpack_once(self, folder, cache, python):
        pack(folder / "pack.tar", HELD)
        running = [python(UNPACKER, folder / "pack.tar", cache, 0.1) for _ in range(2)]
        begin(*running)
        told = [process.communicate(timeout=60)[0] for process in running]
        assert "".join(told).count("inside") == len(HELD)
        assert len({text.splitlines()[-1] for text in told}) == 1

    def test_a_cache_that_cannot_be_written_is_broken_and_names_the_variable(self, folder, tmp_path):
        pack(folder / "pack.tar", HELD)
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(Broken, match=r"the cache .* cannot be written: .*CONFORMANCE_CACHE=DIR"):
            looking(folder, tmp_path / "file" / "cache").find(asset("x", archive=Archive(name="pack.tar")))
