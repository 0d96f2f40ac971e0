"""Steps: the edges of the tree of forms, and of everything else that the store keeps."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.declaration import Scalar
from harness.sizes import TensorSpec
from harness.verdict import Absent

Facts = Mapping[str, Scalar]


@dataclass(frozen=True, kw_only=True)
class StepInput:
    """All that a step may look at; all of it is in the key of what the step makes."""

    sources: tuple[Path, ...] = ()
    params: Mapping[str, Scalar] = field(default_factory=dict)
    network: str = ""
    network_params: Mapping[str, Scalar] = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True)
class Step:
    """Builds one artefact into an empty folder, purely from its input, and returns facts about it.

    ``revision`` is raised when a change outside the source that the key sees should rebuild. ``tools`` are the
    distributions whose version is part of the key.
    """

    function: Callable[[StepInput, Path], Facts]
    revision: int
    tools: tuple[str, ...]

    def build(self, given: StepInput, out: Path) -> Facts:
        """Writes the artefact's files into ``out``."""
        return self.function(given, out)

    def key_parts(self, given: StepInput) -> dict[str, str]:
        """What the artefact depends on, part by part, besides the bytes of its sources."""
        parts = {
            "step": f"{self.function.__module__}:{self.function.__name__}",
            "step.revision": str(self.revision),
            "step.source": source_digest(self.function.__module__),
        }
        parts |= {f"tool.{tool}": _version(tool) for tool in self.tools}
        parts |= _values("param", given.params)
        if given.network:
            parts["network"] = given.network
            parts["network.source"] = source_digest(given.network.partition(":")[0])
            parts |= _values("network", given.network_params)
        for spec in (*given.inputs, *given.outputs):
            parts[f"tensor.{spec.name}"] = f"{spec.dtype}[{', '.join(map(repr, spec.axes))}]"
        return parts


def step(*, revision: int, tools: tuple[str, ...] = ()) -> Callable[[Callable[[StepInput, Path], Facts]], Step]:
    """Makes a step of a function ``(StepInput, out folder) -> facts``."""
    return lambda function: Step(function, revision, tools)


@cache
def source_digest(module: str) -> str:
    """sha256 over the source of a module and of every module of its top-level package that it imports, however deep.

    A changed helper therefore rebuilds what its users made. Modules are read, not imported.
    """
    package = module.partition(".")[0]
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [found for found in _imports(name, _source(name)) if found.partition(".")[0] == package]
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(f"{name}\n".encode() + _source(name))
    return digest.hexdigest()


def _version(tool: str) -> str:
    """A distribution's version. Raises ``Absent`` where it is not installed: some have no wheels for this Python."""
    try:
        return version(tool)
    except PackageNotFoundError as error:
        raise Absent(
            f"no Python package {tool} for Python {platform.python_version()}; pip install -c constraints.txt {tool}"
        ) from error


def _values(prefix: str, params: Mapping[str, Scalar]) -> dict[str, str]:
    """Each parameter by its value; one that names code of ours also by that code's source."""
    parts = {f"{prefix}.{name}": repr(value) for name, value in params.items()}
    for name, value in params.items():
        if isinstance(value, str) and value.startswith("harness."):
            parts[f"{prefix}.{name}.source"] = source_digest(value.partition(":")[0])
    return parts


def _imports(module: str, source: bytes) -> Iterator[str]:
    """The modules that a module imports, in every spelling; names that are no modules are left out."""
    package = module.partition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            yield base
            if base.partition(".")[0] == package:
                yield from (name for alias in node.names if _is_module(name := f"{base}.{alias.name}"))


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """The module that ``from ... import`` names, its leading dots resolved."""
    if not node.level:
        return node.module or ""
    spec = importlib.util.find_spec(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, node.module] if node.module else kept)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


@cache
def _source(module: str) -> bytes:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source found for module {module!r}")
    return Path(spec.origin).read_bytes()
