"""CRNN again, small, with seeded weights and a point that is declared slow."""

from dataclasses import replace

from harness.reference import Reference
from harness.registry import load_models
from harness.sizes import Point

CRNN = load_models()["crnn"]
MODEL = replace(
    CRNN,
    name="slowpoke",
    title="a small CRNN with a slow point",
    points=(Point(batch=1), Point(batch=2, slow=True)),
    accuracy_batch=1,
    forms=tuple(replace(form, parameters=None) for form in CRNN.forms),
    references=(
        Reference(name="seeded", initialise="harness.networks.seeded:condition", network_params={"width": 0.125}),
        CRNN.reference("bundled"),
    ),
)
