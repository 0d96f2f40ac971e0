"""What ONNX Runtime executes of a quantised file, computed again in exact integer arithmetic and compared."""
