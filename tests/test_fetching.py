"""Transfers from a server on this machine: what arrives is checked, what does not is told, and nothing half is kept."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.assets import Assets
from harness.assets import transfer as module
from harness.assets.cache import Cache, Download
from harness.assets.transfer import transfer
from harness.verdict import Broken

CONTENT = b"weights " * 40_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def tar(**held: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as out:
        for name, content in held.items():
            info = tarfile.TarInfo(f"pack/{name}.pth")
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return made.getvalue()


PACKED = tar(packed=CONTENT)


class Answers(BaseHTTPRequestHandler):
    """Serves by path; the server counts what was asked for."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        served = {"/toy.pth": CONTENT, "/other.pth": CONTENT[::-1], "/short.pth": CONTENT[:9], "/pack.tar.gz": PACKED}
        served |= {"/hostile.tar.gz": tar(**{"../../outside": b"1"}), "/page.tar.gz": b"<html>log in first</html>"}
        if self.path.startswith("/dropped") and self.server.drops:
            self.server.drops -= 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: len(CONTENT) // 2])
        elif self.path in served or self.path == "/dropped.pth":
            content = served.get(self.path, CONTENT)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.send_error(404)

    def log_message(self, *said: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server on this machine, told by its ``url``."""
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    serving.asked, serving.drops = [], 1
    serving.url = f"http://127.0.0.1:{serving.server_address[1]}"
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield serving
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache of its own, and no proxy in between."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "CONFORMANCE_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    return Cache()


def download(server: ThreadingHTTPServer, name: str, **said: object) -> Download:
    return Download(**{"url": f"{server.url}/{name}", "file": name, "sha256": SHA256, "size": len(CONTENT), **said})


def kept(cache: Cache) -> list[str]:
    files = (path for path in cache.root.rglob("*") if path.is_file() and path.suffix != ".lock")
    return sorted(path.name for path in files)


class TestTransfer:
    def test_a_file_is_fetched_and_kept_under_its_name(self, server, cache):
        wanted = download(server, "toy.pth")
        assert cache.fetched(wanted) is None
        path = cache.fetch(wanted, transfer)
        assert (path.name, path.read_bytes()) == ("toy.pth", CONTENT)
        assert cache.fetched(wanted) == path
        assert kept(cache) == ["toy.pth"]

    @pytest.mark.parametrize(
        ("name", "said", "told"),
        [
            ("absent.pth", {}, r"/absent\.pth could not be fetched: 404 .*; what arrived was discarded"),
            ("dropped.pth", {}, r"/dropped\.pth could not be fetched: .*160000 bytes read, 160000 more expected"),
            ("dropped.pth", {"sha256": None, "size": None}, "could not be fetched: .*160000 more expected"),
            ("short.pth", {}, r"/short\.pth: has 9 bytes, short\.pth has 320000; what arrived was discarded"),
            ("other.pth", {}, rf"/other\.pth: its sha256 is [0-9a-f]+, that of other\.pth is {SHA256}; what arrived"),
        ],
        ids=["404", "connection dropped", "dropped, nothing declared", "short", "other bytes"],
    )
    def test_what_is_not_the_declared_file_is_told_and_not_kept(self, server, cache, name, said, told):
        with pytest.raises(Broken, match=told):
            cache.fetch(download(server, name, **said), transfer)
        assert kept(cache) == []
        assert list((cache.root / ".partial").iterdir()) == []

    def test_after_a_dropped_connection_the_next_fetch_starts_again(self, server, cache):
        with pytest.raises(Broken):
            cache.fetch(download(server, "dropped.pth"), transfer)
        assert cache.fetch(download(server, "dropped.pth"), transfer).read_bytes() == CONTENT

    def test_without_a_server_the_url_is_named(self, server, cache):
        wanted = download(server, "toy.pth", url="http://127.0.0.1:9/toy.pth")
        with pytest.raises(Broken, match=r"^http://127\.0\.0\.1:9/toy\.pth could not be fetched: .*refused"):
            cache.fetch(wanted, transfer)

    def test_a_scheme_that_is_no_transfer_is_refused(self, server, cache, tmp_path):
        (tmp_path / "toy.pth").write_bytes(CONTENT)
        with pytest.raises(Broken, match="could not be fetched: No connection adapters"):
            cache.fetch(download(server, "toy.pth", url=(tmp_path / "toy.pth").as_uri()), transfer)

    def test_an_interrupted_transfer_leaves_nothing(self, server, cache):
        def interrupted(url: str, to: Path) -> None:
            to.write_bytes(CONTENT[:9])
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cache.fetch(download(server, "toy.pth"), interrupted)
        assert cache.fetched(download(server, "toy.pth")) is None
        assert kept(cache) == []

    def test_what_a_killed_transfer_left_is_not_used(self, server, cache):
        wanted = download(server, "toy.pth")
        path = cache.fetch(wanted, transfer)
        path.unlink()
        (cache.root / ".partial" / f"fetched-{path.parent.name}").mkdir()
        (cache.root / ".partial" / f"fetched-{path.parent.name}" / "file").write_bytes(CONTENT[:9])
        assert cache.fetched(wanted) is None
        assert cache.fetch(wanted, transfer).read_bytes() == CONTENT

    def test_a_failed_fetch_leaves_what_was_fetched_before(self, server, cache):
        path = cache.fetch(download(server, "toy.pth"), transfer)
        with pytest.raises(Broken):
            cache.fetch(download(server, "toy.pth", url=f"{server.url}/other.pth"), transfer)
        assert path.read_bytes() == CONTENT

    def test_a_full_disk_names_the_cache_and_its_variable(self, server, cache):
        def full(url: str, to: Path) -> None:
            raise OSError(28, "No space left on device")

        with pytest.raises(
            Broken, match=r"toy\.pth: the cache .* cannot be written: .*No space left.*CONFORMANCE_CACHE="
        ):
            cache.fetch(download(server, "toy.pth"), full)

    def test_a_place_that_cannot_be_written_is_no_fault_of_the_server(self, server, tmp_path):
        with pytest.raises(FileNotFoundError, match="absent"):
            transfer(f"{server.url}/toy.pth", tmp_path / "absent" / "file")

    def test_a_long_transfer_shows_how_far_it_is(self, server, cache, capsys, monkeypatch):
        monkeypatch.setattr(module, "EVERY", 0.0)
        cache.fetch(download(server, "toy.pth"), transfer)
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith("toy.pth: 0.1 of 0.3 MB")
        assert len(said) < 10


@pytest.fixture
def declared(server: ThreadingHTTPServer, tmp_path: Path) -> Path:
    """A folder with the declaration of a model: two files of weights, one of them in an archive, and a data set."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "toy.py").write_text(
        f'''
from harness.form import Form
from harness.model import Model
from harness.sizes import BATCH, Point, TensorSpec
from harness.reference import Archive, Asset, DataSet, Reference

SAID = {{"licence": "CC0", "source": "the vendor's page"}}
SHA256 = "{SHA256}"
PLAIN = Asset(name="toy.pth", patterns=("**/toy.pth",), sha256=SHA256, url="{server.url}/toy.pth", **SAID)
ARCHIVE = Archive(name="pack.tar.gz", url="{server.url}/pack.tar.gz", sha256="{hashlib.sha256(PACKED).hexdigest()}")
PACKED = Asset(name="packed weights", patterns=("**/packed.pth",), size={len(CONTENT)}, archive=ARCHIVE, **SAID)
PAGE = Asset(name="page", patterns=("**/p.pth",), archive=Archive(name="p", url="{server.url}/page.tar.gz"), **SAID)
HOSTILE = Asset(name="bad", patterns=("**/b",), archive=Archive(name="b", url="{server.url}/hostile.tar.gz"), **SAID)
LOST = Asset(name="lost", patterns=("**/lost",), url="{server.url}/absent.pth", **SAID)
WORDS = Asset(name="words", patterns=("**/words",), **SAID)
TENSORS = {{"axes": (BATCH, 2), "dtype": "float32"}}
MODEL = Model(
    name="toy", title="Toy", guide="000", family="recognition", network="t:n", points=(Point(batch=1),),
    inputs=(TensorSpec(name="x", **TENSORS),), outputs=(TensorSpec(name="y", **TENSORS),), accuracy_batch=1,
    forms=(Form(name="weights", parent=None, step="t:c", format="weights"),), main="weights",
    references=(
        Reference(name="official", weights=(PLAIN, PACKED), data=DataSet(name="words", reader="t:r", n=1, asset=WORDS)),
        Reference(name="bundled", weights=(PLAIN, PAGE, HOSTILE, LOST)),
    ),
    feed="t:f", decode="t:d", metric="t:M", compare="t:c",
)
'''
    )
    return tmp_path / "models"


