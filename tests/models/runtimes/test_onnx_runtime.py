"""Which GPU a row is said to be of; what needs a real one is not here."""

from pathlib import Path

import pytest

from models.runtimes.onnx_runtime import cuda_provider
from models.runtimes.registry import CUDA


@pytest.mark.parametrize(
    ("visible", "asked"), [(None, "0"), ("", "0"), ("1", "1"), ("GPU-4f2a,GPU-9c", "GPU-4f2a"), (" 3 ,0", "3")]
)
def test_the_gpu_that_is_named_is_the_first_that_cuda_shows(
    visible: str | None, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "nvidia-smi"
    planted.write_text('#!/bin/sh\nfor last; do :; done\necho "GPU ${last#--id=}, 580.1"\n')
    planted.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    provider = cuda_provider()
    assert (provider.name, provider.device_name, provider.details) == (CUDA, f"GPU {asked}", "driver 580.1")


def test_without_nvidia_smi_the_gpu_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cuda_provider().details == "driver unknown"
