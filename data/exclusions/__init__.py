"""Images to leave out of a test: those seen in training, and those that a list names."""
