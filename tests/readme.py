"""The commands of README and the guide, and what is to be expected of each on a clone without data or network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Expected:
    """What a command does there.

    statuses: it may end with; 1: with one line that holds `says`. append: flags put to it, for `why`.
    then: flags with which, once it has failed, it must work: the way out that its message names.
    """

    statuses: tuple[int, ...] = (0,)
    says: str = ""
    append: str = ""
    then: str = ""
    why: str = ""


@dataclass(frozen=True)
class Skipped:
    """A command that is not run there, and why."""

    why: str


AS_IT_STANDS = Expected()
CASCADE = "python -m ensemble models/a.onnx models/b.onnx --cascade --max-accuracy-loss 0.002 --out models/cascade.onnx"
INSTALL = "python -m venv env && env/bin/pip install uv && env/bin/uv pip install --python env/bin/python -c constraints.txt ."
ADOPTED = "`tests/export/adopt/test_command.py` runs it on a network from elsewhere"
NO_CIFAR10 = "needs CIFAR-10, a download of 170 MB"
ONLY_ACCURACY = Expected(append="--time-budget 0", why="the latencies take a minute and more; the demo measures some")

# Block by block, in the order of README and then of the guide. `tests/test_readme.py` holds them to each other.
BLOCKS: tuple[dict[str, Expected | Skipped], ...] = (
    {INSTALL: Skipped("installs packages from the network; `tests/core/test_installed.py` installs the wheel")},
    {
        "env/bin/netassay adopt mine.onnx --data path/to/folder --class-names classes.txt": Skipped(ADOPTED),
        "env/bin/netassay benchmark --models models/mine_adopted.onnx models/b.onnx --data path/to/folder --ensemble": Skipped(
            "`tests/core/test_installed.py` runs the installed command"
        ),
    },
    {
        "make demo": AS_IT_STANDS,
        "make install": AS_IT_STANDS,
        "source .venv/bin/activate": Skipped("stands before every command that is run"),
        "python -m train.torch_resnet --data path/to/folder --image-size 64": Expected(
            (1,), says="--weights none", then="--weights none", why="ImageNet weights are a download"
        ),
        "python -m train.tf_resnet --data path/to/folder --image-size 64": AS_IT_STANDS,
        "python -m export.to_onnx --data path/to/folder": AS_IT_STANDS,
        "python -m benchmark --ensemble --data path/to/folder": ONLY_ACCURACY,
    },
    {"python -m data show path/to/folder": AS_IT_STANDS},
    {
        "env/bin/netassay adopt mine.onnx --data path/to/folder --class-names classes.txt": Skipped(ADOPTED),
        "env/bin/netassay benchmark --models models/mine_adopted.onnx --data path/to/folder": Skipped(ADOPTED),
        "env/bin/netassay quantize models/mine_adopted.onnx --to int8 --data path/to/folder": Skipped(ADOPTED),
    },
    {
        "python -m export.to_onnx": AS_IT_STANDS,
        "python -m data show cifar10": Expected((1,), says="no CIFAR-10", why=NO_CIFAR10),
        "python -m benchmark --ensemble": Expected((1,), says="python -m data show cifar10", why=NO_CIFAR10),
    },
    {
        "python -m train.torch_resnet": Skipped(f"{NO_CIFAR10} and one of weights, and then hours"),
        "python -m train.tf_resnet": Skipped(f"{NO_CIFAR10}, and then an hour"),
        "python -m train.bench": Skipped("two minutes of timed steps, and nothing but timings"),
    },
    {
        "python -m benchmark --ensemble mean weighted greedy": ONLY_ACCURACY,
        "python -m ensemble models/a.onnx models/b.onnx --rule weighted --out models/ab.onnx": AS_IT_STANDS,
        "python -m ensemble models/a.onnx --rule tta --out models/a_tta.onnx": AS_IT_STANDS,
        CASCADE: AS_IT_STANDS,
        "python -m export.quantize models/ab.onnx --to int8": AS_IT_STANDS,
        "python -m export.quantize models/ab.onnx --to int8 --max-accuracy-loss 0.005": Skipped(
            "needs more validation images than small data have; `tests/export/quantize/test_mixed.py` runs it"
        ),
        "python -m benchmark --models models/ab.onnx models/ab_int8.onnx --max-latency-ms 5": Expected(
            append="--time-budget 5 --batch-sizes 1", why="the default budget is a minute"
        ),
        "python -m benchmark --openvino": Skipped("needs an optional package"),
        "python -m benchmark --runtime litert": Skipped("needs an optional package"),
        "python -m benchmark --runtime torch torch-compile keras": Skipped("tests/models/runtimes run them; each takes long"),
        "python -m benchmark fusion-ratio models/a.onnx models/b.onnx": Skipped("minutes of timed calls, and nothing but timings"),
        "python -m serve models/ab.onnx models/a.onnx": Skipped("serves until it is stopped; `tests/serve` runs it"),
    },
    {
        "python -m benchmark --ensemble --batch-sizes 1 8 --threads 1 --time-budget 300": ONLY_ACCURACY,
        "python -m benchmark --instances 1 2 --threads 1 2": Expected(
            append="--time-budget 8 --batch-sizes 1", why="the default budget is a minute"
        ),
        "python -m benchmark --device cuda": Expected((1,), says="cuda", why="the pinned onnxruntime has no CUDA"),
        "python -m benchmark --split validation": ONLY_ACCURACY,
        'python -m benchmark --fail-if "top1_accuracy < 0.9" "latency_p50_ms > 5 where batch_size = 1"': Expected(
            (0, 3), append="--time-budget 5 --batch-sizes 1", why="the default budget is a minute"
        ),
        "python -m benchmark --corrupt 100": ONLY_ACCURACY,
        "python -m benchmark --corrupt 100 --corrupt-heavy": Skipped("needs an optional package"),
        "python -m benchmark --perturbed-from path/to/CIFAR-10-P": Skipped(
            f"{NO_CIFAR10}, and the published files; `tests/benchmark/robustness` runs it"
        ),
        "python -m benchmark --exclude duplicates disputed": Skipped(
            f"{NO_CIFAR10}, and one of a list; `tests/data/exclusions` and `tests/benchmark/slices` run it"
        ),
        "python -m benchmark --labels mine.csv": Skipped("needs a table of labels; `tests/benchmark/test_images.py` reads one"),
        "python -m benchmark --ood path/to/others": Skipped("needs images of something else; `tests/benchmark/ood` runs it"),
        "python -m benchmark compare results/OLD results/NEW --fail-on-regression": Expected((0, 3)),
        "python -m benchmark report results/OLD results/NEW --out both.html": Expected(),
        "python -m benchmark explain models/a.onnx": AS_IT_STANDS,
        "python -m benchmark --loadgen": Skipped("needs an optional package"),
        "python -m benchmark load models/ab.onnx --latency-bound-ms 20": Skipped(
            "needs optional packages, and minutes of timed calls"
        ),
        "python -m benchmark selfcheck models/resnet18_cifar10_tf.onnx": Skipped("minutes of timed calls, and nothing but timings"),
    },
)


def command_blocks() -> list[list[str]]:
    """The commands of each fenced block of README and then of the guide, without the comments that stand behind them."""
    text = "".join((REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "docs/guide.md"))
    text = re.sub(r"^```(?:python|csv)\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```(?:sh|bash)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    commands = [[line.partition("  #")[0].strip() for line in block.splitlines()] for block in blocks]
    return [[command for command in block if command] for block in commands]
