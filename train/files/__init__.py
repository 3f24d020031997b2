"""What a training writes while it runs, by name: the weights that it claims, and the checkpoint beside them."""
