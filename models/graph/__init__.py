"""Everything that reads, cuts, wraps and joins ONNX graphs."""
