"""Golden outputs are compared as outcomes stream by, and the shipped ones are what the twin gives today."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.checkpoints.paddle_layers import state_of
from harness.checkpoints.paddle_program import read_parameters, read_program
from harness.datasets.vendor_samples import DirectionSamples
from harness.declaration import DeclarationError
from harness.evaluate import Scored
from harness.golden import GoldenCheck, check_of, write_golden
from harness.networks.direction_classifier import DirectionClassifier
from harness.postprocess.direction import decode
from harness.preprocess.stored import as_stored
from harness.reference import Golden, Reference
from harness.registry import PROJECT, load_models
from harness.verdict import Verdict

BOUND = 1e-4
PAIRS = st.tuples(st.floats(-10, 10), st.floats(-10, 10))


def scored(name: str, *output: float, dtype: Any = np.float32) -> Scored:
    return Scored(name, "0", "0", (1, 1), np.array(output, dtype))


def checking(outputs: dict[str, Any], max_abs: float = BOUND) -> GoldenCheck:
    return GoldenCheck(
        Golden(file="golden.json", max_abs=max_abs), {name: np.asarray(value) for name, value in outputs.items()}
    )


def answered(check: GoldenCheck, *outcomes: Scored, whole: bool = True) -> tuple[Verdict, str, Any]:
    """The answer after outcomes streamed by, all of them passed through as they are."""
    assert [id(outcome) for outcome in check.watch(iter(outcomes))] == list(map(id, outcomes))
    return check.answer(whole=whole)


class TestWatching:
    def test_outputs_within_the_bound_pass_with_their_worst(self):
        check = checking({"s/0": [0.25, 0.75], "s/1": [0.5, 0.5]}, 0.125)
        verdict, line, figures = answered(check, scored("s/0", 0.25, 0.8125), scored("s/1", 0.375, 0.5))
        assert verdict is Verdict.PASS
        assert line == "goldens: max-abs 0.125, bound 0.125, n=2"
        assert figures == {"golden_max_abs": 0.125, "golden_bound": 0.125}

    def test_an_output_beyond_the_bound_fails_with_the_worst_sample(self):
        check = checking({f"s/{number}": [0.0] for number in range(4)})
        outcomes = [scored(f"s/{number}", value) for number, value in enumerate([0.0, 0.25, -0.5, 0.25])]
        verdict, line, figures = answered(check, *outcomes)
        assert verdict is Verdict.FAIL
        assert line == "goldens: max-abs 0.5, bound 0.0001, n=4; worst at s/2"
        assert figures["golden_max_abs"] == 0.5

    @given(st.lists(st.tuples(PAIRS, PAIRS), min_size=1, max_size=6), st.floats(0, 5))
    def test_it_fails_exactly_where_a_number_is_further_off_than_the_bound(self, pairs, bound):
        check = checking({f"s/{number}": golden for number, (golden, _) in enumerate(pairs)}, bound)
        outcomes = [scored(f"s/{number}", *given, dtype=np.float64) for number, (_, given) in enumerate(pairs)]
        verdict, _, figures = answered(check, *outcomes)
        distances = [max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in pairs]
        assert figures["golden_max_abs"] == max(distances)
        assert verdict is (Verdict.PASS if max(distances) <= bound else Verdict.FAIL)
        if verdict is Verdict.FAIL:
            assert distances[int(check.worst_id.removeprefix("s/"))] == max(distances)

    def test_outcomes_are_passed_through_one_at_a_time(self):
        taken = []

        def outcomes():
            for number in range(3):
                taken.append(number)
                yield scored(f"s/{number}", 0.0)

        check = checking({f"s/{number}": [0.0] for number in range(3)})
        stream = check.watch(outcomes())
        assert taken == []
        assert next(stream).id == "s/0"
        assert (taken, check.seen) == ([0], {"s/0"})

    def test_samples_without_a_golden_output_pass_by(self):
        outcomes = (scored("s/0", 0.0), scored("s/1", 7.0), scored("s/2", 7.0))
        verdict, line, _ = answered(checking({"s/0": [0.0]}), *outcomes)
        assert (verdict, line) == (Verdict.PASS, "goldens: max-abs 0, bound 0.0001, n=1")

    def test_a_golden_output_of_a_sample_that_a_whole_set_does_not_have_fails_with_its_name(self):
        outcomes = (scored("s/0", 0.0), scored("t/1", 0.0), scored("t/2", 0.0))
        verdict, line, _ = answered(checking({f"s/{number}": [0.0] for number in range(3)}), *outcomes)
        assert verdict is Verdict.FAIL
        assert line.startswith(
            "2 golden outputs are of samples that were not read, the first is s/1; goldens: max-abs "
        )

    def test_a_part_of_the_samples_passes_on_its_own(self):
        verdict, line, _ = answered(checking({"s/0": [0.0], "s/1": [1.0]}), scored("s/0", 0.0), whole=False)
        assert (verdict, line) == (Verdict.PASS, "goldens: max-abs 0, bound 0.0001, n=1")

    @pytest.mark.parametrize("whole", [True, False])
    def test_nothing_compared_is_no_pass(self, whole):
        verdict, line, _ = answered(checking({"s/0": [0.0]}), whole=whole)
        assert verdict is Verdict.FAIL
        assert line == (
            "1 golden outputs are of samples that were not read, the first is s/0; "
            "goldens: max-abs 0, bound 0.0001, n=0"
        )

    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
    def test_a_number_that_is_none_fails_wherever_it_comes(self, number, place):
        check = checking({f"s/{index}": [0.5, 0.5] for index in range(3)})
        outcomes = [scored(f"s/{index}", 0.5, number if index == place else 0.5) for index in range(3)]
        verdict, line, figures = answered(check, *outcomes)
        assert verdict is Verdict.FAIL
        assert line.endswith(f"n=3; worst at s/{place}")
        assert json.loads(json.dumps(figures, allow_nan=False))["golden_max_abs"] is None

    @pytest.mark.parametrize("output", [[0.5], [0.5, 0.5, 0.0], [[0.5, 0.5]], 0.5], ids=str)
    def test_another_shape_fails_even_where_numpy_would_compare(self, output):
        outcome = Scored("s/0", "0", "0", (1, 1), np.array(output, np.float32))
        verdict, line, figures = answered(checking({"s/0": [0.5, 0.5]}), outcome)
        assert verdict is Verdict.FAIL
        assert line == "goldens: max-abs inf, bound 0.0001, n=1; worst at s/0"
        assert figures["golden_max_abs"] is None

    def test_half_precision_is_compared_in_double(self):
        verdict, _, figures = answered(checking({"s/0": [0.1]}), scored("s/0", 0.1, dtype=np.float16))
        assert figures["golden_max_abs"] == abs(float(np.float16(0.1)) - 0.1)
        assert verdict is Verdict.PASS


@pytest.fixture(scope="module")
def official() -> Reference:
    """The direction classifier's official reference."""
    return load_models()["ppocr_cls"].reference("official")


