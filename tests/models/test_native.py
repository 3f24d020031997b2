"""A weights file and its ONNX file find each other by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from models.native import BACKENDS, Allowance, onnx_path, weights_beside


@pytest.mark.parametrize("suffix", BACKENDS)
def test_the_way_there_leads_back(suffix: str, tmp_path: Path) -> None:
    for name in ("a", "a_torch", "a_tf", "a.b"):
        weights = tmp_path / (name + suffix)
        assert weights_beside(onnx_path(weights, tmp_path)) is None
        weights.touch()
        assert weights_beside(onnx_path(weights, tmp_path)) == weights


def test_names_in_the_documentation(tmp_path: Path) -> None:
    assert onnx_path(Path("models/resnet18_digits.pth"), tmp_path) == tmp_path / "resnet18_digits_torch.onnx"
    assert onnx_path(Path("models/resnet18_digits.keras"), tmp_path) == tmp_path / "resnet18_digits_tf.onnx"


def test_names_that_no_export_gives_have_no_weights(tmp_path: Path) -> None:
    (tmp_path / "a.pth").touch()
    for name in ("a.onnx", "a_int8.onnx", "a_torch_int8.onnx", "a_tf.onnx"):
        assert weights_beside(tmp_path / name) is None


def test_weights_may_take_what_the_file_can_hold_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(bytes(1000))
    allowance = Allowance(path)
    most = Allowance.FREE_BYTES + 1000 * Allowance.MOST_PER_BYTE
    for part in (most - 10, 10, 0):
        allowance.take(part)
    assert allowance.refusal is None
    with pytest.raises(UserError, match=r"a\.pth has 0\.001 MB, .* weights of 268 MB or more; copy it again"):
        allowance.take(1)
    assert allowance.refusal is not None
