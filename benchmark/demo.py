"""The whole path on scikit-learn's bundled digits, each step in a process of its own: `python -m benchmark.demo`."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from core.cli import Parser, run
from core.console import in_one_line
from core.errors import UserError
from core.files import RESULTS_DIR
from core.launch import own_environment, own_module
from models.native import onnx_path

DATA = ("--data", "digits")
WEIGHTS = ("resnet18_digits.pth", "resnet18_digits.keras")


def main(arguments: Sequence[str]) -> int:
    """Train both models from scratch, export them, benchmark them and their ensemble; say what each step took."""
    parser = Parser(prog="python -m benchmark.demo", description=main.__doc__)
    parser.add_argument(
        "--folder", type=Path, help="where models/ and results/ are made (default: results/<UTC time>-demo, a new one each time)"
    )
    folder = parser.parse_args(arguments).folder or new_folder(RESULTS_DIR)
    started = time.perf_counter()
    print(in_one_line(f"everything goes into {folder}/; nothing is downloaded"), flush=True)
    for number, (what, command) in enumerate(steps(folder / "models", folder / "results"), start=1):
        print(f"[{number}/4] {what}\n      python -m {in_one_line(' '.join(command))}", flush=True)
        before = time.perf_counter()
        if subprocess.run(own_module(*command), env=own_environment(), check=False).returncode != 0:
            raise UserError(f"the demo stopped at step {number} ({what}); the line above says why")
        print(f"      {time.perf_counter() - before:.0f} s\n", flush=True)
    elapsed_s = time.perf_counter() - started
    print(f"done in {elapsed_s:.0f} s; every table is in the results folder named above, and the two models are")
    for path in onnx_files(folder / "models"):
        print(in_one_line(f"  {path}"))
    return 0


def new_folder(results_dir: Path) -> Path:
    """A folder in `results_dir` that was not there before, made."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in itertools.count(1):
        folder = results_dir / (f"{started}-demo" if number == 1 else f"{started}-demo-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not results_dir.is_dir():
                raise UserError(f"cannot write to {results_dir}: it is not a folder; pass another one with --folder") from None
        except OSError as error:
            raise UserError(f"cannot write to {results_dir}: {error.strerror}; pass another folder with --folder") from error
        else:
            break
    return folder


def onnx_files(models_dir: Path) -> list[Path]:
    """The two files that the demo makes."""
    return [onnx_path(Path(name), models_dir) for name in WEIGHTS]


def steps(models_dir: Path, results_dir: Path) -> list[tuple[str, list[str]]]:
    """What the demo runs, in order: a description and the arguments after `python -m`.

    Each file is named, so that whatever else lies in `models_dir` changes nothing.
    """
    weights, models = [str(models_dir / name) for name in WEIGHTS], [str(path) for path in onnx_files(models_dir)]
    where = ["--models-dir", str(models_dir), "--out", str(results_dir)]
    shared = [*DATA, "--epochs", "4", "--batch-size", "64", "--no-horizontal-flip"]
    torch = [*shared, "--weights", "none", "--image-size", "32", "--min-crop-area", "0.6"]
    budget = ["--time-budget", "30", "--out", str(results_dir)]
    return [
        ("train ResNet18 in PyTorch", ["train.torch_resnet", *torch, *where]),
        ("train ResNet18 in TensorFlow", ["train.tf_resnet", *shared, *where]),
        ("export both to ONNX", ["export.to_onnx", *weights, "--out", str(models_dir), "--results-dir", str(results_dir)]),
        ("benchmark both and their ensemble", ["benchmark", "--ensemble", *DATA, "--models", *models, *budget]),
    ]


if __name__ == "__main__":
    run(main)
