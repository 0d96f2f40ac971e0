"""Golden boxes are compared corner by corner as outcomes stream by, and are what the twin finds today."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.__main__ import main
from harness.boxes import Box, Quad, read_boxes, write_boxes
from harness.declaration import DeclarationError
from harness.evaluate import Scored
from harness.golden import check_of, write_golden
from harness.golden_boxes import BoxesCheck
from harness.reference import GoldenBoxes, Reference
from harness.registry import PROJECT, load_models
from harness.verdict import Figure, Verdict
from tests.scene_folders import NAME, declare_scenes

Places = Sequence[int]
"""Boxes by where they lie; equal numbers are equal boxes."""
PLACES = st.lists(st.integers(0, 5), unique=True, max_size=5)


def quad(place: int) -> Quad:
    return ((place, 0), (place + 9, 0), (place + 9, 5), (place, 5))


def told(places: Places, score: float = 0.75) -> str:
    return write_boxes([Box(quad(place), score) for place in places])


def scored(name: str, places: Places, score: float = 0.75) -> Scored:
    return Scored(name, told(places, score), "[]", (1, 1), np.zeros(1, np.float32))


def checking(boxes: dict[str, Places], equal: float = 0.9) -> BoxesCheck:
    golden = GoldenBoxes(file="golden.json", equal=equal)
    return BoxesCheck(golden, {name: told(places) for name, places in boxes.items()})


def answered(check: BoxesCheck, *outcomes: Scored, whole: bool = True) -> tuple[Verdict, str, dict[str, Figure]]:
    """The answer after outcomes streamed by, all of them passed through as they are."""
    assert [id(outcome) for outcome in check.watch(iter(outcomes))] == list(map(id, outcomes))
    return check.answer(whole=whole)


class TestWatching:
    def test_all_the_same_pass_with_their_number(self):
        verdict, line, figures = answered(
            checking({"s/0": [1, 2], "s/1": [3]}), scored("s/0", [1, 2]), scored("s/1", [3])
        )
        assert verdict is Verdict.PASS
        assert line == "golden boxes: 3 of 3 the same, at least 90% expected"
        assert figures == {"golden_same": 3, "golden_either": 3}

    @pytest.mark.parametrize(("lost", "verdict"), [(1, Verdict.PASS), (2, Verdict.FAIL)])
    def test_a_share_of_exactly_the_least_passes_and_just_below_fails(self, lost, verdict):
        check = checking({"s/0": range(10)}, equal=0.9)
        found, line, _ = answered(check, scored("s/0", range(10 - lost)))
        assert found is verdict
        assert line.startswith(f"golden boxes: {10 - lost} of 10 the same, at least 90% expected")

    @given(st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=5), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
    def test_it_fails_exactly_where_too_few_of_all_boxes_are_in_both(self, pairs, equal):
        check = checking({f"s/{at}": golden for at, (golden, _) in enumerate(pairs)}, equal)
        verdict, line, figures = answered(check, *(scored(f"s/{at}", found) for at, (_, found) in enumerate(pairs)))
        same = sum(len({*golden} & {*found}) for golden, found in pairs)
        either = sum(len({*golden} | {*found}) for golden, found in pairs)
        assert figures == {"golden_same": same, "golden_either": either}
        # Where no picture has a box on either side, nothing was compared.
        assert verdict is (Verdict.PASS if either and same >= equal * either else Verdict.FAIL)
        shares = [len({*a} & {*b}) / (len({*a} | {*b}) or 1) if (a or b) else 1.0 for a, b in pairs]
        if verdict is Verdict.FAIL and either:
            assert f"; worst at s/{shares.index(min(shares))}, {min(shares):.0%}" in line

    @given(data=st.data(), places=PLACES.filter(bool), score=st.floats(0, 1))
    def test_neither_order_nor_scores_matter(self, data, places, score):
        shuffled = data.draw(st.permutations(places))
        verdict, _, figures = answered(checking({"s/0": places}, equal=1.0), scored("s/0", shuffled, score))
        assert (verdict, figures["golden_same"]) == (Verdict.PASS, len(places))

    @given(corner=st.integers(0, 3), axis=st.integers(0, 1), by=st.sampled_from([-1, 1]))
    def test_a_box_with_one_corner_one_pixel_off_is_another(self, corner, axis, by):
        points = [list(point) for point in quad(3)]
        points[corner][axis] += by
        moved = json.dumps([{"points": points, "score": 0.75}])
        outcome = replace(scored("s/0", []), predicted=moved)
        verdict, _, figures = answered(checking({"s/0": [3]}), outcome)
        assert (verdict, figures) == (Verdict.FAIL, {"golden_same": 0, "golden_either": 2})

    def test_boxes_too_many_count_as_much_as_boxes_too_few(self):
        verdict, line, figures = answered(checking({"s/0": [1]}), scored("s/0", [1, 2, 3]))
        assert (verdict, figures) == (Verdict.FAIL, {"golden_same": 1, "golden_either": 3})
        assert line.endswith("; worst at s/0, 33%")

    def test_the_worst_sample_is_named_and_of_equal_ones_the_first(self):
        golden = {f"s/{at}": [1, 2] for at in range(4)}
        found = {"s/0": [1, 2], "s/1": [1], "s/2": [], "s/3": []}
        verdict, line, _ = answered(checking(golden), *(scored(name, places) for name, places in found.items()))
        assert verdict is Verdict.FAIL
        assert line.endswith("; worst at s/2, 0%")


class TestEmptyPictures:
    def test_one_that_is_empty_on_both_sides_changes_nothing(self):
        verdict, _, figures = answered(checking({"s/0": [1], "s/1": []}), scored("s/0", [1]), scored("s/1", []))
        assert (verdict, figures["golden_either"]) == (Verdict.PASS, 1)

    def test_boxes_in_an_empty_one_count(self):
        verdict, line, _ = answered(checking({"s/0": [1], "s/1": []}), scored("s/0", [1]), scored("s/1", [2]))
        assert verdict is Verdict.FAIL
        assert line.endswith("worst at s/1, 0%")

    def test_nothing_but_empty_ones_is_no_pass(self):
        verdict, line, _ = answered(checking({"s/0": []}), scored("s/0", []))
        assert (verdict, line) == (Verdict.FAIL, "golden boxes: 0 of 0 the same, at least 90% expected; no box in any")


class TestUnseen:
    def test_a_golden_sample_that_a_whole_set_does_not_have_fails_with_its_name(self):
        check = checking({f"s/{at}": [at] for at in range(3)})
        verdict, line, _ = answered(check, scored("s/0", [0]), scored("t/1", [1]))
        assert verdict is Verdict.FAIL
        assert line.startswith("2 samples with golden boxes were not read, the first is s/1; golden boxes: 1 of 1 ")

    def test_a_part_of_the_samples_passes_on_its_own(self):
        verdict, _, figures = answered(checking({"s/0": [0], "s/1": [1]}), scored("s/0", [0]), whole=False)
        assert (verdict, figures["golden_either"]) == (Verdict.PASS, 1)

    @pytest.mark.parametrize("whole", [True, False])
    def test_nothing_compared_is_no_pass(self, whole):
        verdict, line, _ = answered(checking({"s/0": [0]}), scored("t/0", [0]), whole=whole)
        assert verdict is Verdict.FAIL
        assert line.startswith("1 samples with golden boxes were not read, the first is s/0; ")

    @pytest.mark.parametrize("whole", [True, False])
    def test_no_golden_sample_at_all_is_no_pass(self, whole):
        assert answered(checking({}), scored("s/0", [0]), whole=whole)[0] is Verdict.FAIL

    def test_samples_without_golden_boxes_pass_by(self):
        verdict, _, figures = answered(checking({"s/0": [0]}), scored("s/0", [0]), scored("s/1", [1, 2]))
        assert (verdict, figures["golden_either"]) == (Verdict.PASS, 1)


@pytest.fixture(scope="module")
def bundled() -> Reference:
    return load_models()["db"].reference("bundled")


def kept_in(reference: Reference, path: Path) -> Reference:
    return replace(reference, golden=GoldenBoxes(file=str(path), equal=0.9))


class TestFile:
    @given(st.dictionaries(st.text(min_size=1, max_size=8), PLACES, max_size=4))
    def test_boxes_come_back(self, bundled, tmp_path_factory, boxes):
        path = tmp_path_factory.mktemp("golden") / "golden.json"
        write_golden(path, bundled, {name: json.loads(told(places)) for name, places in boxes.items()})
        check = check_of(kept_in(bundled, path))
        assert isinstance(check, BoxesCheck)
        assert {name: read_boxes(line) for name, line in check.boxes.items()} == {
            name: [Box(quad(place), 0.75) for place in places] for name, places in boxes.items()
        }
        assert check.golden.equal == 0.9

    def test_a_file_names_the_weights_and_those_of_others_are_a_wrong_declaration(self, bundled, tmp_path):
        path = tmp_path / "golden.json"
        write_golden(path, bundled, {"s/0": json.loads(told([1]))})
        assert json.loads(path.read_text())["weights"] == {"db.safetensors": bundled.weights[0].sha256}
        other = replace(kept_in(bundled, path), weights=(replace(bundled.weights[0], sha256="0" * 64),))
        with pytest.raises(DeclarationError, match=r"golden\.json: outputs of the weights .*0{64}.*harness golden"):
            check_of(other)

    @pytest.mark.parametrize(
        "outputs",
        [
            "[1]",
            '{"s/0": {}}',
            '{"s/0": [0.25, 0.75]}',
            '{"s/0": [{"points": [[0, 0]], "score": 1}]}',
            '{"s/0": [{"points": [[0, 0], [9, 0], [9, 5], [0, 5]]}]}',
            '{"s/0": [{"points": [[0.5, 0], [9, 0], [9, 5], [0, 5]], "score": 1}]}',
        ],
    )
    def test_a_file_without_boxes_is_a_wrong_declaration(self, bundled, tmp_path, outputs):
        weights = json.dumps({asset.name: asset.sha256 for asset in bundled.weights})
        (tmp_path / "golden.json").write_text(f'{{"weights": {weights}, "outputs": {outputs}}}')
        with pytest.raises(DeclarationError, match=r"golden\.json: no golden outputs, .*python -m harness golden"):
            check_of(kept_in(bundled, tmp_path / "golden.json"))

    @pytest.mark.parametrize("name", ["db", "db_deform", "ppocr_det"])
    def test_the_shipped_ones_are_of_every_scene(self, name):
        reference = load_models()[name].reference("bundled")
        check = check_of(reference)
        assert isinstance(check, BoxesCheck)
        assert set(check.boxes) == {f"scenes/img_{number}.png" for number in range(1, reference.data.n + 1)}
        assert sum(len(read_boxes(line)) for line in check.boxes.values()) > 2 * reference.data.n


class TestDeclaration:
    @pytest.mark.parametrize("equal", [0, -0.5, 1.01, float("nan")])
    def test_the_least_share_is_over_0_and_up_to_1(self, equal):
        with pytest.raises(DeclarationError, match=r"GoldenBoxes\.equal: .*expected a share over 0 and up to 1"):
            GoldenBoxes(file="golden.json", equal=equal)

    @pytest.mark.parametrize("equal", [1e-9, 0.9, 1])
    def test_shares_in_between_are_taken(self, equal):
        assert GoldenBoxes(file="golden.json", equal=equal).equal == equal

    def test_they_need_data_and_the_digest_of_every_file_of_weights(self, bundled):
        for changes in ({"data": None}, {"weights": (replace(bundled.weights[0], sha256=None),)}):
            with pytest.raises(DeclarationError, match=r"Reference\(bundled\)\.golden: .*declare data, and the sha256"):
                replace(bundled, claims=(), **changes)


def test_the_command_writes_what_is_shipped(tmp_path, capsys):
    out, models = tmp_path / "golden.json", declare_scenes(tmp_path / "models")
    asked = ["golden", NAME, "bundled", f"--models={models}", f"--store={tmp_path / 'store'}", f"--out={out}"]
    assert main([*asked, "--samples=3"]) == 0
    assert f"wrote {out}: 3 outputs" in capsys.readouterr().out
    found = json.loads(out.read_text())
    shipped = json.loads((PROJECT / "suites" / "references" / "db" / "golden.json").read_text())
    assert found["weights"] == shipped["weights"]
    assert list(found["outputs"]) == [f"scenes/img_{number}.png" for number in (1, 2, 3)]
    for name, boxes in found["outputs"].items():
        assert [box["points"] for box in boxes] == [box["points"] for box in shipped["outputs"][name]]
        assert [box["score"] for box in boxes] == pytest.approx(
            [box["score"] for box in shipped["outputs"][name]], abs=1e-3
        )
