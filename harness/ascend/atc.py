"""Whether atc compiled a model: from what it printed, its exit code and the files in its folder, all three together.

atc prints its verdict on stdout. Warnings (``W11001``) follow a success and mean nothing for it; a success without an
artefact, and a failure that exits with 0, are both failures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.ascend.printed import Printed, lines_of
from harness.process.faults import Fault, ending, error_lines, fault, shown
from harness.verdict import Broken, Refused

SUCCESS = "ATC run success"
FAILURE = "ATC run failed"
"""Looked for anywhere in a line: a known variant prints a stray letter before."""

CODE_LINE = re.compile(r"^([EW][0-9A-Z][0-9]{4}):(?: (?:\[PID: [0-9]+\] [0-9:.\-]+(?: |$))?(.*))?$")
# Some logs lose the line break before it.
SOLUTION = re.compile(r"\s*Solution:.*")
OPERATOR = re.compile(r"\b(?:Op|found for) \[([^\[\],]+)")
OPTYPE = re.compile(r"\b[Oo]ptype \[([^\[\]]+)\]")
SUFFIX = re.compile(r"(?:_[a-z]+_(?:x86_64|aarch64|arm64|riscv64))?\.om")
"""After the name that was asked for; with system and processor where the model holds code for the host."""

ENVIRONMENT = {"E40000": "a module of the toolkit's Python", "EC0010": "a module of the toolkit's Python"}
NO_ARGUMENTS = ("E10054", "E10007")
"""What atc answers without arguments, older and newer: the tool itself loads."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A line with a code, and the operators and operator types that it and its trace name, each once, in order."""

    code: str
    text: str
    operators: tuple[str, ...]
    optypes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Compile:
    """What became of a compile. ``artefact`` is the name of the one file made, and nothing unless all agree;
    ``problems`` say why not; ``environment`` is what is wrong with the machine where that is to blame."""

    artefact: str | None
    problems: tuple[str, ...]
    errors: tuple[Message, ...]
    warnings: tuple[Message, ...]
    environment: Fault | None

    @property
    def succeeded(self) -> bool:
        return not self.problems

    def checked(self) -> str:
        """The artefact's name. Raises ``Broken`` where the environment failed, else ``Refused``, with every code,
        message and operator."""
        if self.artefact is not None and self.succeeded:
            return self.artefact
        told = "; ".join((*self.problems, *map(_told, self.errors)))
        if self.environment:
            one = self.environment
            raise Broken(f"atc: {told}; {one.what}: {one.line}; {one.remedy}")
        raise Refused(f"atc: {told}")


def judge(printed: Printed, code: int, files: Sequence[str], output: str) -> Compile:
    """What became of a compile with ``--output=output`` (a plain name) in a folder of its own, which was empty.

    ``code`` is the exit code, negative for a signal; ``files`` are the names found in the folder afterwards: kernels
    and reports beside the artefact mean nothing. Never raises for what a tool printed: see ``Compile.checked``.
    """
    lines = lines_of(printed)
    messages = _messages(lines)
    errors = tuple(one for one in messages if one.code[0] == "E")
    artefacts = sorted(name for name in files if name.endswith(".om") and "/" not in name)
    problems = (*_said(lines, code, errors), *_made(artefacts, output))
    return Compile(
        artefact=None if problems else artefacts[0],
        problems=problems,
        errors=errors,
        warnings=tuple(one for one in messages if one.code[0] == "W"),
        environment=_environment(lines, code, errors) if problems else None,
    )


def check_loads(printed: Printed, code: int) -> None:
    """atc has answered a call without arguments by naming the argument that it lacks, so it loads. Raises ``Broken``
    with what it printed where it does not."""
    lines = lines_of(printed)
    if any(FAILURE in line for line in lines) and {one.code for one in _messages(lines)} & set(NO_ARGUMENTS):
        return
    one = _environment(lines, code, _messages(lines))
    blamed = f"; {one.what}: {one.line}; {one.remedy}" if one else ""
    raise Broken(
        f"atc: expected {FAILURE!r} with {' or '.join(NO_ARGUMENTS)} for a call without arguments, found "
        f"{' | '.join(error_lines(lines)) or 'nothing printed'}; {ending(code)}{blamed}"
    )


def _said(lines: tuple[str, ...], code: int, errors: tuple[Message, ...]) -> tuple[str, ...]:
    """What text and exit code say against a success."""
    success = any(SUCCESS in line for line in lines)
    failure = any(FAILURE in line for line in lines)
    problems = []
    if not success and not failure:
        last = repr(shown(lines[-1])) if lines else "nothing printed"
        problems.append(f"expected {SUCCESS!r} or {FAILURE!r}, found neither; last line: {last}")
    if failure:
        problems.append(f"it says {FAILURE!r}" + (f" and {SUCCESS!r}" if success else ""))
    if errors and success:
        problems.append(f"it says {SUCCESS!r} and prints {', '.join(one.code for one in errors)}")
    if code != 0:
        problems.append(ending(code))
    elif problems:
        problems.append("exit code 0 all the same")
    return tuple(problems)


def _made(artefacts: Sequence[str], output: str) -> tuple[str, ...]:
    """What the folder says against a success."""
    expected = f"{output}.om or {output}_<system>_<processor>.om"
    if len(artefacts) != 1:
        return (f"expected one file {expected}, found {shown(', '.join(artefacts)) or 'none'}",)
    name = artefacts[0]
    if not name.startswith(output) or not SUFFIX.fullmatch(name[len(output) :]):
        return (f"expected a file {expected}, found {shown(name)}",)
    return ()


def _messages(lines: tuple[str, ...]) -> tuple[Message, ...]:
    """The lines with a code, each with the indented lines of its trace."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        coded = CODE_LINE.match(line)
        if coded:
            found.append((coded[1], [SOLUTION.sub("", coded[2] or "")]))
        elif found and line[0].isspace():
            found[-1][1].append(line)
        # What stands at the margin without a code belongs to no message, but does not end a trace either: another
        # process may have printed it in between.
    return tuple(_message(code, texts) for code, texts in found)


def _message(code: str, texts: list[str]) -> Message:
    whole = "\n".join(texts)
    return Message(
        code=code,
        text=texts[0],
        operators=tuple(dict.fromkeys(OPERATOR.findall(whole))),
        optypes=tuple(dict.fromkeys(OPTYPE.findall(whole))),
    )


def _told(message: Message) -> str:
    others = [name for name in message.operators if name not in message.text]
    also = f" (also {shown(', '.join(others))})" if others else ""
    return shown(f"{message.code}: {message.text}") + also


def _environment(lines: tuple[str, ...], code: int, errors: tuple[Message, ...]) -> Fault | None:
    """What is wrong with the machine: by atc's own code, else by the words of loaders and interpreters."""
    for one in errors:
        if one.code in ENVIRONMENT:
            what = f"{ENVIRONMENT[one.code]} cannot be imported"
            return Fault(what, shown(f"{one.code}: {one.text}"), "install what the line names, and run set_env.sh")
    return fault(lines, code)
