"""Why a model is as fast as it is: the time of every node, from ONNX Runtime's own profile."""
