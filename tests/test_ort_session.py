"""Integers stay exact in every session of the project, and records say what their answers depend on."""

from __future__ import annotations

import ast
import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.backends.ort import BACKEND
from harness.cells import Ask, Cell
from harness.instruction_sets import INTEGERS as SETS
from harness.instruction_sets import OTHER, integers
from harness.model import Model
from harness.ort_session import EXACT_INTEGERS, session_options
from harness.probe import machine
from harness.provenance import INTEGERS, provenance
from harness.quantisation import Quantisation
from harness.registry import PROJECT
from harness.run import Run
from harness.verdict import Answer, Verdict
from reports.compare import compare
from reports.comparison import render_comparison
from tests.records import accuracy, made, timing

HASWELL = "sse4_2 avx avx2 fma f16c"
SKYLAKE = f"{HASWELL} avx512f avx512bw avx512dq avx512vl avx512cd"
OF_QUANTISED = {"cpu.integers": "avx2", EXACT_INTEGERS: "1"}


class TestOptions:
    def test_integers_are_kept_exact_and_threads_do_not_spin(self) -> None:
        options = session_options(3)
        assert options.intra_op_num_threads == 3
        assert options.get_session_config_entry(EXACT_INTEGERS) == "1"
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"

    def test_there_is_one_place_that_sets_sessions_up(self) -> None:
        """One that is set up elsewhere would answer otherwise on a processor without VNNI, and only there."""
        sources = {path: path.read_text() for folder in ("harness", "reports", "fixtures", "suites")
                   for path in (PROJECT / folder).rglob("*.py")}  # fmt: skip
        setting_up = {
            path.relative_to(PROJECT).as_posix() for path, text in sources.items() if "SessionOptions(" in text
        }
        assert setting_up == {"harness/ort_session.py"}
        for path, text in sources.items():
            for call in [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Call)]:
                if ast.unparse(call.func).endswith("InferenceSession"):
                    given = [*call.args[1:2], *(each.value for each in call.keywords if each.arg == "sess_options")]
                    assert given, f"{path}:{call.lineno}: a session without options"
                    assert "session_options(" in text, f"{path}:{call.lineno}: options from elsewhere"

    def test_the_largest_products_are_summed_exactly(self, tmp_path: Path) -> None:
        """255 x 127 twice is more than 16 bits hold: a processor without VNNI saturates it unless it is told not to."""
        path = tmp_path / "model.onnx"
        onnx.save(product(np.full((64, 8), 127, np.int8)), path)
        session = onnxruntime.InferenceSession(path, session_options(1), providers=["CPUExecutionProvider"])
        x = np.full((4, 64), 255, np.float32)
        (found,) = session.run(None, {"x": x})
        assert found.tolist() == np.full((4, 8), 64 * 255 * 127 / 2**13).round().tolist()

    @pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="no x86: the option does nothing here")
    def test_the_option_acts_on_this_machine(self, tmp_path: Path) -> None:
        """It moves int8 weights to uint8, for kernels that sum in 32 bits; also where VNNI would be exact as it is."""
        options = session_options(1)
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        onnxruntime.InferenceSession(product(np.full((64, 8), 127, np.int8)).SerializeToString(), options)
        held = {tuple(each.dims): each.data_type for each in onnx.load(tmp_path / "optimised.onnx").graph.initializer}
        assert held[64, 8] == TensorProto.UINT8


