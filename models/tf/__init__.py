"""Keras networks; nothing else of `models` imports tensorflow. Importing this package imports TensorFlow, once and quietly."""

from __future__ import annotations

import os

from core.console import without_stderr
from core.environment import import_switches, require_address_space

require_address_space(3, "TensorFlow")
os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's keras.json says: torch must not come into this process
# Read when tensorflow is first imported; even so the import prints six lines about oneDNN and missing GPUs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.update(import_switches("tensorflow"))
with without_stderr():
    import keras  # noqa: F401
    import tensorflow  # noqa: F401
