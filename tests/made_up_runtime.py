"""A runtime that is not ours, as a stranger would write its file: ONNX Runtime's outputs with the logits rounded to quarters."""

import numpy as np

from core.records import softmax
from models.runtimes.base import Classifier, Provider
from models.runtimes.opening import open_file as open_on_cpu
from models.runtimes.outputs import Outputs


class Rounded(Classifier):
    """Any contract file, in quarters."""

    def __init__(self, inner, runtime):
        super().__init__(inner.where, runtime, lambda: inner.card)
        self.inner = inner

    def run(self, images_u8):
        logits = np.round(4 * self.inner.run(images_u8).logits) / 4
        return Outputs(logits, softmax(logits).astype(np.float32))


def open_file(path, runtime, threads):
    return Rounded(open_on_cpu(path, threads=threads), runtime)


def provider(runtime):
    return Provider(runtime.provider, "a made-up device", "made-up 1.0")
