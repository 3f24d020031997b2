"""The whole path on scikit-learn's bundled digits, each step in a process of its own: `python -m benchmark.demo`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from core.cli import Parser, run
from core.errors import UserError

DATA = ("--data", "digits")


def main(arguments: Sequence[str]) -> int:
    """Train both models from scratch, export them, benchmark them and their ensemble; say what each step took."""
    parser = Parser(prog="python -m benchmark.demo", description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="where models/ and results/ are made (default: here)")
    folder = parser.parse_args(arguments).folder
    started = time.perf_counter()
    for number, (what, command) in enumerate(steps(folder / "models", folder / "results"), start=1):
        print(f"[{number}/4] {what}\n      python -m {' '.join(command)}", flush=True)
        before = time.perf_counter()
        if subprocess.run([sys.executable, "-m", *command], check=False).returncode != 0:
            raise UserError(f"the demo stopped at step {number} ({what}); the line above says why")
        print(f"      {time.perf_counter() - before:.0f} s\n", flush=True)
    elapsed_s = time.perf_counter() - started
    print(f"done in {elapsed_s:.0f} s; the models are in {folder / 'models'}/, every table in the results folder named above")
    return 0


def steps(models_dir: Path, results_dir: Path) -> list[tuple[str, list[str]]]:
    """What the demo runs, in order: a description and the arguments after `python -m`."""
    where = ["--models-dir", str(models_dir), "--out", str(results_dir)]
    shared = [*DATA, "--epochs", "4", "--batch-size", "64", "--no-horizontal-flip"]
    torch = [*shared, "--weights", "none", "--image-size", "32", "--min-crop-area", "0.6"]
    return [
        ("train ResNet18 in PyTorch", ["train.torch_resnet", *torch, *where]),
        ("train ResNet18 in TensorFlow", ["train.tf_resnet", *shared, *where]),
        ("export both to ONNX", ["export.to_onnx", "--models-dir", str(models_dir), "--results-dir", str(results_dir)]),
        ("benchmark both and their ensemble", ["benchmark", "--ensemble", *DATA, "--time-budget", "30", *where]),
    ]


if __name__ == "__main__":
    run(main)
