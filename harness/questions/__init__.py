"""The questions: one module each, ``ask(bench, ask) -> Answer``, the same for every model."""
