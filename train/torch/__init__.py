"""What the PyTorch trainer is made of, in reading order: trainer, batches, augment, optimisation, state, range_test."""
