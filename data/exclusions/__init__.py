"""Images that a test is better without: those seen in training, and those that a list names."""