@pytest.fixture
def other_file(official, tmp_path) -> Callable[[str | None], Reference]:
    """The reference with another file of golden outputs."""

    def replaced(content: str | None) -> Reference:
        path = tmp_path / "golden.json"
        if content is not None:
            path.write_text(content)
        return replace(official, golden=Golden(file=str(path), max_abs=BOUND))

    return replaced


class TestFile:
    def test_a_reference_without_goldens_has_no_check(self, official):
        assert check_of(replace(official, golden=None)) is None

    @given(
        st.dictionaries(st.text(min_size=1, max_size=8), st.lists(st.floats(allow_nan=False), max_size=3), max_size=4)
    )
    def test_outputs_come_back_bit_for_bit(self, official, tmp_path_factory, outputs):
        path = tmp_path_factory.mktemp("golden") / "golden.json"
        given = {name: np.array(value, np.float64) for name, value in outputs.items()}
        write_golden(path, official, given)
        check = check_of(replace(official, golden=Golden(file=str(path), max_abs=BOUND)))
        assert {name: value.tobytes() for name, value in check.outputs.items()} == {
            name: value.tobytes() for name, value in given.items()
        }
        assert all(value.dtype == np.float64 for value in check.outputs.values())
        assert check.golden.max_abs == BOUND

    def test_a_file_names_the_weights_that_it_is_of(self, official, tmp_path):
        write_golden(tmp_path / "golden.json", official, {})
        content = json.loads((tmp_path / "golden.json").read_text())
        assert content["weights"] == {asset.name: asset.sha256 for asset in official.weights}
        assert len(content["weights"]) == 2

    @pytest.mark.parametrize("place", [0, 1])
    def test_outputs_of_other_weights_are_a_wrong_declaration(self, official, tmp_path, place):
        write_golden(tmp_path / "golden.json", official, {"s/0": np.ones(2)})
        weights = list(official.weights)
        weights[place] = replace(weights[place], sha256="0" * 64)
        changed = replace(
            official, weights=tuple(weights), golden=Golden(file=str(tmp_path / "golden.json"), max_abs=BOUND)
        )
        with pytest.raises(
            DeclarationError, match=r"golden\.json: outputs of the weights .*0{64}.*python -m harness golden"
        ):
            check_of(changed)

    def test_outputs_of_fewer_weights_are_a_wrong_declaration(self, official, tmp_path):
        write_golden(tmp_path / "golden.json", replace(official, weights=official.weights[:1]), {"s/0": np.ones(2)})
        with pytest.raises(DeclarationError, match=r"golden\.json: outputs of the weights"):
            check_of(replace(official, golden=Golden(file=str(tmp_path / "golden.json"), max_abs=BOUND)))

    @pytest.mark.parametrize(
        "content",
        [
            None,
            "",
            "{",
            "[]",
            "{}",
            '{"weights": {}}',
            '{"outputs": {}}',
            '{"weights": {}, "outputs": [1]}',
            '{"weights": {}, "outputs": {"s/0": ["x"]}}',
            '{"weights": {}, "outputs": {"s/0": [[1], [1, 2]]}}',
        ],
    )
    def test_a_file_that_is_none_is_a_wrong_declaration(self, other_file, content):
        with pytest.raises(DeclarationError, match=r"golden\.json: no golden outputs, .*python -m harness golden"):
            check_of(other_file(content))


