"""``python -m reports``: renders a record, or compares two."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.declaration import DeclarationError
from harness.registry import load_models
from reports.compare import INCOMPARABLE, compare
from reports.comparison import render_comparison
from reports.record import RESULTS, Record, RecordError, find, read
from reports.render import render

REPORT, PAGE = "report.md", "report.html"
RUNS = f"""A run is a run folder, its record.json, latest, or latest~N for the N-th run before the latest.
latest looks in --results (default: {RESULTS.name} in the project), at folders that hold a record.json, by name."""
RENDER = f"""{RUNS}

exit codes:
  0  the report was made, whatever the verdicts in it
  2  no such run, a record that cannot be read, or wrong usage

examples:
  python -m reports render
  python -m reports render --html latest~1
  python -m reports render results/20260101T000000Z-abc123 --out=report.md"""
COMPARE = f"""{RUNS}

exit codes:
  0  nothing got worse
  1  something got worse: a verdict turned to fail, broken or inconclusive, an answer vanished or is skipped now,
     a new answer is fail or broken, more samples were lost than gained with p < 0.05 (of detectors and segmentation:
     the 95% interval of the difference of hmean or mIoU lies below 0), or a latency ratio is above --limit
  2  nothing got worse, but something that both measured cannot be compared (other weights, reference, clock, metric
     or samples, outcomes missing), one alone was made with stand-in tools, or they have no answer in common; also:
     no such run, or wrong usage

examples:
  python -m reports compare latest~1 latest
  python -m reports compare results/baseline results/nightly --limit=1.05"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says and returns its exit code; a report goes to standard output."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return INCOMPARABLE
    try:
        return int(given.command(given))
    except (RecordError, DeclarationError, OSError) as error:
        print(f"reports: error: {error}", file=sys.stderr)
        return INCOMPARABLE


def _render(given: argparse.Namespace) -> int:
    record = read(find(given.run, given.results))
    models = load_models(given.models)
    report, page = _paths(given, record)
    text = render(record, models)
    _print(text)
    _save(report, text)
    if given.html:
        # The template engine is loaded for a page only.
        from reports.page import page as render_page

        _save(page, render_page(record, models))
    return 0


def _paths(given: argparse.Namespace, record: Record) -> tuple[Path, Path]:
    """Where the report and its page are saved: in the run folder, or side by side where ``--out`` says."""
    if given.out is None:
        return record.folder / REPORT, record.folder / PAGE
    page = given.out.with_suffix(Path(PAGE).suffix)
    # A page that is named must not be overwritten by the report, or the reverse.
    return (page.with_suffix(Path(REPORT).suffix) if given.html and given.out == page else given.out), page


def _save(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    print(f"saved: {path}", file=sys.stderr)


def _compare(given: argparse.Namespace) -> int:
    a, b = (read(find(run, given.results)) for run in (given.a, given.b))
    found = compare(a, b, given.limit, load_models(given.models))
    _print(render_comparison(found))
    return found.exit_code


def _print(text: str) -> None:
    """Prints also where the terminal cannot show every letter of a sample's id."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), end="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports",
        description="Renders the record of a run as Markdown and as a page, or compares two records.",
        epilog="python -m reports render --help and compare --help say more: exit codes, examples.",
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_render(
        commands.add_parser(
            "render",
            help="one record as Markdown, and as a page",
            description=f"Prints the report on a run and saves it as {REPORT} in the run folder; with --html also as a "
            f"page that stands alone, {PAGE}.",
            epilog=RENDER,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _add_compare(
        commands.add_parser(
            "compare",
            help="what changed from A to B",
            description="Prints what changed from run A to run B: verdicts, samples, latency, provenance.",
            epilog=COMPARE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    return parser


def _add_render(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", metavar="RUN", nargs="?", default="latest", help="the run (default: latest)")
    add("--html", action="store_true", help=f"save {PAGE} too: all of the record as one page for a browser")
    out = f"save the report here, not as {REPORT}; with --html the page lies beside it, ending in .html"
    add("--out", metavar="FILE", type=_path, help=out)
    _add_where(parser)
    parser.set_defaults(command=_render)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("a", metavar="A", help="the earlier run")
    add("b", metavar="B", help="the later run")
    limit = "the latency ratio B / A above which B got worse (default: ratios are shown, not judged)"
    add("--limit", metavar="R", type=_limit, help=limit)
    _add_where(parser)
    parser.set_defaults(command=_compare)


def _add_where(parser: argparse.ArgumentParser) -> None:
    """Adds where declarations and runs are looked for."""
    models = "folder of further declarations, as in the run; repeatable"
    parser.add_argument("--models", metavar="DIR", type=_path, action="append", default=[], help=models)
    results = "where latest looks (default: %(default)s)"
    parser.add_argument("--results", metavar="DIR", type=_path, default=RESULTS, help=results)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _limit(text: str) -> float:
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not (math.isfinite(limit) and limit > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a ratio above 0, such as 1.1")
    return limit


if __name__ == "__main__":
    sys.exit(main())
