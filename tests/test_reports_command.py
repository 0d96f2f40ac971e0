"""``python -m reports`` prints, saves, and ends with the code that its help promises."""

from __future__ import annotations

import json

import pytest

from reports.__main__ import main
from tests.records import accuracy, one, timing, write

ALONE = """
import sys
from reports.__main__ import main
code = main(sys.argv[1:])
heavy = sorted({"torch", "onnx", "onnxruntime", "pytest", "cv2"} & set(sys.modules))
print("heavy:", heavy, "code:", code)
"""


@pytest.fixture
def results(tmp_path):
    """Two runs; the later one lost a verdict."""
    folder = tmp_path / "results"
    write(folder / "run1", [one(), timing(1.0)])
    write(folder / "run2", [one(verdict="fail", line="off"), timing(1.0)])
    return folder


def run(*arguments, results=None):
    return main([*map(str, arguments), *([f"--results={results}"] if results else [])])


class TestRender:
    def test_the_latest_run_is_printed_and_saved_beside_its_record(self, results, capsys):
        assert run("render", results=results) == 0
        printed = capsys.readouterr().out
        assert printed == (results / "run2" / "report.md").read_text()
        assert printed.startswith("# Conformance run run2\n")

    def test_another_file_is_written_instead_of_the_run_folders(self, results, tmp_path, capsys):
        out = tmp_path / "mine.md"
        assert run("render", "latest~1", f"--out={out}", results=results) == 0
        assert out.read_text() == capsys.readouterr().out
        assert not (results / "run1" / "report.md").exists()

    def test_a_page_is_saved_beside_the_report_and_both_are_named(self, results, capsys):
        assert run("render", "--html", "latest", results=results) == 0
        captured = capsys.readouterr()
        folder = results / "run2"
        assert captured.out == (folder / "report.md").read_text()
        assert captured.err == f"saved: {folder / 'report.md'}\nsaved: {folder / 'report.html'}\n"
        assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")

    def test_no_page_is_saved_unless_it_is_asked_for(self, results, capsys):
        assert run("render", results=results) == 0
        assert not (results / "run2" / "report.html").exists()

    @pytest.mark.parametrize(("out", "report"), [("a.md", "a.md"), ("a.txt", "a.txt"), ("a.html", "a.md")])
    def test_another_file_puts_the_page_beside_it(self, results, tmp_path, capsys, out, report):
        assert run("render", "--html", f"--out={tmp_path / out}", results=results) == 0
        assert (tmp_path / report).read_text() == capsys.readouterr().out
        assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
        assert not (results / "run2" / "report.html").exists()

    def test_the_record_is_not_touched(self, results, capsys):
        before = (results / "run2" / "record.json").read_bytes()
        run("render", results=results)
        assert (results / "run2" / "record.json").read_bytes() == before
        assert capsys.readouterr().out

    def test_a_missing_run_ends_with_2_and_says_what_to_give(self, tmp_path, capsys):
        assert run("render", tmp_path / "gone") == 2
        assert "gone: no such run; give a run folder" in capsys.readouterr().err

    def test_a_damaged_record_ends_with_2(self, results, capsys):
        (results / "run2" / "record.json").write_text('{"schema": 1,')
        assert run("render", results=results) == 2
        assert "cut short or damaged" in capsys.readouterr().err

    def test_a_report_that_cannot_be_saved_is_printed_and_ends_with_2(self, results, tmp_path, capsys):
        assert run("render", f"--out={tmp_path / 'no' / 'folder.md'}", results=results) == 2
        captured = capsys.readouterr()
        assert captured.out.startswith("# Conformance run")
        assert "folder.md" in captured.err

    def test_further_declarations_are_read(self, results, tmp_path, capsys):
        assert run("render", f"--models={tmp_path / 'nowhere'}", results=results) == 2
        assert "no such folder of declarations" in capsys.readouterr().err


