"""Architectures and the model card; weights and ONNX files lie beside the code."""
