"""What a tool prints is all in the log, and readable, in order and bounded in memory."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.process import run
from harness.process.output import FIRST_LINES, LAST_LINES, LINE_BYTES, Lines, readable
from harness.verdict import Broken
from tests.played import LOG, play, work

PRINTED = {
    "progress": (
        b"loop: (1/3)\rloop: (2/3)\rloop: (3/3)\r\nthroughput: 7.5\n",
        ("loop: (1/3)", "loop: (2/3)", "loop: (3/3)", "throughput: 7.5"),
    ),
    "colours": (b"\x1b[1;31m[ERROR]\x1b[0m load failed\x1b[K\n\x1b]0;atc\x07", ("[ERROR] load failed",)),
    "other languages": ("[LINE\uff1a162] 错误\n".encode(), ("[LINE\uff1a162] 错误",)),
    "no UTF-8": (b"path \xff\xfe is bad\n", ("path \ufffd\ufffd is bad",)),
    "blanks": (b"one\n\n  \n\ttwo  \r\r\nthree", ("one", "\ttwo", "three")),
    "controls": (b"bell\x07 nul\x00 back\x08 title\x1b(B\n", ("bell nul back title",)),
    "silence": (b"", ()),
}


class TestOutput:
    def test_both_streams_come_merged_in_order_and_the_log_has_the_bytes(self, tmp_path):
        done = play(tmp_path, "import sys\nfor i in range(50): print('out', i); print('err', i, file=sys.stderr)")
        assert done.lines == tuple(f"{stream} {i}" for i in range(50) for stream in ("out", "err"))
        assert done.log.read_text() == "".join(f"out {i}\nerr {i}\n" for i in range(50))
        assert (done.code, done.left_out, done.log, done.ended) == (0, 0, tmp_path / LOG, "exit code 0")

    @pytest.mark.parametrize(("printed", "lines"), PRINTED.values(), ids=PRINTED)
    def test_lines_are_readable_and_the_log_is_raw(self, tmp_path, printed, lines):
        done = play(tmp_path, "import os, sys; os.write(1, bytes.fromhex(sys.argv[1]))", printed.hex())
        assert done.lines == lines
        assert done.log.read_bytes() == printed

    def test_a_script_that_opens_its_output_by_path_does_not_truncate_the_log(self, tmp_path):
        command = ["sh", "-c", "echo 1; echo 2 > /dev/stderr; echo 3"]
        assert run(command, folder=work(tmp_path), log=tmp_path / LOG, timeout=60).lines == ("1", "2", "3")

    def test_much_output_is_all_in_the_log_and_little_of_it_in_memory(self, tmp_path, monkeypatch):
        monkeypatch.setattr("harness.process.output.FIRST_LINES", 10)
        monkeypatch.setattr("harness.process.output.LAST_LINES", 90)
        tracemalloc.start()
        try:
            done = play(tmp_path, "import os\nfor _ in range(16): os.write(1, (b'%01023d\\n' % 7) * 1024)")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert done.log.stat().st_size == 16 << 20
        assert (len(done.lines), done.left_out) == (100, (16 << 10) - 100)
        assert peak < 2 << 20

    def test_the_first_and_the_last_lines_are_kept(self, tmp_path):
        done = play(tmp_path, "print(*range(10_000), sep='\\n')")
        assert done.lines == tuple(map(str, [*range(FIRST_LINES), *range(10_000 - LAST_LINES, 10_000)]))
        assert done.left_out == 10_000 - FIRST_LINES - LAST_LINES

    def test_a_line_without_end_is_cut(self, tmp_path):
        done = play(tmp_path, "import os\nfor _ in range(8): os.write(1, b'.' * (1 << 20))\nos.write(1, b'\\nend')")
        assert done.lines == ("." * LINE_BYTES + " ...", "end")
        assert done.log.stat().st_size == (8 << 20) + 4

    def test_output_without_end_is_broken_before_it_fills_the_disk(self, tmp_path, monkeypatch):
        monkeypatch.setattr("harness.process.LOG_BYTES", 1 << 20)
        with pytest.raises(Broken, match=r"printed more than 1 MiB; .*last printed: .*yes \| yes; log ") as raised:
            play(tmp_path, "import os\nwhile True: os.write(1, b'yes\\n' * 1000)")
        assert raised.value.log == tmp_path / LOG
        assert 1 << 20 < raised.value.log.stat().st_size < 4 << 20

    def test_what_lies_in_the_pipe_when_a_tool_is_stopped_is_kept(self, tmp_path, monkeypatch):
        for name, value in (("process.LOG_BYTES", 0), ("process.output.BLOCK", 1), ("process.tree.GRACE", 0)):
            monkeypatch.setattr(f"harness.{name}", value)
        with pytest.raises(Broken, match="; last printed: whole; log "):
            play(tmp_path, "import time; print('whole', end=''); time.sleep(600)")

    def test_children_that_print_the_end_of_the_output_are_waited_for(self, tmp_path, monkeypatch):
        monkeypatch.setattr("harness.process.SETTLE", 30)
        done = play(tmp_path, "import os, time\nprint('first')\nif not os.fork(): time.sleep(0.5); print('last')")
        assert done.lines == ("first", "last")

    def test_a_tool_that_closes_its_output_is_still_waited_for(self, tmp_path):
        script = "import os, time\nos.close(1); os.close(2); time.sleep(0.1); open('made', 'w'); os._exit(3)"
        done = play(tmp_path, script)
        assert (done.code, done.lines) == (3, ())
        assert (work(tmp_path) / "made").exists()


PIECES = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b" ", b"\x1b[0m", b"\x1b[1;3", b"\xe6\x96\x87", b"\xff", b"word", b"\0"]
)
LONG = st.integers(LINE_BYTES - 3, LINE_BYTES + 3).map(lambda size: b"x" * size)
STREAMS = st.lists(PIECES | st.binary(max_size=9) | LONG, max_size=30).map(b"".join)


class TestLines:
    @given(STREAMS, st.lists(st.integers(0, 2000), max_size=20))
    def test_the_lines_are_the_same_however_the_stream_is_cut(self, stream, sizes):
        whole, cut = Lines(), Lines()
        whole.add(stream)
        for size in sizes:
            cut.add(stream[:size])
            stream = stream[size:]
        cut.add(stream)
        assert cut.finish() == whole.finish()

    @given(STREAMS)
    def test_every_line_that_is_not_blank_is_kept(self, stream):
        lines = Lines()
        lines.add(stream)
        expected = [readable(line) for line in re.split(rb"[\r\n]+", stream) if line.strip()]
        assert lines.finish() == (tuple(filter(None, expected)), 0)

    def test_a_line_without_end_takes_no_memory(self):
        lines, chunk = Lines(), b"." * (1 << 16)
        tracemalloc.start()
        try:
            for _ in range(64):
                lines.add(chunk)
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < 8 * LINE_BYTES

    @given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
    def test_a_line_holds_nothing_that_a_terminal_obeys(self, line):
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", readable(line))
