from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmark.latency_pairs import NO_DIFFERENCE, SLOWER
from benchmark.planted import slowed
from benchmark.selfcheck import compare_with_copies, main
from core.errors import UserError
from models.onnx_file import load_model, save_model
from tests.tiny_models import write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def test_planted_work_changes_no_output(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.onnx", image_height=32, image_width=32)
    model, card = load_model(path)
    save_model(slowed(model, 5), card, tmp_path / "b.onnx")
    outputs = []
    for name in ("a", "b"):
        session = onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        outputs.append(session.run(["logits", "probabilities"], {"images": IMAGES_U8}))
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_a_copy_is_no_slower_and_a_slowed_copy_is(tmp_path: Path, monkeypatch) -> None:
    """The short form of `python -m benchmark.selfcheck`: a slowdown by half, for machines that do other work meanwhile."""
    from benchmark import latency

    monkeypatch.setattr(latency, "SAMPLE_S", 0.1)
    path = write_tiny_model(tmp_path / "a.onnx", image_height=32, image_width=32, extra_work=12)
    pairs, n_products = compare_with_copies(path, n_same=2, n_slowed=1, by=0.5, n_rounds=8)
    assert n_products > 0
    assert [pair.verdict for pair in pairs[:2]].count(NO_DIFFERENCE) >= 1
    assert pairs[2].verdict == SLOWER


@pytest.mark.parametrize("flag", ["--rounds=7", "--threads=0", "--by=0", "--same=-1", "--slowed=-1"])
def test_numbers_that_no_verdict_can_come_of_are_refused_before_anything_is_timed(flag: str) -> None:
    with pytest.raises(UserError, match=r"--rounds must be 8 or more"):
        main(["a.onnx", flag])
