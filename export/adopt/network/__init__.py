"""A foreign ONNX graph: read and run, cut to its core, its batch freed, and held against what was made of it."""
