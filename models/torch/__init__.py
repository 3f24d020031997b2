"""PyTorch networks; nothing else of `models` imports torch."""
