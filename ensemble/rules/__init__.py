"""How an ensemble combines its members: a rule is a file with its arithmetic, its ONNX nodes and its fit, named in `registry`."""
