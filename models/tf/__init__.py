"""Keras networks; nothing else of `models` imports tensorflow. Importing this package imports TensorFlow, once and quietly."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core.environment import import_switches


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Send the process's stderr nowhere, below Python, where TensorFlow's C++ writes."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's keras.json says: torch must not come into this process
# Read when tensorflow is first imported; even so the import says six lines about oneDNN and missing GPUs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.update(import_switches())
with _stderr_closed():
    import keras  # noqa: F401
    import tensorflow  # noqa: F401
