"""From native weights to ONNX files that keep the contract: a graph prefix and suffix, a parity check, one process a framework."""
