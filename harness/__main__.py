"""``python -m harness``: what is here, what can be asked, and work on files beside the suite."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from harness.commands import assets, cells, compare_layers, doctor, dump_layers, golden, operators, pack, score, store
from harness.declaration import DeclarationError
from harness.verdict import Outcome

COMMANDS = {
    "doctor": doctor,
    "cells": cells,
    "operators": operators,
    "pack": pack,
    "score": score,
    "dump-layers": dump_layers,
    "compare-layers": compare_layers,
    "assets": assets,
    "store": store,
    "golden": golden,
}


def main(arguments: list[str] | None = None) -> int:
    """Prints what was asked for; 0 when it could be, or the status that the command says itself, 1 with a line on
    standard error when it could not, 2 for wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return _print(COMMANDS[options.command].run(options))
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
    except (DeclarationError, Outcome, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _print(lines: Iterator[str]) -> int:
    """The status that the command returned behind its last line; 0 where it returned none."""
    while True:
        try:
            line = next(lines)
        except StopIteration as end:
            return int(end.value or 0)
        print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness", description="What is here, what can be asked, and work on files beside the suite."
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    for name, command in COMMANDS.items():
        command.declare(commands.add_parser(name, help=command.TEXT, description=command.TEXT))
    return parser


if __name__ == "__main__":
    sys.exit(main())