class Told:
    """What the command says, and how it ends."""

    def __init__(self, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.models = models
        self.capsys = capsys

    def __call__(self, verb: str, *words: str) -> tuple[int, str, str]:
        status = main(["assets", verb, *words, f"--models={self.models}", "--model=toy"])
        return status, *self.capsys.readouterr()


@pytest.fixture
def told(declared: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(declared, capsys)


class TestCommands:
    def test_listing_tells_all_of_each_asset_once_and_asks_no_server(self, told, server, tmp_path):
        (tmp_path / "words").mkdir()
        status, out, _ = told("list", f"--assets={tmp_path}")
        assert status == 0
        assert out.count("toy.pth\n  needed by  toy official (weights), toy bundled (weights)\n") == 1
        for line in (
            "  licence    CC0",
            f"  sha256     {SHA256}",
            f"  size       {len(CONTENT)} bytes",
            "  found      absent",
            f"  found      {tmp_path / 'words'}",
            f"  fetchable  {server.url}/pack.tar.gz",
            "  fetchable  no; get it from the vendor's page",
        ):
            assert line in out.splitlines()
        assert server.asked == []

    def test_fetching_a_name_puts_it_where_it_is_found_from_then_on(self, told, server, cache):
        status, out, err = told("fetch", "packed weights", "toy.pth")
        assert (status, err) == (0, "")
        assert f"fetched  packed weights: {cache.root}/unpacked/" in out
        assert f"fetched  toy.pth: {cache.root}/fetched/" in out
        assert "packed.pth (sha256 not declared, so not checked)" in out
        assert server.asked == ["/toy.pth", "/pack.tar.gz"]
        assert told("fetch", "packed weights", "toy.pth")[1].count("found  ") == 2
        assert len(server.asked) == 2
        status, out, _ = told("verify")
        assert status == 0
        assert f"toy.pth, sha256 {SHA256} (size not declared, so not checked)" in out
        assert out.count("absent   ") == 4

    def test_what_cannot_be_had_is_told_with_the_reason_and_ends_with_1(self, told, cache):
        status, out, err = told("fetch")
        assert status == 1
        assert err == "error: 4 of 6 assets could not be had: words, page, bad, lost\n"
        assert "fetched  toy.pth: " in out
        assert (
            "LACKING  words: words not found: looked for **/words in no folder given; get it from the vendor's page"
            in out
        )
        assert "is neither a zip nor a tar archive, it begins with b'<html>log in fir'" in out
        assert "refused, nothing was unpacked: member 'pack/../../outside.pth' leads out of its folder" in out
        assert "/absent.pth could not be fetched: 404" in out
        assert out.count("get it by hand from the vendor's page, and pass --assets=DIR with where it lies") == 3
        assert kept(cache) == [
            *sorted(path.name for path in (cache.root / "archives").iterdir()),
            "pack.tar.gz",
            "packed.pth",
            "toy.pth",
        ]
        assert told("verify")[1].count("absent   ") == 4

    def test_a_fetched_file_that_was_damaged_since_is_fetched_again(self, told, cache):
        told("fetch", "toy.pth")
        damaged = next(cache.root.rglob("toy.pth"))
        damaged.write_bytes(CONTENT[:9])
        assert told("verify", "toy.pth")[0] == 1
        assert told("fetch", "toy.pth")[0] == 0
        assert damaged.read_bytes() == CONTENT

    def test_nothing_is_fetched_unless_it_is_named(self, declared, server, capsys):
        with pytest.raises(SystemExit) as ended:
            main(["assets", "fetch", f"--models={declared}"])
        assert ended.value.code == 2
        assert "name assets, or a model with --model NAME" in capsys.readouterr().err
        assert server.asked == []

    def test_an_unknown_name_ends_with_1_and_the_nearest_spelling(self, told):
        status, _, err = told("fetch", "toy.pht")
        assert status == 1
        assert "did you mean 'toy.pth'?" in err

    def test_verifying_names_what_is_not_as_declared_and_ends_with_1(self, told, tmp_path):
        (tmp_path / "toy.pth").write_bytes(b"others")
        status, out, err = told("verify", "toy.pth", f"--assets={tmp_path}")
        assert status == 1
        assert f"WRONG    toy.pth: {tmp_path / 'toy.pth'}: its sha256 is " in out
        assert err == "error: 1 of 1 assets are not what they should be\n"

    def test_verifying_tells_what_was_passed_by_for_the_right_one(self, told, tmp_path):
        (tmp_path / "toy.pth").write_bytes(b"others")
        assert told("fetch", "toy.pth", f"--assets={tmp_path}")[0] == 0
        status, out, _ = told("verify", "toy.pth", f"--assets={tmp_path}")
        assert status == 0
        assert f"passed   toy.pth: {tmp_path / 'toy.pth'}: its sha256 is " in out
        assert "ok       toy.pth: " in out

    def test_the_variable_is_looked_in_too_and_a_wrong_one_is_named(self, told, tmp_path, monkeypatch):
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "toy.pth").write_bytes(CONTENT)
        monkeypatch.setenv("CONFORMANCE_ASSETS", str(tmp_path / "there"))
        assert f"ok       toy.pth: {tmp_path / 'there' / 'toy.pth'}, " in told("verify", "toy.pth")[1]
        monkeypatch.setenv("CONFORMANCE_ASSETS", str(tmp_path / "away"))
        status, _, err = told("verify", "toy.pth")
        assert (status, err) == (1, f"error: CONFORMANCE_ASSETS: {tmp_path / 'away'}: no such folder\n")

    def test_helps_explain(self, capsys):
        for words in (["assets"], ["assets", "list"], ["assets", "fetch"], ["assets", "verify"]):
            with pytest.raises(SystemExit):
                main([*words, "--help"])
            out = capsys.readouterr().out
            assert "CONFORMANCE_ASSETS" in out
            assert "CONFORMANCE_CACHE" in out


def test_finding_asks_no_server(server, declared, tmp_path):
    from harness.registry import load_models

    models = load_models([declared])
    assert ("toy", "official") not in Assets((tmp_path,)).references(models.values())
    assert server.asked == []
