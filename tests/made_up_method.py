"""A quantisation method that is not ours, as a stranger would write its file: weights rounded to 64 steps, kept in float32."""

import numpy as np
from onnx import numpy_helper

STEPS = 64


def cores(task):
    core = task.core()
    advance = task.advance("looking at images")
    for batch in task.calibration_batches():
        assert all(values.dtype == np.float32 for values in batch.values())
        advance()
    for tensor in core.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim > 1:
            step = 2 * abs(values).max() / STEPS
            tensor.CopyFrom(numpy_helper.from_array((step * np.round(values / step)).astype(np.float32), tensor.name))
    return {"": core}


def recipe(task, kept):
    return {"steps": STEPS}


def notes(options):
    return ["made up"]
