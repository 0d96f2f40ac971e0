"""Versions of driver, firmware and toolkit, from the files that Ascend's installers leave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.ascend.printed import Printed, lines_of, pairs, unexpected
from harness.verdict import Broken

RUNNING = re.compile(r"(\w+)_running_version")
BUILD = re.compile(r"\[[^\[\]:]*:([^\[\]:,\s]+)\]")


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version, and the ``field`` of the file that it was taken from; ``inner`` is the vendor's build, ``package`` and
    ``path`` what is installed and where, nothing where the file does not say."""

    version: str
    field: str
    inner: str | None = None
    package: str | None = None
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Running:
    """The CANN version that runs, and that of every component by its name: ``runtime``, ``compiler``, ``opp``."""

    version: str
    components: Mapping[str, str]

    @property
    def mixed(self) -> bool:
        """Whether components of several versions are installed together."""
        return len(set(self.components.values())) > 1


def read_driver(content: Printed) -> Version:
    """The version in ``driver/version.info``: package_version, which is what the vendor publishes, before Version.
    Raises ``Broken`` where the text is no such file."""
    return _version("driver/version.info", content, ("package_version", "Version"))


def read_firmware(content: Printed) -> Version:
    """The version in ``firmware/version.info``: package_version (23.0.7) before Version (7.1.0.11.220), which counts
    otherwise. Raises ``Broken`` where the text is no such file."""
    return _version("firmware/version.info", content, ("package_version", "Version"))


def read_toolkit(content: Printed) -> Version:
    """The version in ``ascend_toolkit_install.info``. Raises ``Broken`` where the text is no such file."""
    return _version("ascend_toolkit_install.info", content, ("version",))


def read_running(content: Printed) -> Running:
    """The versions in the toolkit's ``version.cfg``: the text after the colon in ``[7.6.T13.0.B094:8.0.T63]``. The
    runtime's is the version, as it executes. Raises ``Broken`` where the text is no such file."""
    file = "version.cfg"
    lines = lines_of(content)
    components: dict[str, str] = {}
    for key, value in pairs(lines, "="):
        name = RUNNING.fullmatch(key)
        build = BUILD.fullmatch(value)
        if name and not build:
            raise unexpected(file, "a version [build:version]", f"{key}={value}")
        if name and build:
            components[name[1]] = build[1]
    if "runtime" not in components:
        raise unexpected(file, "runtime_running_version=[build:version]", lines[0] if lines else None)
    return Running(version=components["runtime"], components=components)


def _version(file: str, content: Printed, preferred: tuple[str, ...]) -> Version:
    lines = lines_of(content)
    fields: dict[str, str] = {}
    for key, value in pairs(lines, "="):
        if fields.setdefault(key, value) != value:
            raise Broken(f"{file}: expected one {key}, found {fields[key]!r} and {value!r}: two files in one text?")
    field = next((name for name in preferred if fields.get(name)), None)
    if field is None:
        raise unexpected(
            file, f"a line {' or '.join(f'{name}=...' for name in preferred)}", lines[0] if lines else None
        )
    return Version(
        version=fields[field],
        field=field,
        inner=fields.get("innerversion") or fields.get("Innerversion"),
        package=fields.get("package_name"),
        path=fields.get("path"),
    )
