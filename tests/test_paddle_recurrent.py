"""Recurrent layers of a Paddle program, of one operator or written out step by step, find their places in torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.checkpoints.paddle_layers import layers_of, state_of
from harness.checkpoints.paddle_program import Operator, Program
from harness.networks.load import check_state
from harness.verdict import Refused

Parts = tuple[Program, dict[str, Any]]

STEPS = 25


class Reader(nn.Module):
    """Two bidirectional layers, and a cell that looks at all columns before each step."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1, bias=False)
        self.lstm = nn.LSTM(6, 4, num_layers=2, bidirectional=True)
        self.i2h = nn.Linear(8, 4, bias=False)
        self.h2h = nn.Linear(4, 4)
        self.score = nn.Linear(4, 1, bias=False)
        self.rnn = nn.GRUCell(11, 4)
        self.generator = nn.Linear(4, 3)


SHAPES = {
    "conv2d_0.w_0": (6, 3, 1, 1),
    **{f"lstm_cell_{cell}.w_0": (16, 6 if cell < 2 else 8) for cell in range(4)},
    **{f"lstm_cell_{cell}.w_1": (16, 4) for cell in range(4)},
    **{f"lstm_cell_{cell}.b_{gate}": (16,) for cell in range(4) for gate in range(2)},
    "linear_3.w_0": (8, 4),
    "linear_4.w_0": (4, 4),
    "linear_4.b_0": (4,),
    "linear_5.w_0": (4, 1),
    "gru_cell_0.w_0": (12, 11),
    "gru_cell_0.w_1": (12, 4),
    "gru_cell_0.b_0": (12,),
    "gru_cell_0.b_1": (12,),
    "linear_6.w_0": (4, 3),
    "linear_6.b_0": (3,),
}
PLACES = {
    "conv.weight": "conv2d_0.w_0",
    "lstm.weight_ih_l0": "lstm_cell_0.w_0",
    "lstm.weight_hh_l0": "lstm_cell_0.w_1",
    "lstm.bias_ih_l0": "lstm_cell_0.b_0",
    "lstm.bias_hh_l0": "lstm_cell_0.b_1",
    "lstm.weight_ih_l0_reverse": "lstm_cell_1.w_0",
    "lstm.bias_hh_l0_reverse": "lstm_cell_1.b_1",
    "lstm.weight_hh_l1": "lstm_cell_2.w_1",
    "lstm.bias_ih_l1": "lstm_cell_2.b_0",
    "lstm.weight_ih_l1_reverse": "lstm_cell_3.w_0",
    "lstm.bias_hh_l1_reverse": "lstm_cell_3.b_1",
    "h2h.bias": "linear_4.b_0",
    "rnn.weight_ih": "gru_cell_0.w_0",
    "rnn.weight_hh": "gru_cell_0.w_1",
    "rnn.bias_ih": "gru_cell_0.b_0",
    "rnn.bias_hh": "gru_cell_0.b_1",
    "generator.bias": "linear_6.b_0",
}
TURNED = {
    "i2h.weight": "linear_3.w_0",
    "h2h.weight": "linear_4.w_0",
    "score.weight": "linear_5.w_0",
    "generator.weight": "linear_6.w_0",
}


def one(kind: str, parameter: str, value: str, **inputs: str) -> Operator:
    """An operator of one output; ``trans_y`` is what Paddle says of the products of a cell."""
    flags = frozenset({"trans_y"}) if inputs.get("Y", "").startswith("gru_cell") else frozenset[str]()
    return Operator(kind, {key: (name,) for key, name in inputs.items()}, {parameter: (value,)}, flags)


def product(layer: str, value: str, weight: str, bias: str = "") -> Iterator[Operator]:
    yield one("matmul_v2", "Out", value, X=layer, Y=weight)
    if bias:
        yield one("elementwise_add", "Out", f"{value}.sum", X=value, Y=bias)


def lstm(cells: int, *, both_ways: bool) -> Operator:
    """The operator of a whole LSTM: Paddle lists all its weights, then all its biases."""
    weights = [f"lstm_cell_{cell}.{kind}_{gate}" for kind in "wb" for cell in range(cells) for gate in range(2)]
    flags = frozenset({"is_bidirec", "is_test"} if both_ways else {"is_test"})
    inputs = {"Input": ("columns",), "PreState": ("h", "c"), "WeightList": tuple(weights)}
    return Operator("rnn", inputs, {"Out": ("sequence",)}, flags)


