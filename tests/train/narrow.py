"""A Keras ResNet18 of one narrow block in each stage: 0.5 of 11 million parameters, traced and saved in a fraction of the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def narrow_resnet18() -> Iterator[None]:
    """While it lasts, `models.tf.network` builds the narrow one; files made of it load afterwards too."""
    from models.tf import network as tf_resnet

    stages = ((64, 1), (64, 2), (128, 2), (128, 2))  # blocks with and without a projection
    with mock.patch.object(tf_resnet, "STAGES", stages), mock.patch.dict(tf_resnet.BLOCKS, resnet18=(1, 1, 1, 1)):
        yield
