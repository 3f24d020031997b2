"""A foreign ONNX graph: read and run, cut to its core, its batch made symbolic, and compared with what was made from it."""
