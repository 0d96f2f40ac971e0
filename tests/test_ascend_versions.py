"""The version that the vendor publishes is preferred, and a file that holds none is told."""

from __future__ import annotations

import pytest

from harness.ascend.versions import read_driver, read_firmware, read_running, read_toolkit
from harness.verdict import Broken


def test_the_package_comes_before_version_in_any_order():
    assert read_firmware("Version=7.1.0.11.220\npackage_version=23.0.7\n").version == "23.0.7"
    assert read_firmware("package_version=23.0.7\nVersion=7.1.0.11.220\n").version == "23.0.7"


def test_an_older_file_has_version_alone():
    read = read_driver("Version=21.0.3.1\n")
    assert (read.version, read.field) == ("21.0.3.1", "Version")
    assert read_driver("Version=21.0.3.1\npackage_version=\n").field == "Version"


def test_the_toolkit_runs_as_its_runtime():
    read = read_running("runtime_running_version=[7.6.T13.0.B094:8.0.T63]\nopp_running_version=[7.6:8.0.RC1]\n")
    assert read.version == "8.0.T63"
    assert read.mixed


@pytest.mark.parametrize("read", [read_driver, read_firmware, read_toolkit, read_running])
@pytest.mark.parametrize("text", ["", "# version: 1.0\n", "cat: version.info: No such file or directory\n", "a=b"])
def test_another_text_is_told(read, text):
    with pytest.raises(Broken, match=r"expected a line|expected runtime_running_version"):
        read(text)


def test_a_version_without_its_colon_is_told():
    with pytest.raises(Broken, match=r"found 'runtime_running_version=\[7.6.T13.0.B094\]'"):
        read_running("runtime_running_version=[7.6.T13.0.B094]")


def test_two_files_in_one_text_are_told():
    with pytest.raises(Broken, match="two files in one text"):
        read_driver("package_version=23.0.7\npackage_version=24.1\n")