def product(weights: np.ndarray) -> onnx.ModelProto:
    """``x`` [n, 64] of bytes times int8 ``weights``, over 8192 and rounded, in Q/DQ as a quantiser writes it."""
    scales = {"one": np.float32(1), "zero": np.uint8(0), "out": np.float32(2**13), "none": np.int8(0), "w": weights}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "one", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "one", "none"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "out", "zero"], ["pq"]),
        helper.make_node("DequantizeLinear", ["pq", "out", "zero"], ["pd"]),
        helper.make_node("Div", ["pd", "out"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in scales.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class TestInstructionSets:
    @pytest.mark.parametrize(
        ("flags", "word"),
        [
            ("", OTHER),
            ("sse4_2", OTHER),
            ("avx avx2", OTHER),
            (HASWELL, "avx2"),
            (f"{HASWELL} avx_vnni", "avx_vnni"),
            (f"{HASWELL} avx512f avx512_vnni", "avx2"),
            (SKYLAKE, "avx512"),
            (f"{SKYLAKE} avx512_vnni", "avx512_vnni"),
            (f"{SKYLAKE} avx512_vnni avx_vnni amx_bf16 amx_tile amx_int8", "amx_int8"),
            (f"{SKYLAKE} avx512_vnni amx_bf16 amx_tile", "avx512_vnni"),
            ("fp asimd", "neon"),
            ("fp asimd asimddp", "neon_dot"),
            ("fp asimd asimddp sve i8mm", "neon_i8mm"),
        ],
    )
    def test_flags_have_one_word(self, flags: str, word: str) -> None:
        assert integers(flags.split()) == word

    def test_each_word_is_reached_by_its_own_flags(self) -> None:
        assert [integers(needed) for _, needed in SETS] == [word for word, _ in SETS]

    def test_provenance_and_backend_name_what_integers_depend_on(self) -> None:
        found = provenance(1)
        assert found["cpu.integers"] in {OTHER, *(word for word, _ in SETS)}
        assert found[EXACT_INTEGERS] == BACKEND.discover(machine()).provenance[EXACT_INTEGERS] == "1"


class TestRecord:
    @pytest.fixture
    def kept(self, tmp_path: Path, crnn: Model) -> Callable[..., dict[str, object]]:
        """What the record says of an answer about a form, quantised or not, on a backend."""
        run = Run(tmp_path / "run", {**OF_QUANTISED, "threads": "1"})

        def keep(how: Quantisation | None, backend: str | None) -> dict[str, object]:
            form = replace(crnn.form("onnx"), quantisation=how)
            cell = Cell(crnn, form, backend, "int8", crnn.points[0]) if backend else None
            answer = Answer(verdict=Verdict.PASS, line="as it should be", figures={"hits": 1})
            run.add(Ask("accuracy", crnn, form, cell, "bundled"), "bundled", answer, 0.1)
            (found,) = json.loads(run.record().read_text())["answers"]
            return {name: found[name] for name in INTEGERS if name in found}

        return keep

    def test_answers_about_integers_here_name_instructions_and_option(self, kept: Callable[..., object]) -> None:
        assert kept(Quantisation(rule="minmax", samples=1, loss=0.1), "ort") == OF_QUANTISED

    @pytest.mark.parametrize("backend", ["ascend", "torch", None])
    def test_answers_of_others_do_not(self, kept: Callable[..., object], backend: str | None) -> None:
        assert kept(Quantisation(rule="minmax", samples=1, loss=0.1), backend) == {}

    def test_answers_about_floats_do_not(self, kept: Callable[..., object]) -> None:
        assert kept(None, "ort") == {}


class TestComparison:
    def compared(self, tmp_path: Path, **after: object) -> str:
        answers = [
            accuracy(tmp_path / name, {"w1": True, "w2": hit}, **{**OF_QUANTISED, **given})
            for name, hit, given in (("a", True, {}), ("b", False, after))
        ]
        sides = [
            made(tmp_path / name, [answer, timing(0.1)], {"threads": "1", **OF_QUANTISED, **given})
            for name, answer, given in zip("ab", answers, ({}, after), strict=True)
        ]
        return render_comparison(compare(*sides))

    def test_other_instructions_are_named_where_answers_and_times_are_compared(self, tmp_path: Path) -> None:
        text = self.compared(tmp_path, **{"cpu.integers": "avx512_vnni"})
        assert "- cpu.integers avx2 -> avx512_vnni: what crnn-ort-fp32-bs8 answers otherwise may be due to" in plain(
            text
        )
        assert "cpu.integers differ: these ratios may be those of the machines" in plain(text)
        assert "| cpu.integers | avx2 | avx512_vnni |" in plain(text)

    def test_an_option_that_was_lost_is_named(self, tmp_path: Path) -> None:
        text = self.compared(tmp_path, **{EXACT_INTEGERS: "0"})
        assert f"- {EXACT_INTEGERS} 1 -> 0: what crnn-ort-fp32-bs8 answers otherwise may be due to" in plain(text)

    def test_the_same_kernels_explain_nothing(self, tmp_path: Path) -> None:
        assert "may be" not in self.compared(tmp_path)


def plain(text: str) -> str:
    return text.replace("\\", "")
