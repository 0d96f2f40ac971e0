"""A real browser shows the page without an error, leads to every answer, and never scrolls it sideways."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from harness.registry import load_models
from reports.page import page
from reports.record import find, read
from tests.records import everything, good, made, one, through

NAMES = ("chromium", "chromium-browser", "google-chrome")
MODELS = {"crnn": load_models()["crnn"]}
WIDTHS = (390, 1400)
MEASURE = """<!doctype html><body>{frames}<p id="widths"></p><script>
addEventListener("load", () => {{
  const widths = [...document.querySelectorAll("iframe")].map((frame) => frame.contentDocument.documentElement);
  document.querySelector("#widths").textContent = widths.map((root) => root.scrollWidth).join(" ");
}});
</script>"""


@pytest.fixture(scope="session")
def chromium() -> str:
    """A Chromium that starts."""
    wanted = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else NAMES
    found = next(filter(None, map(shutil.which, wanted)), None)
    if found is None:
        pytest.skip(f"no {', '.join(wanted)} on the PATH; install chromium, or name one with CHROMIUM=PATH")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60, check=False)
    if version.returncode != 0:
        pytest.skip(f"{found} does not start: {version.stderr.strip()[-300:]}")
    return found


@pytest.fixture
def shown(chromium, tmp_path):
    """Opens a file in Chromium. Returns the document as it stands then, and what the console said."""

    def show(path: Path, anchor: str = "") -> tuple[str, list[str]]:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0"]
        options += ["--virtual-time-budget=2000", "--dump-dom", f"{path.as_uri()}{anchor}"]
        done = subprocess.run([chromium, *options], capture_output=True, text=True, timeout=180, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return show


@pytest.fixture
def whole(tmp_path) -> str:
    """The page of a run with everything answered."""
    return page(read(find(str(everything(tmp_path / "run", good, official=True)))), MODELS)


def test_pictures_are_shown_from_the_page_alone(tmp_path, shown):
    (tmp_path / "run" / "pictures").mkdir(parents=True)
    Image.new("RGB", (31, 17), "red").save(tmp_path / "run" / "pictures" / "a.jpg")
    text = page(made(tmp_path / "run", [one("accuracy", hits=1, n=2, pictures=["pictures/a.jpg"])]), MODELS)
    assert "<img" in text
    _, said = shown(saved(tmp_path / "a.html", text))
    assert said == []
    elsewhere = "".join(f'<img src="{source}">' for source in ("x.png", "https://example.org/x.jpg"))
    _, said = shown(saved(tmp_path / "b.html", text.replace("<main>", f"<main>{elsewhere}")))
    assert "".join(said).count("Content Security Policy") == 2


def saved(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_console_says_nothing_and_a_link_to_an_answer_opens_its_list(tmp_path, shown, whole):
    document, said = shown(saved(tmp_path / "report.html", whole), "#batching-crnn-ort-fp32-bs64-bundled")
    assert said == []
    assert re.findall(r"<details[^>]* open", document)
    closed, _ = shown(tmp_path / "report.html")
    assert not re.findall(r"<details[^>]* open", closed)


@pytest.mark.parametrize("fault", ['<img src="x.png">', "<script>alert(1)</script>"])
def test_what_runs_or_fetches_would_be_noticed(tmp_path, shown, whole, fault):
    _, said = shown(saved(tmp_path / "report.html", whole.replace("<main>", f"<main>{fault}")))
    assert "Content Security Policy" in "".join(said)


def test_the_page_never_scrolls_sideways(tmp_path, shown, whole):
    long = "x" * 500
    answers = [one("build", subject=long, model=long, form=long, verdict="fail", line=long, reference=long)]
    answers += [through(subject=f"s{number}", point=long, model=f"m{number}", weights=long) for number in range(3)]
    (tmp_path / "long" / "pictures").mkdir(parents=True)
    Image.new("RGB", (2000, 9)).save(tmp_path / "long" / "pictures" / "wide.jpg")
    pictures = [long, "pictures/wide.jpg"]
    answers += [one("accuracy", hits=1, n=2, acc=0.5, metric=long, reference=long, pictures=pictures)]
    worst = page(made(tmp_path / "long", answers, {long: long}), MODELS)
    pages = [text.replace("<details", "<details open") for text in (whole, worst)]
    pages.append("<body><div style='width: 2000px'>a page that scrolls</div>")
    frames = [
        f'<iframe style="width: {width}px; height: 400px; border: 0" srcdoc="{html.escape(text)}"></iframe>'
        for text in pages
        for width in WIDTHS
    ]
    document, _ = shown(saved(tmp_path / "frames.html", MEASURE.format(frames="".join(frames))))
    widths = [int(width) for width in re.findall(r'id="widths">([\d ]+)<', document)[0].split()]
    assert len(widths) == len(frames)
    assert all(found <= width for found, width in zip(widths[:4], WIDTHS * 2, strict=True)), widths
    assert min(widths[4:]) >= 2000
