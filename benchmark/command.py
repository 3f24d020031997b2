"""The command line of `python -m benchmark`; nothing heavy is imported before the arguments are known to be valid."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmark.gates import GRAMMAR
from benchmark.options import CORRUPTED, PUBLISHED, Options, check_one_source, one_or_several, with_published
from core.cli import HelpWithDefaults, Parser, add_run_flag, dollars, fraction, milliseconds, positive, seconds, seed
from core.console import readable
from core.files import FILE_NAME, is_file_name
from data.reading import RESIZES
from data.sets import WHAT_DATA_TAKES
from ensemble.rules.registry import DEFAULT, RULES, tuned_rules, untuned_rules, view_rules
from models.runtimes.registry import devices, names

# The module of each subcommand; without one, the benchmark runs.
OTHERS = {
    "compare": "benchmark.report.compare",
    "report": "benchmark.report.html.command",
    "explain": "benchmark.explain.command",
    "selfcheck": "benchmark.latency.selfcheck",
    "fusion-ratio": "benchmark.latency.fusion_ratio",
    "variant-ratio": "benchmark.latency.variant_ratio",
    "load": "benchmark.load.command",
    "predict": "benchmark.shards.command",
    "merge": "benchmark.shards.merge",
}


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, or the subcommand that the first word names (`OTHERS`); the status is 3 if a gate fails."""
    if arguments and arguments[0] in OTHERS:
        other: Callable[[Sequence[str]], int] = importlib.import_module(OTHERS[arguments[0]]).main
        return other(arguments[1:])
    options = parse(arguments)

    from benchmark.run import run_benchmark

    return run_benchmark(options)


def parse(arguments: Sequence[str]) -> Options:
    """The options in `arguments`; UserError if they are not valid."""
    default = vars(Options())
    typed = with_published(vars(parser().parse_args(arguments)))
    check_one_source(typed["models"], typed["models_dir"])
    typed["batch_sizes"], typed["instances"] = sorted(typed["batch_sizes"]), sorted(typed["instances"])
    if typed.get("ensemble") == []:
        typed["ensemble"] = [DEFAULT]
    values = {name: _once(name, value) if isinstance(value, list) else value for name, value in typed.items()}
    values["threads"] = one_or_several(typed["threads"])
    return Options(**{**default, **{name: value for name, value in values.items() if value is not None}})


def _once(name: str, values: list[Any]) -> tuple[Any, ...]:
    """Each value once, but models as often as named: `find_candidates` drops repeats with a note."""
    return tuple(values) if name == "models" else tuple(dict.fromkeys(values))


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not equals or not name.strip() or not file.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FILE, such as theirs=predictions.csv")
    if not is_file_name(name.strip()):
        raise argparse.ArgumentTypeError(f"{readable(name)[:40]!r} names a model, so it must be {FILE_NAME}")
    return name.strip(), Path(file)


