"""Names the fixture plugins; nothing else."""

pytest_plugins = [
    "fixtures.options",
    "fixtures.selection",
    "fixtures.answers",
    "fixtures.ending",
    "fixtures.bench",
    "fixtures.replay",
]
