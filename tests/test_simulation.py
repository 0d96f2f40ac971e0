"""What an engine does otherwise than integer arithmetic says is found, in the node that does it; nothing else is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from harness.backends import Batch
from harness.quantize.simulate import compare
from harness.quantize.simulate.compare import Compared, Simulation
from harness.quantize.simulate.executed import Engine, Tensors, executed
from harness.verdict import Refused
from tests.integer_graphs import Spoilt, batches, copied, edit, network, node, quantised, reads_otherwise, saturating


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the network in 8 bits."""
    return quantised(8, tmp_path_factory.mktemp("quantised"))


@pytest.fixture(scope="module")
def graph(eight: Path) -> onnx.ModelProto:
    """What is executed of 8 bits."""
    return executed(eight, 1)


def differing(graph: onnx.ModelProto, engine: compare.Giving, *sizes: int) -> dict[str, Compared]:
    """The nodes that differ, by name."""
    found = Simulation(graph).against(engine, batches(*(sizes or (1,))))
    return {compared.node: compared for compared in found if compared.differing}


class TestHonest:
    def test_every_known_node_of_the_graph_that_is_executed_is_exact(self, graph: onnx.ModelProto) -> None:
        simulation = Simulation(graph)
        found = list(simulation.against(Engine(graph, 1), batches(1, 3)))
        assert Counter(compared.operator for compared in found) == {
            "QuantizeLinear": 1,
            "QLinearConv": 4,
            "QLinearAdd": 1,
            "QLinearGlobalAveragePool": 1,
            "QLinearSigmoid": 1,
            "QLinearMul": 1,
            "QGemm": 1,
            "DequantizeLinear": 1,
        }
        assert [compared.differing for compared in found] == [0] * len(found)
        assert next(compared.elements for compared in found if compared.node == "wide") == (1 + 3) * 16 * 6 * 6
        assert simulation.others["NhwcMaxPool"] == 1

    def test_sixteen_bits_become_no_integer_operators(self, tmp_path: Path) -> None:
        """They are computed in single precision between conversions, which are exact."""
        graph = executed(quantised(16, tmp_path), 1)
        found = list(Simulation(graph).against(Engine(graph, 1), batches(2)))
        assert {compared.operator for compared in found} == {"QuantizeLinear", "DequantizeLinear"}
        assert sum(compared.differing for compared in found) == 0
        assert Simulation(graph).others["Conv"] == 4

    def test_a_float_graph_has_nothing_to_simulate(self, tmp_path: Path) -> None:
        onnx.save(network(), tmp_path / "single.onnx")
        assert Simulation(executed(tmp_path / "single.onnx", 1)).nodes == []

    def test_nodes_in_groups_are_the_same_nodes(self, graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
        at_once = list(Simulation(graph).against(saturating(graph, "wide"), batches(2)))
        monkeypatch.setattr(compare, "GROUP", 3)
        assert list(Simulation(graph).against(saturating(graph, "wide"), batches(2))) == at_once

    def test_only_tensors_of_one_group_are_asked_for_at_a_time(
        self, graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []

        class Counting(Engine):
            def giving(self, names: Collection[str]) -> Callable[[Batch], Tensors]:
                asked.append(len(names))
                return super().giving(names)

        monkeypatch.setattr(compare, "GROUP", 2)
        list(Simulation(graph).against(Counting(graph, 1), batches(1)))
        assert len(asked) == 6
        assert max(asked) <= 5

    def test_an_operator_that_is_not_known_here_is_not_simulated(self, graph: onnx.ModelProto) -> None:
        simulation = Simulation(graph, {"QLinearAdd"})
        assert simulation.others["QLinearAdd"] == 1
        assert "sum" not in {compared.node for compared in simulation.against(Engine(graph, 1), batches(1))}


class TestEngines:
    """Engines that do something else than the graph says; their tensors are what they would give."""

    def test_kernels_that_saturate(self, graph: onnx.ModelProto) -> None:
        found = differing(graph, saturating(graph, "wide"), 1, 3)
        # Its readers were given what the honest engine made of it, as their answers were.
        assert found.pop("wide").steps > 1
        assert set(found) <= {"mean", "gated"}

    def test_the_same_kernels_on_small_weights_do_not(self, tmp_path: Path, eight: Path) -> None:
        """Of seven bits no two products are too large; so it is the saturation that is found, not the emulation."""
        model = onnx.load(eight)
        edit(model, "wide.w_quantized", lambda held: held // 2)
        onnx.save(model, tmp_path / "small.onnx")
        graph = executed(tmp_path / "small.onnx", 1)
        assert differing(graph, saturating(graph, "wide"), 1, 3) == {}

    @pytest.mark.parametrize(
        ("held", "change", "named"),
        [
            ("wide.b_quantized", lambda bias: np.clip(bias, -100, 100), "wide"),
            ("last.b_quantized", lambda bias: np.clip(bias, -100, 100), "y"),
            ("first.w_quantized_s8_2_u8", lambda weights: np.where(weights == weights.max(), 0, weights), "first"),
            ("wide.w_scale", lambda scale: np.roll(scale, 1), "wide"),
            ("gate_scale", lambda scale: scale * np.float32(1.01), "gate"),
        ],
        ids=["bias clipped", "bias of a product clipped", "weights changed", "axis shifted", "scale changed"],
    )
    def test_other_parameters(
        self, graph: onnx.ModelProto, held: str, change: Callable[[Any], Any], named: str
    ) -> None:
        spoilt = copied(graph)
        edit(spoilt, held, change)
        found = differing(graph, Engine(spoilt, 1), 2)
        assert next(iter(found)) == named
        assert found[named].differing > 0
        assert found[named].sample == "0/0"

    def test_one_element_of_one_tensor(self, graph: onnx.ModelProto) -> None:
        name = node(graph, "sum").output[0]

        def change(x: Any) -> Any:
            x = x.copy()
            x.flat[7] += 1 if x.flat[7] < 128 else -1
            return x

        found = differing(graph, Spoilt(Engine(graph, 1), name, [name], change))
        assert found["sum"].differing == 1
        assert found["sum"].steps == 1
        assert str(found["sum"]) == "QLinearAdd sum (1 of 1152 elements by up to 1 steps at 0/0)"

    def test_what_is_no_number(self, graph: onnx.ModelProto) -> None:
        engine = Spoilt(Engine(graph, 1), "y", ["y"], lambda y: np.where(y == y.max(), np.float32(np.nan), y))
        found = differing(graph, engine)
        assert (found["y_DequantizeLinear"].differing, found["y_DequantizeLinear"].steps) == (1, np.inf)

    def test_the_worst_of_several_batches_is_named(self, graph: onnx.ModelProto) -> None:
        name, calls = node(graph, "sum").output[0], iter(range(3))

        def change(x: Any) -> Any:
            return np.where(x < 128, x + 9, x - 9).astype(x.dtype) if next(calls) == 1 else x

        found = differing(graph, Spoilt(Engine(graph, 1), name, [name], change), 1, 2, 1)
        assert (found["sum"].elements, found["sum"].differing, found["sum"].steps) == (4 * 1152, 2 * 1152, 9)
        assert found["sum"].sample == "1/0"

    def test_another_shape_is_refused(self, graph: onnx.ModelProto) -> None:
        name = node(graph, "sum").output[0]
        engine = Spoilt(Engine(graph, 1), name, [name], lambda x: x[:, :-1])
        with pytest.raises(Refused, match=re.escape("sum gives uint8[1, 11, 12, 8], expected uint8[1, 12, 12, 8]")):
            differing(graph, engine)


class TestFiles:
    """Files in which a tensor is read otherwise than it was written: what the runtime makes of them is as wrong."""

    def spoilt(self, path: Path, folder: Path, change: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
        model = onnx.load(path)
        change(model)
        onnx.save(model, folder / "spoilt.onnx")
        return executed(folder / "spoilt.onnx", 1)

    @pytest.mark.parametrize(
        ("tensor", "reader"), [("deep", "sum"), ("mean", "gate"), ("flat", "y"), ("y", "y_DequantizeLinear")]
    )
    @pytest.mark.parametrize("what", ["zero point", "scale"])
    def test_of_the_reading_side_alone(self, eight: Path, tmp_path: Path, tensor: str, reader: str, what: str) -> None:
        """A zero point off by one, a scale doubled."""
        place, change = {"zero point": (2, lambda zero: zero + 1), "scale": (1, lambda scale: scale * 2)}[what]

        def spoil(model: onnx.ModelProto) -> None:
            reads_otherwise(model, node(model, f"{tensor}_DequantizeLinear"), place, change)

        graph = self.spoilt(eight, tmp_path, spoil)
        found = differing(graph, Engine(graph, 1), 2)
        assert what in found[reader].note
        assert set(found) <= {reader, f"{tensor}_DequantizeLinear"}

    def test_of_both_sides_is_another_file_and_no_fault_of_the_engine(self, eight: Path, tmp_path: Path) -> None:
        """Which recorded ranges tell, not arithmetic."""
        graph = self.spoilt(eight, tmp_path, lambda model: edit(model, "deep_scale", lambda scale: scale * 2))
        assert differing(graph, Engine(graph, 1), 2) == {}


def test_a_file_that_does_not_load_is_refused(tmp_path: Path) -> None:
    model = network()
    model.graph.node[0].op_type = "PyOp"
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Refused, match="does not load"):
        executed(tmp_path / "other.onnx", 1)
