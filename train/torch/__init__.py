"""The PyTorch part of `train.loop`, in reading order: trainer, batches, augment, state, optimisation, range_test."""

import models.torch  # noqa: F401  # before torch itself: it says what a low limit on memory would make an abort
