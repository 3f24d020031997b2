"""The PyTorch part of `train.loop`, in reading order: trainer, batches, augment, state, optimisation, range_test."""
