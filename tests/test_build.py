"""A file that is larger than was published is named with both sizes; a smaller one is as good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from harness.assets import Assets
from harness.cells import Scope
from harness.claim import Claim
from harness.domains import asks
from harness.model import Model
from harness.store import Store
from harness.verdict import Answer, Verdict
from harness.workbench import Workbench
from tests.saboteurs import SabotagedBench
from tests.test_saboteurs import settle


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("bench")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch")


def built(bench: Workbench, crnn: Model, *claims: Claim, form: str = "onnx") -> Answer:
    """What *build* says of a form of the full-size network under these claims."""
    references = tuple(replace(each, claims=claims) if each.name == "seeded" else each for each in crnn.references)
    found = asks("build", {"crnn": replace(crnn, references=references)}, Scope())
    return settle(bench, next(ask for ask in found if ask.form.name == form))


def size_of(printed: str, form: str = "onnx", **said: object) -> Claim:
    return Claim(**{"metric": "size", "printed": printed, "unit": "MB", "form": form, "source": "a guide", **said})


def megabytes(count: int) -> str:
    return f"{count / 1e6:.6f}"


def store_weights_twice(model: onnx.ModelProto) -> None:
    """Every initialiser a second time under another name, which nothing uses: the numbers stay the same."""
    for tensor in list(model.graph.initializer):
        again = model.graph.initializer.add()
        again.CopyFrom(tensor)
        again.name = f"{tensor.name}_again"


@pytest.fixture(scope="module")
def size(bench: Workbench, crnn: Model) -> int:
    """The bytes of the exported graph."""
    answer = built(bench, crnn)
    assert answer.verdict is Verdict.PASS, answer.line
    assert "published" not in answer.line
    return answer.figures["size"]


def test_the_published_size_holds_and_the_line_says_both(bench: Workbench, crnn: Model, size: int) -> None:
    claims = [claim for claim in crnn.reference("seeded").claims if claim.is_size]
    assert [claim.printed for claim in claims] == ["34"]
    answer = built(bench, crnn, *claims)
    assert answer.verdict is Verdict.PASS
    assert answer.line.endswith(f"{size} bytes; {size / 1e6:.1f} MB, published 34 MB")


def test_weights_that_are_stored_twice_are_named_with_both_sizes(bench, crnn, size, tmp_path: Path) -> None:
    sabotaged = SabotagedBench(bench, tmp_path)
    sabotaged.edit = store_weights_twice
    answer = built(sabotaged, crnn, *crnn.reference("seeded").claims)
    assert answer.verdict is Verdict.FAIL
    assert answer.figures["size"] > 1.9 * size
    assert answer.line == f"{answer.figures['size'] / 1e6:.1f} MB, over the published 34 MB"


def test_the_published_size_itself_is_not_over_it_and_a_byte_more_is(bench, crnn, size) -> None:
    assert built(bench, crnn, size_of(megabytes(size))).verdict is Verdict.PASS
    over = built(bench, crnn, size_of(megabytes(size - 1)))
    assert over.verdict is Verdict.FAIL
    assert f"{size / 1e6:.1f} MB, over the published {megabytes(size - 1)} MB" in over.line


@pytest.mark.parametrize("published", ["34", "100", "33.4", "99999"])
def test_a_smaller_file_is_never_a_failure(bench, crnn, size, published) -> None:
    assert built(bench, crnn, size_of(published)).verdict is Verdict.PASS


@pytest.mark.parametrize(("allow", "verdict"), [(0.12, Verdict.PASS), (0.1, Verdict.FAIL)])
def test_an_allowance_is_a_part_of_the_published_size(bench, crnn, size, allow, verdict) -> None:
    answer = built(bench, crnn, size_of("30", allow=allow, because="another exporter"))
    assert answer.verdict is verdict, answer.line
    assert f"published 30 MB (+{allow:.0%} allowed)" in answer.line


def test_every_size_that_is_over_is_named(bench, crnn, size) -> None:
    answer = built(bench, crnn, size_of("17"), size_of("34"), size_of("1.5"))
    assert answer.verdict is Verdict.FAIL
    said = f"{size / 1e6:.1f} MB, over the published"
    assert answer.line == f"{said} 17 MB; {said} 1.5 MB"


@pytest.mark.parametrize(
    "other", [size_of("1", device="Ascend310"), size_of("1", form="matmul"), size_of("1", form="checkpoint")]
)
def test_sizes_of_something_else_are_not_judged_here(bench, crnn, size, other) -> None:
    answer = built(bench, crnn, other)
    assert answer.verdict is Verdict.PASS
    assert "published" not in answer.line


@pytest.mark.parametrize(("printed", "verdict"), [("34", Verdict.PASS), ("33", Verdict.FAIL)])
def test_a_form_of_any_format_has_a_size(bench, crnn, size, printed, verdict) -> None:
    answer = built(bench, crnn, size_of(printed, form="checkpoint"), form="checkpoint")
    assert answer.verdict is verdict, answer.line
    assert f"{answer.figures['size'] / 1e6:.1f} MB, " in answer.line


def test_a_size_stands_beside_whatever_else_is_not_as_declared(bench, crnn, size) -> None:
    forms = tuple(replace(form, nodes=1) if form.name == "onnx" else form for form in crnn.forms)
    answer = built(bench, replace(crnn, forms=forms), size_of("17"))
    assert answer.verdict is Verdict.FAIL
    assert answer.line == f"85 nodes, declared 1; {size / 1e6:.1f} MB, over the published 17 MB"
