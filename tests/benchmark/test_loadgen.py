import importlib.util

import numpy as np
import pytest

from benchmark import loadgen
from core.errors import UserError
from tests.tiny_models import write_tiny_model


@pytest.mark.optional
@pytest.mark.skipif(importlib.util.find_spec("mlperf_loadgen") is None, reason="needs mlcommons-loadgen (dependency group loadgen)")
def test_both_drivers_agree_on_a_model_that_takes_its_time(tmp_path, monkeypatch) -> None:
    """Within a fifth here, whatever else the machine does; the figure that counts is printed by --loadgen on a quiet one."""
    monkeypatch.setattr(loadgen, "N_PROCESSES", 1)
    path = write_tiny_model(tmp_path / "a.onnx", image_height=64, image_width=64, extra_work=12)
    images_u8 = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), dtype=np.uint8)
    single, offline = loadgen.cross_check([("a", path)], images_u8, offline_batch_size=8, threads=1)
    assert (single.scenario, single.batch_size) == ("SingleStream", 1)
    assert (offline.scenario, offline.batch_size) == ("Offline", 8)
    assert single.ratio == pytest.approx(1, abs=0.2)
    assert offline.ratio == pytest.approx(1, abs=0.2)
    # One image at a time and eight at a time are the same work per image, within what batching gains or loses
    assert 0.3 < offline.ours / (1000 / single.ours) < 3


def test_without_loadgen_one_line_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match="mlcommons-loadgen"):
        loadgen.require_loadgen()
