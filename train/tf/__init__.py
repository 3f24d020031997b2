"""The Keras part of `train.loop`, in reading order: trainer, batches, state, optimisation, together."""

import models.tf  # noqa: F401  # before any file of this package imports keras: it keeps TensorFlow's import quiet