class TestShipped:
    @pytest.fixture
    def folder(self, shared) -> Path:
        return shared / "assets" / "weights" / "ppocrv3" / "ch_ppocr_mobile_v2.0_cls_infer"

    @pytest.fixture(autouse=True)
    def one_thread(self):
        """More than one would wait for each other on a busy machine."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)

    @pytest.fixture
    def twin(self, folder) -> DirectionClassifier:
        """The torch twin in double precision with the published weights."""
        program = read_program(folder / "inference.pdmodel")
        network = DirectionClassifier()
        network.load_state_dict(state_of(network, program, read_parameters(folder / "inference.pdiparams", program)))
        return network.double().eval()

    def outcomes(self, twin: DirectionClassifier, shared: Path, change: Callable[[Any], Any]) -> list[Scored]:
        """What the twin gives on the vendor's samples, each changed before."""
        samples = list(DirectionSamples(shared / "assets" / "knight" / "cls_b1.pd").samples())
        fed = np.stack([change(as_stored(sample.content, (3, 48, 192))) for sample in samples])
        with torch.no_grad():
            outputs = twin(torch.from_numpy(fed.copy()).double()).numpy()
        return [
            Scored(sample.id, decode(output), sample.truth, (decode(output) == sample.truth, 1), output)
            for sample, output in zip(samples, outputs, strict=True)
        ]

    def test_the_shipped_outputs_are_what_the_twin_gives_now(self, official, twin, shared):
        check = check_of(official)
        verdict, _, figures = answered(check, *self.outcomes(twin, shared, lambda picture: picture))
        assert (verdict, len(check.seen)) == (Verdict.PASS, 30)
        assert len(check.outputs) == 30
        assert figures["golden_max_abs"] < 1e-9

    def test_swapped_colours_have_as_many_hits_and_fail(self, official, twin, shared):
        plain = self.outcomes(twin, shared, lambda picture: picture)
        swapped = self.outcomes(twin, shared, lambda picture: picture[::-1])
        assert [sum(outcome.counts[0] for outcome in found) for found in (plain, swapped)] == [21, 21]
        verdict, _, figures = answered(check_of(official), *swapped)
        assert verdict is Verdict.FAIL
        assert figures["golden_max_abs"] > 100 * official.golden.max_abs

    def test_another_samples_outputs_fail(self, official, twin, shared):
        plain = self.outcomes(twin, shared, lambda picture: picture)
        shifted = [replace(one, output=other.output) for one, other in zip(plain, plain[1:] + plain[:1], strict=True)]
        assert answered(check_of(official), *shifted)[0] is Verdict.FAIL

    def test_the_weights_that_it_names_are_the_published_files(self, official, folder):
        named = json.loads((PROJECT / official.golden.file).read_text())["weights"]
        assert len(named) == 2
        for name, sha256 in named.items():
            assert hashlib.sha256((folder.parent / name).read_bytes()).hexdigest() == sha256

    def test_the_shipped_outputs_are_probabilities(self, official):
        outputs = np.stack(list(check_of(official).outputs.values()))
        assert outputs.shape == (30, 2)
        assert np.abs(outputs.sum(axis=1) - 1).max() < 1e-12
        assert outputs.min() >= 0
