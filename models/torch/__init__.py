"""PyTorch networks; nothing else of `models` imports torch."""

from core.environment import require_address_space

require_address_space(4, "PyTorch")
