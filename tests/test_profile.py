"""A profile is read as it is: which node ran where, how long it took at least, and never more than it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import ort_profile
from harness.ort_profile import OTHERS, Kernel, ProfileError, parse_profile, read_profile
from harness.verdict import Broken

CPU = "CPUExecutionProvider"
Node = tuple[str, str, str, Sequence[int]]
"""Name, operator, provider, and microseconds in each run."""


def events(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """What the profiler writes of nodes that run one after the other, in as many runs as they have times."""
    found: list[dict[str, Any]] = [{"cat": "Session", "name": "session_initialization", "ts": 1, "dur": 900}]
    now = 1000
    for number in range(len(nodes[0][3])):
        began = now
        for index, (name, operator, provider, times) in enumerate(nodes):
            arguments = {"op_name": operator, "provider": provider, "node_index": str(index)}
            event = {"cat": "Node", "ph": "X", "name": f"{name}_kernel_time", "ts": now, "dur": times[number]}
            found.append({**event, "args": arguments})
            now += times[number] + 1
        found.append({"cat": "Session", "ph": "X", "name": "model_run", "ts": began, "dur": now - began, "args": {}})
        now += 10
    return found


def parsed(nodes: Sequence[Node]) -> ort_profile.Profile:
    return parse_profile(json.dumps(events(nodes)), "here")


TWO = [("a", "Conv", CPU, [900, 30, 20]), ("b", "Relu", CPU, [900, 10, 30])]
names = st.sampled_from(["a", "b", "c", "d", ""])
runs = st.integers(2, 5)
profiles = runs.flatmap(
    lambda count: st.lists(
        st.tuples(
            names,
            st.sampled_from(["Conv", "Relu", "Gemm"]),
            st.sampled_from([CPU, "CUDAExecutionProvider"]),
            st.lists(st.integers(0, 10**6), min_size=count, max_size=count),
        ),
        min_size=1,
        max_size=8,
    )
)


class TestProfile:
    def test_the_first_run_is_left_out_and_of_the_others_the_least_counts(self) -> None:
        profile = parsed(TWO)
        assert profile.kernels == (Kernel("a", "Conv", CPU, 20), Kernel("b", "Relu", CPU, 10))
        assert profile.runs == 2

    def test_operators_are_summed_and_ranked_with_their_share(self) -> None:
        profile = parsed([*TWO, ("c", "Conv", CPU, [1, 5, 10])])
        assert [(each.name, each.nodes, each.microseconds) for each in profile.operators] == [
            ("Conv", 2, 25),
            ("Relu", 1, 10),
        ]
        assert profile.operators[0].share == pytest.approx(25 / 35)

    def test_nodes_without_a_name_are_told_apart(self) -> None:
        """ONNX Runtime names none that it adds itself."""
        profile = parsed([("", "Transpose", CPU, [9, 9]), ("", "Transpose", CPU, [4, 4])])
        assert [each.microseconds for each in profile.kernels] == [9, 4]

    def test_a_node_that_runs_several_times_in_a_run_takes_the_sum(self) -> None:
        found = events([("body", "Add", CPU, [1, 4, 6])])
        again = [event | {"ts": event["ts"] + 1} for event in found if event["cat"] == "Node"]
        profile = parse_profile(json.dumps([*found, *again]), "here")
        assert profile.kernels == (Kernel("body", "Add", CPU, 8),)

    def test_fences_of_earlier_versions_and_other_events_are_no_nodes(self) -> None:
        found = events(TWO)
        found.append(found[-2] | {"name": "b_fence_before"})
        found.append({"cat": "Session", "name": "SequentialExecutor::Execute", "ts": 1, "dur": 1})
        assert parse_profile(json.dumps(found), "here") == parsed(TWO)

    def test_operators_that_take_little_are_told_as_one(self) -> None:
        few = [(name, name, CPU, [1, took]) for name, took in (("Big", 10000), ("B", 40), ("C", 30), ("D", 50))]
        told = parsed(few).told
        assert [(each.name, each.nodes, each.microseconds) for each in told] == [("Big", 1, 10000), (OTHERS, 3, 120)]
        assert sum(each.share for each in told) == pytest.approx(1)

    @given(profiles, st.randoms(use_true_random=False))
    def test_what_was_written_is_read_in_any_order(self, nodes: Any, random: Any) -> None:
        found = events(nodes)
        random.shuffle(found)
        profile = parse_profile(json.dumps(found), "here")
        wanted = sorted((name, operator, on, min(times[1:])) for name, operator, on, times in nodes)
        assert (
            sorted((each.name, each.operator, each.provider, each.microseconds) for each in profile.kernels) == wanted
        )
        assert sum(profile.providers.values()) == sum(each.nodes for each in profile.operators) == len(nodes)
        whole = sum(min(times[1:]) for *_, times in nodes)
        assert sum(each.share for each in profile.operators) == pytest.approx(1 if whole else 0)


class TestRefused:
    """Each by ``ProfileError``, which is ``Broken``: a damaged profile says nothing of the model."""

    def refused(self, text: str) -> str:
        with pytest.raises(ProfileError) as error:
            parse_profile(text, "here")
        assert isinstance(error.value, Broken)
        assert str(error.value).startswith("here: ")
        return str(error.value)

    @pytest.mark.parametrize("text", ["", "[", '{"cat": "Node"}', "3", "[1]", "[[]]", "[" * 100_000, "\x00"])
    def test_what_is_no_list_of_events(self, text: str) -> None:
        assert "no profile" in self.refused(text)

    def test_a_profile_that_was_cut_short(self) -> None:
        assert "no profile" in self.refused(json.dumps(events(TWO))[:-40])

    @pytest.mark.parametrize("count", [0, 1])
    def test_fewer_runs_than_can_be_timed(self, count: int) -> None:
        found = events([("a", "Conv", CPU, [5])])[: 3 * count]
        assert f"{count} runs" in self.refused(json.dumps(found))

    @pytest.mark.parametrize("field", ["ts", "dur"])
    @pytest.mark.parametrize("value", [None, "12", 1.5, -1, True])
    def test_times_that_are_none(self, field: str, value: object) -> None:
        for place in (1, -1):
            found = events(TWO)
            found[place][field] = value
            assert "expected whole microseconds" in self.refused(json.dumps(found))

    @pytest.mark.parametrize("field", ["op_name", "provider"])
    @pytest.mark.parametrize("value", ["", None, 3])
    def test_a_node_without_operator_or_provider(self, field: str, value: object) -> None:
        found = events(TWO)
        found[-2]["args"][field] = value
        assert "expected two names" in self.refused(json.dumps(found))
        found[-2]["args"] = value
        assert "expected two names" in self.refused(json.dumps(found))

    def test_a_node_before_the_first_run(self) -> None:
        found = events(TWO)
        found[1]["ts"] = 3
        assert "before the first run" in self.refused(json.dumps(found))

    @given(st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["Node", "model_run"]),
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["cat", "name", "ts", "dur", "args"]), inner, max_size=5),
        max_leaves=20,
    ))  # fmt: skip
    def test_any_other_json(self, content: object) -> None:
        self.refused(json.dumps(content))

    def test_a_file_that_is_not_there_or_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ProfileError, match="cannot be read"):
            read_profile(tmp_path / "none.json")
        path = tmp_path / "profile.json"
        path.write_text(json.dumps(events(TWO)))
        assert read_profile(path) == parsed(TWO)
        monkeypatch.setattr(ort_profile, "LARGEST", path.stat().st_size - 1)
        with pytest.raises(ProfileError, match="expected at most"):
            read_profile(path)
        monkeypatch.undo()
        path.write_bytes(b"\xff\xfe")
        with pytest.raises(ProfileError, match="cannot be read"):
            read_profile(path)