class TestCompare:
    @pytest.mark.parametrize(
        ("a", "b", "code"), [("latest~1", "latest", 1), ("latest", "latest~1", 0), ("latest", "latest", 0)]
    )
    def test_it_ends_with_what_it_found(self, results, a, b, code, capsys):
        assert run("compare", a, b, results=results) == code
        assert capsys.readouterr().out.startswith("# Comparison of run")

    def test_the_limit_decides_on_latency(self, tmp_path, capsys):
        a, b = write(tmp_path / "a", [timing(1.0)]), write(tmp_path / "b", [timing(1.2)])
        assert [run("compare", a, b, *limit) for limit in ((), ("--limit=1.1",), ("--limit=1.3",))] == [0, 1, 0]
        text = capsys.readouterr().out
        assert "not judged without --limit" in text
        assert "limit 1.3" in text

    def test_what_cannot_be_compared_ends_with_2(self, tmp_path, capsys):
        sides = [write(tmp_path / name, [accuracy(tmp_path / name, {"x": True})]) for name in ("a", "b")]
        (tmp_path / "b" / "outcomes" / "outcomes.jsonl").unlink()
        assert run("compare", *sides) == 2
        assert "B has no file outcomes/outcomes.jsonl" in capsys.readouterr().out

    def test_another_schema_ends_with_2(self, tmp_path, capsys):
        a, b = write(tmp_path / "a", [one()]), write(tmp_path / "b", [one()], schema=2)
        assert run("compare", a, b) == 2
        assert "schema 2 found, 1 supported" in capsys.readouterr().err

    @pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf", "fast"])
    def test_a_limit_that_is_no_ratio_is_wrong_usage(self, results, limit, capsys):
        with pytest.raises(SystemExit) as ended:
            run("compare", "latest", "latest", f"--limit={limit}", results=results)
        assert ended.value.code == 2
        assert "expected a ratio above 0" in capsys.readouterr().err

    def test_one_run_is_wrong_usage(self, results, capsys):
        with pytest.raises(SystemExit) as ended:
            run("compare", "latest", results=results)
        assert ended.value.code == 2
        assert "required: B" in capsys.readouterr().err


class TestHelp:
    def test_alone_it_prints_help_and_ends_with_2(self, capsys):
        assert run() == 2
        printed = capsys.readouterr().out
        assert "render" in printed
        assert "compare" in printed

    @pytest.mark.parametrize("command", ["render", "compare"])
    def test_a_commands_help_explains_its_exit_codes_with_examples(self, command, capsys):
        with pytest.raises(SystemExit) as ended:
            run(command, "--help")
        printed = capsys.readouterr().out
        assert ended.value.code == 0
        assert "exit codes:\n  0  " in printed
        assert f"python -m reports {command} " in printed


class TestProcess:
    @pytest.mark.parametrize("arguments", [("render", "--html", "latest"), ("compare", "latest~1", "latest")])
    def test_no_backend_is_imported(self, results, python, arguments):
        out, _ = python(ALONE, *arguments, f"--results={results}").communicate(timeout=60)
        assert out.splitlines()[-1].startswith("heavy: [] code: ")

    def test_the_exit_code_is_that_of_the_process(self, results, python):
        script = "import runpy, sys; sys.argv[0] = 'reports'; runpy.run_module('reports', run_name='__main__')"
        codes = []
        for arguments in (("compare", "latest~1", "latest"), ("render",), ()):
            process = python(script, *arguments, *([f"--results={results}"] if arguments else []))
            process.communicate(timeout=60)
            codes.append(process.returncode)
        assert codes == [1, 0, 2]

    def test_letters_that_the_terminal_lacks_are_printed_escaped(self, tmp_path, python):
        for name, hit in (("a", True), ("b", False)):
            write(tmp_path / name, [accuracy(tmp_path / name, {"\u5b57": hit})])
        script = f"import sys; sys.stdout.reconfigure(encoding='ascii')\n{ALONE}"
        out, _ = python(script, "compare", tmp_path / "a", tmp_path / "b").communicate(timeout=60)
        assert "lost: \\u5b57" in out
        assert json.loads((tmp_path / "a" / "outcomes" / "outcomes.jsonl").read_text())["id"] == "\u5b57"
