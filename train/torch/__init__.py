"""What PyTorch does its own way in `train.loop`, in reading order: trainer, batches, augment, state, optimisation, range_test."""
