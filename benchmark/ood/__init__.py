"""Foreign images: whether a model is less sure of what is none of its classes."""
