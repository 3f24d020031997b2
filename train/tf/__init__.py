"""What the Keras trainer is made of, in reading order: trainer, batches, state."""

import models.tf  # noqa: F401  # before any file of this package imports keras: it keeps TensorFlow's import quiet
