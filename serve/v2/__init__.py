"""The V2 inference protocol (Open Inference Protocol) over HTTP, with Triton's extensions for binary tensors and statistics.

github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md; and of
github.com/triton-inference-server/server docs/protocol: extension_binary_data.md, extension_classification.md,
extension_model_configuration.md, extension_statistics.md, extension_model_repository.md (the index).
"""