def step(number: int) -> Iterator[Operator]:
    """One step as Paddle writes it out: nothing of it is named as in the step before but what is stored."""
    yield from product("sequence", f"projected_{number}", "linear_3.w_0")
    yield from product(f"hidden_{number}", f"asked_{number}", "linear_4.w_0", "linear_4.b_0")
    yield one("elementwise_add", "Out", f"both_{number}", X=f"projected_{number}", Y=f"asked_{number}.sum")
    yield from product(f"both_{number}", f"score_{number}", "linear_5.w_0")
    yield one("softmax", "Out", f"weights_{number}", X=f"score_{number}")
    yield one("matmul_v2", "Out", f"context_{number}", X=f"weights_{number}", Y="sequence")
    yield from product(f"context_{number}", f"x_gates_{number}", "gru_cell_0.w_0", "gru_cell_0.b_0")
    yield from product(f"hidden_{number}", f"h_gates_{number}", "gru_cell_0.w_1", "gru_cell_0.b_1")
    yield one("tanh", "Out", f"hidden_{number + 1}", X=f"h_gates_{number}.sum")
    yield from product(f"hidden_{number + 1}", f"classes_{number}", "linear_6.w_0", "linear_6.b_0")


def reader(steps: int = STEPS) -> Parts:
    """The program of ``Reader``, and tensors for it."""
    operators = (
        one("feed", "Out", "x", X="feed"),
        one("conv2d", "Output", "columns", Input="x", Filter="conv2d_0.w_0"),
        lstm(4, both_ways=True),
        *(operator for number in range(steps) for operator in step(number)),
    )
    rng = np.random.default_rng(0)
    return Program(SHAPES, operators), {name: rng.random(shape, np.float32) for name, shape in SHAPES.items()}


def changed(program: Program, place: int, *operators: Operator) -> Program:
    """The program with other operators in the place of one."""
    return replace(program, operators=(*program.operators[:place], *operators, *program.operators[place + 1 :]))


def takes(program: Program, tensor: str, nth: int = 0) -> int:
    """Where the n-th operator stands that takes a tensor."""
    places = [place for place, each in enumerate(program.operators) if (tensor,) in each.inputs.values()]
    return places[nth]


class TestSteps:
    @pytest.mark.parametrize("steps", [1, 2, STEPS])
    def test_every_tensor_is_in_its_place_however_often_the_program_uses_it(self, steps):
        program, tensors = reader(steps)
        state = state_of(Reader(), program, tensors)
        check_state(Reader(), state)
        assert {key: name for key, name in PLACES.items() if not np.array_equal(state[key], tensors[name])} == {}
        assert {key: name for key, name in TURNED.items() if not np.array_equal(state[key], tensors[name].T)} == {}
        assert len(tensors) == len(state) == 27

    def test_layers_are_told_once_in_the_order_of_their_first_use(self):
        kinds = [layer.kind for layer in layers_of(reader()[0])]
        assert kinds == ["conv", "recurrent", "linear", "linear", "linear", "gates", "gates", "linear"]

    def test_a_step_that_uses_another_bias_is_another_layer_with_the_same_weight(self):
        program, tensors = reader()
        place = takes(program, "linear_6.b_0", 7)
        other = changed(program, place, replace(program.operators[place], inputs={"X": ("classes_7",), "Y": ("b",)}))
        other = replace(other, shapes={**SHAPES, "b": (3,)})
        with pytest.raises(Refused, match=r"operator \d+, matmul_v2: its 'linear_6\.w_0' belongs to another layer too"):
            state_of(Reader(), other, tensors)

    def test_a_step_that_uses_a_weight_the_other_way_round_is_another_layer(self):
        program, tensors = reader()
        place = takes(program, "linear_4.w_0", 3)
        other = changed(program, place, replace(program.operators[place], flags=frozenset({"trans_y"})))
        with pytest.raises(Refused, match=r"operator \d+, matmul_v2: its 'linear_4\.w_0' belongs to another layer too"):
            state_of(Reader(), other, tensors)

    def test_a_linear_layer_that_is_stored_the_other_way_round_is_refused(self):
        # Both ways round have the same shape: only the flag of the product tells them apart.
        program, tensors = reader(1)
        place = takes(program, "linear_4.w_0")
        other = changed(program, place, replace(program.operators[place], flags=frozenset({"trans_y"})))
        with pytest.raises(Refused, match=r"layer 3: gates linear_4\.w_0 in the program, linear h2h in the network"):
            state_of(Reader(), other, tensors)

    def test_the_product_of_older_programs_says_otherwise_that_it_turns_its_weight(self):
        program, tensors = reader(1)
        for name in ("gru_cell_0.w_0", "gru_cell_0.w_1"):
            place = takes(program, name)
            old = replace(program.operators[place], type="matmul", flags=frozenset({"transpose_Y"}))
            program = changed(program, place, old)
        assert np.array_equal(state_of(Reader(), program, tensors)["rnn.weight_hh"], tensors["gru_cell_0.w_1"])

    @pytest.mark.parametrize(
        ("tensor", "told"),
        [
            ("gru_cell_0.w_0", "6: linear linear_6.w_0 in the program, gates rnn in the network"),
            ("gru_cell_0.w_1", "6: linear linear_6.w_0 in the program, gates rnn in the network"),
            ("linear_5.w_0", "4: gates gru_cell_0.w_0 in the program, linear score in the network"),
            ("linear_6.w_0", "7: no layer in the program, linear generator in the network"),
        ],
    )
    def test_a_product_that_is_left_out_is_told_with_what_stands_there(self, tensor, told):
        program, tensors = reader(1)
        with pytest.raises(Refused) as refused:
            state_of(Reader(), changed(program, takes(program, tensor)), tensors)
        assert f"first difference at layer {told}" in str(refused.value)

    @pytest.mark.parametrize("tensor", ["gru_cell_0.b_0", "gru_cell_0.b_1", "linear_4.b_0"])
    def test_a_bias_that_no_operator_adds_is_told(self, tensor):
        program, tensors = reader(1)
        with pytest.raises(Refused, match=rf"1 stored tensors belong to no layer .*, the first is '{tensor}'"):
            state_of(Reader(), changed(program, takes(program, tensor)), tensors)

    def test_a_shape_that_differs_is_told_with_its_key(self):
        network = Reader()
        network.rnn = nn.GRUCell(12, 4)
        with pytest.raises(Refused, match=r"rnn\.weight_ih: .* shape \[12, 11\], the network \[12, 12\]"):
            check_state(network, state_of(network, *reader()))

    def test_a_network_without_the_cell_is_told(self):
        network = Reader()
        del network.rnn
        with pytest.raises(
            Refused, match=r"2 gates in the program, .* 0 gates in the network, .* layer 5: gates gru_cell_0\.w_0 "
        ):
            state_of(network, *reader())


