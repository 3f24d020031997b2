"""What Keras does its own way in `train.loop`, in reading order: trainer, batches, state, optimisation."""

import models.tf  # noqa: F401  # before any file of this package imports keras: it keeps TensorFlow's import quiet
