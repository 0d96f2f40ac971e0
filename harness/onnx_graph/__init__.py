"""Export, rewrites and inspection of ONNX graphs."""