def parser() -> argparse.ArgumentParser:
    """Every flag with its default in its help."""
    default = Options()
    command = Parser(
        prog="python -m benchmark",
        description="Accuracy, per-class confusion and latency of ONNX classifiers and their ensembles, into CSV tables and plots.",
        formatter_class=HelpWithDefaults,
        epilog="`python -m benchmark compare OLD NEW` compares two run folders; `python -m benchmark report RUN` writes "
        "report.html again; `python -m benchmark predict` and `merge` do it in parts, on many machines. "
        "Every command also takes --traceback, which shows the cause of an error.",
    )
    add = command.add_argument
    add(
        "--ensemble",
        nargs="*",
        choices=tuple(RULES),
        default=argparse.SUPPRESS,
        help=f"add ensembles, by {DEFAULT} if no rule is named. {', '.join(untuned_rules())}: every subset of two or more models; "
        f"{', '.join(view_rules())}: each model on several views of the image; "
        f"{', '.join(tuned_rules())}: all models at once, tuned on validation images (python -m ensemble --help says what each is)",
    )
    add(
        "--data",
        default=default.data,
        metavar="NAME",
        help=f"{WHAT_DATA_TAKES}; {' and '.join(PUBLISHED)} with --data-dir: as --corrupt-from and --perturbed-from",
    )
    add("--data-dir", type=Path, metavar="DIR", help="where a named data set lies; $CIFAR10_DIR or data/ if not given")
    add(
        "--models",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="ONNX files; all of --models-dir if not given",
    )
    add(
        "--predictions",
        type=_named_file,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=FILE",
        help="predictions that something else made, as models without latency: .npz, .csv or .parquet with file or index, label, "
        "and logits or probabilities by class; without --models, these alone",
    )
    add("--models-dir", type=Path, metavar="DIR", help=f"folder of ONNX files; {default.models_dir} if not given")
    add("--split", choices=["test", "validation", "train"], default=default.split, help="the images to predict")
    add("--limit", type=positive, metavar="N", help="only N images of the split, drawn by --seed, for a quick try")
    add(
        "--exclude",
        nargs="+",
        default=[],
        metavar="WHAT",
        help="leave images out: duplicates (also training images, or near to one), disputed (CIFAR-10's labels that people doubt), "
        "or the path of a list, a CSV with the column file, or index in CIFAR-10's official order",
    )
    add(
        "--labels",
        type=Path,
        metavar="FILE",
        help="judge by other labels: CIFAR-10H's votes (.npy), CIFAR-10N's (.pt, or .pt:worse_label and so on for others than "
        "the majority's; with --split validation or train), or a CSV with the columns file (the path below the folder of --data, "
        "such as test/red/0.png, or for a named data set split and index, such as test/0) and label (the class by name)",
    )
    add("--skip-damaged", action="store_true", help="leave out files of --data that cannot be decoded, and say how many")
    add("--resize", choices=RESIZES, help="how images of a folder are brought to one size; as in training if not given")
    add("--device", choices=devices(), default=default.device, help="auto: the CPU, and the GPU if models really run on it")
    add("--openvino", action="store_true", help="measure on OpenVINO too, in float32, and in bf16 if the CPU has it")
    add(
        "--runtime",
        dest="runtimes",
        nargs="+",
        action="extend",
        choices=names(),
        default=[],
        metavar="NAME",
        help="measure on these too: %(choices)s",
    )
    add("--batch-sizes", type=positive, nargs="+", default=default.batch_sizes, metavar="N", help="batch sizes to time")
    add(
        "--threads",
        type=positive,
        nargs="+",
        default=[],
        metavar="N",
        help="intra-op threads; the cores this process may use if not given. Several are each timed with each of --instances in "
        "half of the latency budget; all else uses the largest",
    )
    add(
        "--instances",
        type=positive,
        nargs="+",
        default=default.instances,
        metavar="N",
        help="processes that run a model at the same time: finds which number, with how many threads each, has the highest "
        "throughput and which the lowest latency",
    )
    add(
        "--time-budget",
        dest="time_budget_s",
        type=seconds,
        default=default.time_budget_s,
        metavar="SECONDS",
        help="for latency; 0 leaves it out; batch sizes for which the time is too short are left out, the largest first",
    )
    add_run_flag(command)
    add("--seed", type=seed, default=default.seed, help="draws the order of the latency runs, and the images of --limit")
    add("--profile", action="store_true", help="print how much of the prediction time was spent outside the models")
    add("--loadgen", action="store_true", help="put MLPerf LoadGen's p90 and throughput beside ours, on the same sessions")
    add(
        "--fail-if",
        nargs="+",
        action="extend",
        default=[],
        metavar="CONDITION",
        help=f"end with status 3 if one holds in any row: {GRAMMAR}",
    )
    add("--max-latency-ms", type=milliseconds, metavar="X", help="say what to deploy if p50 may be X ms at most")
    add("--min-accuracy", type=fraction, metavar="Y", help="say what to deploy if accuracy must be Y at least, 0.95 for 95 %%")
    add("--at-batch", type=positive, metavar="N", help="batch size at which latency counts; the smallest timed if not given")
    add("--max-error", type=fraction, metavar="X", help="answer only if sure enough that at most X of the answers are wrong")
    add("--slices", action="store_true", help="also accuracy by brightness, contrast, sharpness and original size")
    add(
        "--corrupt",
        type=positive,
        nargs="?",
        const=CORRUPTED,
        metavar="N",
        help=f"also accuracy on N images of the split ({CORRUPTED} if no number is given) in 50 corrupted versions",
    )
    add("--corrupt-heavy", action="store_true", help="also in 40 more versions: blurs, weather and warping (extra [corruptions])")
    add("--corrupt-from", type=Path, metavar="DIR", help="take the versions from the published files of CIFAR-10-C in DIR")
    add(
        "--perturbed-from",
        type=Path,
        metavar="DIR",
        help="also how often each answer flips in the published sequences of CIFAR-10-P",
    )
    add("--perturbed", type=positive, metavar="N", help=f"sequences of N images of the split; {CORRUPTED} if not given")
    add(
        "--baseline",
        metavar="MODEL",
        help="model to which errors on corrupted images, and flips, are relative; the first if not given",
    )
    add("--ood", metavar="NAME", help="also how well each model tells its own images from those of another data set or folder")
    add("--usd-per-hour", type=dollars, metavar="X", help="price of this machine, for the price of a million images in costs.csv")
    add("--no-report", dest="report", action="store_false", default=argparse.SUPPRESS, help="leave out report.html")
    return command
