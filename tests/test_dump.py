"""Dumps of layers are read as tools write them, matched by tensor, and what is wrong with one is named."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.quantize import dump
from harness.quantize.dump import compared, decoded, encoded, matched, read_dump, write_layer
from harness.quantize.layers import MOST_DB, Place
from harness.verdict import Absent, Broken, Refused

NAMES = st.text(st.sampled_from("xyA_/%2F5:. \n\\é"), min_size=1, max_size=12)
VALUES = np.random.default_rng(0).standard_normal((1, 2, 3)).astype(np.float32)


def dumped(folder: Path, *names: str, values: NDArray = VALUES, batches: int = 2) -> Path:
    """A dump whose folders have these names as they are."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for batch in range(batches):
            np.save(folder / name / f"batch_{batch}.npy", values)
    return folder


def pairs(left: Path, right: Path) -> list[tuple[str, str]]:
    found = matched(read_dump(left), read_dump(right))
    assert not found.only_left
    assert not found.only_right
    return [(str(one), str(other)) for one, other in found.pairs]


class TestNames:
    @given(NAMES)
    def test_any_tensor_s_name_comes_back_from_a_folder(self, name: str) -> None:
        assert "/" not in encoded(name)
        assert decoded(encoded(name)) == name

    @given(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    def test_what_is_written_is_read(self, tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
        folder = tmp_path_factory.mktemp("dump")
        for number, name in enumerate(names, 1):
            write_layer(folder, Place(number, name), 0, VALUES + number)
        found = read_dump(folder)
        assert [(layer.number, layer.name) for layer in found] == list(enumerate(names, 1))
        assert [float(np.load(layer.batches[0]).max()) for layer in found] == [
            float((VALUES + number).max()) for number in range(1, len(names) + 1)
        ]

    def test_the_layout_is_the_guide_s(self, tmp_path: Path) -> None:
        for batch in range(2):
            write_layer(tmp_path / "float", Place(1, "x"), batch, VALUES)
            write_layer(tmp_path / "float", Place(12, "/conv/Conv_output_0"), batch, VALUES)
        found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npy"))
        assert found == [
            "float/0001:x/batch_0.npy",
            "float/0001:x/batch_1.npy",
            "float/0012:%2Fconv%2FConv_output_0/batch_0.npy",
            "float/0012:%2Fconv%2FConv_output_0/batch_1.npy",
        ]

    def test_where_a_name_takes_no_colon_it_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dump, "TAKES_COLON", False)
        with pytest.raises(Broken, match="Windows"):
            write_layer(tmp_path, Place(1, "x"), 0, VALUES)
        assert not list(tmp_path.iterdir())


class TestMatched:
    def test_by_tensor_and_never_by_number(self, tmp_path: Path) -> None:
        left = dumped(tmp_path / "a", "0001:x", "0002:conv", "0003:relu")
        right = dumped(tmp_path / "b", "0001:relu", "0007:x", "0002:conv")
        assert pairs(left, right) == [
            ("0001:x", "0007:x"),
            ("0002:conv", "0002:conv"),
            ("0003:relu", "0001:relu"),
        ]

    def test_an_operator_before_the_tensor_is_looked_through(self, tmp_path: Path) -> None:
        left = dumped(tmp_path / "a", "0001:x", "0069:softmax_1.tmp_0")
        right = dumped(tmp_path / "b", "0001:Input_x", "0068:Softmax_softmax_1.tmp_0")
        expected = [("0001:x", "0001:Input_x"), ("0069:softmax_1.tmp_0", "0068:Softmax_softmax_1.tmp_0")]
        assert pairs(left, right) == expected
        assert pairs(right, left) == [(two, one) for one, two in expected]

    def test_a_tensor_that_only_looks_so_keeps_its_name(self, tmp_path: Path) -> None:
        left = dumped(tmp_path / "a", "0001:Conv_1", "0002:1")
        right = dumped(tmp_path / "b", "0001:1", "0002:Conv_1")
        assert pairs(left, right) == [("0001:Conv_1", "0002:Conv_1"), ("0002:1", "0001:1")]
        assert pairs(right, left) == [("0001:1", "0002:1"), ("0002:Conv_1", "0001:Conv_1")]

    def test_of_a_repeated_name_the_first_goes_with_the_first(self, tmp_path: Path) -> None:
        names = [f"{number:04}:Input_input_ids" for number in range(1, 5)]
        left, right = dumped(tmp_path / "a", *names), dumped(tmp_path / "b", "0009:Input_input_ids", *names[1:])
        assert pairs(left, right) == list(zip(names, [*names[1:], "0009:Input_input_ids"], strict=True))

    def test_layers_of_one_alone_are_told(self, tmp_path: Path) -> None:
        left = dumped(tmp_path / "a", "0001:x", "0002:relu", "0003:x")
        right = dumped(tmp_path / "b", "0001:x", "0002:fused")
        found = matched(read_dump(left), read_dump(right))
        assert [str(each) for each in found.only_left] == ["0002:relu", "0003:x"]
        assert [str(each) for each in found.only_right] == ["0002:fused"]
        assert len(found.pairs) == 1

    @given(st.permutations(range(6)), st.permutations(range(6)))
    def test_whatever_the_order_all_find_their_own(self, one: list[int], other: list[int]) -> None:
        left, right = (
            [dump.Dumped(place, f"t{name}", {}) for place, name in enumerate(order)] for order in (one, other)
        )
        found = matched(left, right)
        assert all(two[0].name == two[1].name for two in found.pairs)
        assert [pair[0] for pair in found.pairs] == left


class TestRead:
    def test_numbers_count_as_numbers(self, tmp_path: Path) -> None:
        found = read_dump(dumped(tmp_path, "10000:z", "0999:y", "0001:x", batches=11))
        assert [layer.name for layer in found] == ["x", "y", "z"]
        assert list(found[0].batches) == list(range(11))

    def test_notes_beside_the_layers_are_let_be(self, tmp_path: Path) -> None:
        dumped(tmp_path, "0001:x")
        (tmp_path / "log.txt").write_text("made by a tool")
        assert len(read_dump(tmp_path)) == 1

    def test_no_folder_and_an_empty_one_are_absent(self, tmp_path: Path) -> None:
        with pytest.raises(Absent, match="no such folder"):
            read_dump(tmp_path / "nowhere")
        with pytest.raises(Absent, match="no layer in it"):
            read_dump(tmp_path)

    @pytest.mark.parametrize("name", ["float", "x", "1:x", "0001:", "0001_x"])
    def test_a_folder_that_is_no_layer_is_named(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).mkdir()
        with pytest.raises(Refused, match=f"{name}: no layer of a dump, expected a name such as 0001:x"):
            read_dump(tmp_path)

    def test_an_empty_layer_is_named(self, tmp_path: Path) -> None:
        dumped(tmp_path, "0001:x")
        (tmp_path / "0002:y").mkdir()
        with pytest.raises(Refused, match="0002:y: the layer is empty"):
            read_dump(tmp_path)

    def test_what_is_no_batch_is_named(self, tmp_path: Path) -> None:
        dumped(tmp_path, "0001:x")
        (tmp_path / "0001:x" / "batch_2.npz").write_bytes(b"")
        with pytest.raises(Refused, match=r"batch_2\.npz: no batch of a layer"):
            read_dump(tmp_path)


class TestCompared:
    def compare(self, folder: Path, spoil: object = None, right: NDArray = VALUES) -> object:
        """A layer x of two dumps; ``spoil`` is done to the second batch of the second."""
        dumped(folder / "a", "0001:x")
        dumped(folder / "b", "0001:x", values=right)
        if spoil is not None:
            spoil(folder / "b" / "0001:x" / "batch_1.npy")
        ((one, other),) = matched(read_dump(folder / "a"), read_dump(folder / "b")).pairs
        return compared(one, other)

    def test_equal_dumps_are_equal(self, tmp_path: Path) -> None:
        found = self.compare(tmp_path)
        assert list(found.samples) == ["batch_0", "batch_1"]
        assert (found.whole.snr, found.whole.n, found.place) == (MOST_DB, 12, Place(1, "x"))

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
    def test_floats_of_any_size_are_compared(self, dtype: object, tmp_path: Path) -> None:
        assert self.compare(tmp_path, right=VALUES.astype(dtype)).whole.snr > 60

    def test_a_transposed_file_is_read_in_its_order(self, tmp_path: Path) -> None:
        assert self.compare(tmp_path, lambda path: np.save(path, np.asfortranarray(VALUES))).whole.snr == MOST_DB

    @pytest.mark.parametrize("left", [0, 5, 40, 128, 151])
    def test_a_file_cut_short_is_named(self, left: int, tmp_path: Path) -> None:
        with pytest.raises(Refused, match=r"b/0001:x/batch_1\.npy: no whole array in NumPy's format"):
            self.compare(tmp_path, lambda path: path.write_bytes(path.read_bytes()[:left]))

    def test_numbers_behind_the_last_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="4 bytes behind its 6 numbers"):
            self.compare(tmp_path, lambda path: path.write_bytes(path.read_bytes() + b"\0" * 4))

    @given(st.integers(0, 151), st.integers(0, 255))
    def test_damage_is_refused_or_read_and_never_anything_else(
        self, tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
    ) -> None:
        def damage(path: Path) -> None:
            content = bytearray(path.read_bytes())
            content[place] = byte
            path.write_bytes(bytes(content))

        with suppress(Refused):
            self.compare(tmp_path_factory.mktemp("d"), damage)

    def test_nothing_is_unpickled(self, tmp_path: Path) -> None:
        def pickled(path: Path) -> None:
            np.save(path, np.array([{"a": 1}], object), allow_pickle=True)

        with pytest.raises(Refused, match=r"batch_1\.npy: no whole array"):
            self.compare(tmp_path, pickled)

    @pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int64", "bool", "complex64"])
    def test_what_is_no_float_is_named(self, dtype: str, tmp_path: Path) -> None:
        with pytest.raises(Refused, match=f"holds {dtype}, expected floats"):
            self.compare(tmp_path, lambda path: np.save(path, np.ones((1, 2, 3), dtype)))

    @pytest.mark.parametrize("shape", [(1, 2), (1, 3, 2), (6,), (2, 2, 3)])
    def test_another_shape_is_named(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        with pytest.raises(Refused, match=r"layer 0001:x: batch_1 is \[1, 2, 3\] against"):
            self.compare(tmp_path, lambda path: np.save(path, np.ones(shape, np.float32)))

    def test_an_array_without_a_number_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match=r"its shape \[0, 3\] holds no number"):
            self.compare(tmp_path, lambda path: np.save(path, np.ones((0, 3), np.float32)))

    def test_another_count_of_batches_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match=r"layer 0001:x: 2 batches against 1, batch_1\.npy is in one"):
            self.compare(tmp_path, Path.unlink)
