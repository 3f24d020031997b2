"""The weights that come with the repository are the files that models/README.md describes, and as good as it says."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data import open_dataset
from models.card import read_card

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "models"
NAMES = (
    "resnet18_cifar10.pth", "resnet18_cifar10.keras", "more/efficientnet_lite0_cifar10.pth", "more/vgg8_cifar10.pth",
    "more/vgg8_cifar10.keras",
)  # fmt: skip
MOST_MB = dict(zip(NAMES, (25.0, 50.0, 10.0, 5.0, 10.0), strict=True))
# Float32 sums differ in their last digits between kinds of processor: only images whose two best logits are this close may turn.
NEAR_TIE = 1e-3
# Right of the few that `--limit 300` draws, as counted among the predictions of all 10,000; by ONNX file.
N_DRAWN = 300
RIGHT_OF_DRAWN = {
    "resnet18_cifar10_torch": 269, "resnet18_cifar10_tf": 258, "efficientnet_lite0_cifar10_torch": 281, "vgg8_cifar10_torch": 266,
    "vgg8_cifar10_tf": 266,
}  # fmt: skip


def described(row: str) -> dict[str, str]:
    """The cells of a row of the table in models/README.md, by file."""
    text = (MODELS / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(row)} \|(.+)\|$", text, re.MULTILINE)
    assert found, f"models/README.md has no row '{row}'"
    return dict(zip(NAMES, (cell.strip() for cell in found.group(1).split("|")), strict=True))


def in_the_checkout(name: str) -> Path:
    """The file as git has it; a training of one's own has overwritten it where the hash differs."""
    path = MODELS / name
    if not path.is_file():
        pytest.skip(f"{name} is not in this checkout")
    if hashlib.sha256(path.read_bytes()).hexdigest() != described("SHA-256")[name].strip("`"):
        status = subprocess.run(["git", "status", "--porcelain", "--", str(path)], cwd=REPOSITORY, capture_output=True, text=True)
        if status.stdout.strip():
            pytest.skip(f"{name} was trained anew; git checkout models/{name} brings the shipped one back")
        pytest.fail(f"{name} is not the file whose SHA-256 models/README.md names")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_those_described(name: str) -> None:
    path = in_the_checkout(name)
    assert path.stat().st_size / 1e6 <= MOST_MB[name]
    card = read_card(path)
    assert (card.dataset, len(card.class_names)) == ("cifar10", 10)
    for split, sha256 in card.dataset_sha256.items():
        assert sha256[:16] in described(f"{split} fingerprint")[name]
    assert f"{card.seed}" in described("seed")[name]


@pytest.mark.frameworks
def test_export_and_benchmark_reproduce_the_accuracies(cifar10_dir: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """On a few images; with `--all-images` on all 10,000, as models/README.md states them, which takes minutes."""
    every = pytestconfig.getoption("--all-images")
    paths = [in_the_checkout(name) for name in NAMES]
    fingerprint = open_dataset("cifar10", cifar10_dir).fingerprints()["test"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CIFAR10_DIR": str(cifar10_dir)}

    def run(module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    run("export.to_onnx", *paths, "--out", tmp_path, "--results-dir", tmp_path / "results")
    run(
        "benchmark",
        "--models-dir",
        tmp_path,
        "--device",
        "cpu",
        "--time-budget",
        0,
        "--no-report",
        "--out",
        tmp_path / "results",
        *([] if every else ["--limit", N_DRAWN]),
    )
    (folder,) = (tmp_path / "results").glob("*-benchmark/predictions")
    for name, exported in zip(NAMES, RIGHT_OF_DRAWN, strict=True):
        with np.load(folder / f"{exported}.npz") as held:
            logits, labels = held["logits"], held["labels"]
        if fingerprint[:16] not in described("test fingerprint")[name]:
            pytest.skip("$CIFAR10_DIR holds other pixels than those that the figures of models/README.md are of")
        two_best = np.sort(logits, axis=1)[:, -2:]
        n_near_ties = int((two_best[:, 1] - two_best[:, 0] < NEAR_TIE).sum())
        n_right = int((logits.argmax(axis=1) == labels).sum())
        stated = int(described("right of 10,000 test images")[name].replace(",", "")) if every else RIGHT_OF_DRAWN[exported]
        assert len(labels) == (10_000 if every else N_DRAWN)
        assert abs(n_right - stated) <= n_near_ties
        assert n_near_ties < 20
