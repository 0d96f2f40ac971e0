"""How every session of ONNX Runtime in this project is set up."""

from __future__ import annotations

from typing import Any

EXACT_INTEGERS = "session.x64quantprecision"
"""The option that keeps products of 8 bits from saturating where a processor adds pairs of them in 16 bits: on x86
without VNNI the same file answers otherwise without it. It makes int8 weights uint8, for kernels that are slower; on
other processors than x86, and on a graph in floats, it changes nothing."""
FLOAT_LAYERS = "session.qdq_matmulnbits_accuracy_level"
"""What a dense layer of integer weights and float activations is computed in: 1 is single precision. By default its
activations are quantised on the way, so that what a form leaves float would not be."""
CONFIGURATION = {"session.intra_op.allow_spinning": "0", EXACT_INTEGERS: "1", FLOAT_LAYERS: "1"}
"""Threads do not spin, which burns CPU time under contention; every processor computes what the graph says."""


def session_options(threads: int) -> Any:
    """``SessionOptions`` for so many threads, with this project's configuration."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, value in CONFIGURATION.items():
        options.add_session_config_entry(name, value)
    return options
