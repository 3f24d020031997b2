"""Rules that average members, and members fused into one ONNX file that keeps the same contract as they do."""