class TestOneOperator:
    @given(st.integers(1, 4), st.booleans(), st.integers(1, 3), st.integers(1, 3))
    def test_a_recurrent_network_of_any_depth_and_direction_is_read(self, depth, both_ways, before, hidden):
        network = nn.Sequential(nn.LSTM(before, hidden, num_layers=depth, bidirectional=both_ways))
        ways = 1 + both_ways
        operator = lstm(depth * ways, both_ways=both_ways)
        own = dict(network.named_parameters())
        tensors = {}
        for layer in range(depth):
            for way in range(ways):
                for kind, part in (("w", "weight"), ("b", "bias")):
                    for number, gate in enumerate(("ih", "hh")):
                        key = f"0.{part}_{gate}_l{layer}{'_reverse' * way}"
                        tensors[f"lstm_cell_{layer * ways + way}.{kind}_{number}"] = own[key].detach().numpy()
        program = Program({name: tensor.shape for name, tensor in tensors.items()}, (operator,))
        state = state_of(network, program, tensors)
        check_state(network, state)
        assert all(np.array_equal(state[key], value.detach()) for key, value in own.items())

    @pytest.mark.parametrize("kept", [0, 4, 12, 15])
    def test_a_list_of_weights_of_no_whole_layers_is_told(self, kept):
        program, tensors = reader()
        whole = program.operators[2]
        part = replace(whole, inputs={"WeightList": whole.inputs["WeightList"][:kept]})
        with pytest.raises(
            Refused,
            match=rf"operator 2, rnn: its WeightList should be stored tensors, 8 a layer; found {kept}, {kept} of",
        ):
            state_of(Reader(), changed(program, 2, part), tensors)

    def test_weights_of_fewer_layers_than_are_stored_are_told(self):
        program, tensors = reader()
        whole = program.operators[2]
        part = replace(whole, inputs={"WeightList": whole.inputs["WeightList"][:8]})
        with pytest.raises(Refused, match=r"8 stored tensors belong to no layer .*, the first is 'lstm_cell_0\.b_0'"):
            state_of(Reader(), changed(program, 2, part), tensors)

    def test_a_weight_that_is_computed_is_told(self):
        program, tensors = reader()
        shapes = {name: shape for name, shape in SHAPES.items() if name != "lstm_cell_2.b_1"}
        with pytest.raises(Refused, match=r"operator 2, rnn: its WeightList .* found 16, 15 of them stored"):
            state_of(Reader(), replace(program, shapes=shapes), tensors)

    def test_an_operator_without_weights_is_told(self):
        program = Program({}, (Operator("feed", {}, {}), Operator("rnn", {}, {})))
        with pytest.raises(
            Refused, match=r"operator 1, rnn: its WeightList should be stored tensors, 4 a layer; found 0"
        ):
            state_of(Reader(), program, {})

    def test_one_direction_in_the_program_and_two_in_the_network_are_told(self):
        program, tensors = reader()
        single = replace(program.operators[2], flags=frozenset({"is_test"}))
        network = Reader()
        with pytest.raises(
            Refused, match=r"8 keys missing \(lstm\.bias_hh_l0_reverse, .* 8 unused \(lstm\.bias_hh_l2,"
        ):
            check_state(network, state_of(network, changed(program, 2, single), tensors))

    def test_gates_of_another_kind_of_network_are_told_by_their_shape(self):
        network = Reader()
        network.lstm = nn.GRU(6, 4, num_layers=2, bidirectional=True)
        with pytest.raises(Refused, match=r"lstm\.weight_ih_l0: .* shape \[16, 6\], the network \[12, 6\]"):
            check_state(network, state_of(network, *reader()))
