"""The options of a benchmark, with the defaults of its command line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from core.errors import UserError
from core.files import MODELS_DIR
from data.reading import RESIZES, Resize
from ensemble.rules.registry import RULES
from models.runtimes.registry import AUTO, devices, names

SplitName = Literal["test", "validation", "train"]
CHOICES: dict[str, Callable[[], Collection[str]]] = {
    "ensemble": lambda: RULES,
    "device": devices,
    "runtimes": names,
    "split": lambda: get_args(SplitName),
    "resize": lambda: RESIZES,
}
FOLDERS = ("data_dir", "models_dir", "out", "corrupt_from", "perturbed_from", "labels")
COUNTS = ("batch_sizes", "threads", "instances", "limit", "at_batch", "corrupt", "perturbed")
CORRUPTED = 1000  # images whose versions are predicted unless a number is given
PUBLISHED = {"cifar10-c": "corrupt_from", "cifar10-p": "perturbed_from"}  # name of the data → the option that its folder is for
COMMAND_ONLY = ("fail_if",)  # gates end a command; in Python one asks the table


@dataclass(frozen=True)
class Options:
    """What a benchmark was asked for; the defaults of the command line."""

    data: str = "cifar10"
    data_dir: Path | None = None
    models: tuple[Path, ...] = ()
    models_dir: Path = MODELS_DIR
    ensemble: tuple[str, ...] = ()
    device: str = AUTO
    openvino: bool = False
    batch_sizes: tuple[int, ...] = (1, 32, 256)
    threads: int | tuple[int, ...] | None = None
    instances: tuple[int, ...] = (1,)
    limit: int | None = None
    resize: Resize | None = None
    skip_damaged: bool = False
    exclude: tuple[str, ...] = ()
    labels: Path | None = None
    split: SplitName = "test"
    out: Path = Path("results")
    time_budget_s: float = 60.0
    seed: int = 0
    profile: bool = False
    loadgen: bool = False
    fail_if: tuple[str, ...] = ()
    max_latency_ms: float | None = None
    min_accuracy: float | None = None
    at_batch: int | None = None
    runtimes: tuple[str, ...] = ()
    predictions: tuple[tuple[str, Path], ...] = ()
    report: bool = True
    usd_per_hour: float | None = None
    max_error: float | None = None
    slices: bool = False
    ood: str | None = None
    corrupt: int | None = None
    corrupt_from: Path | None = None
    corrupt_heavy: bool = False
    perturbed: int | None = None
    perturbed_from: Path | None = None
    baseline: str | None = None

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """The numbers of threads that were given; empty if none were."""
        return () if self.threads is None else (self.threads,) if isinstance(self.threads, int) else self.threads


def from_values(values: Mapping[str, Any]) -> Options:
    """The options with `values`, as a Python caller gives them: text or paths, a list or one value alone, in any order.

    UserError for a name that is no option, a value that is not among the choices, or a number out of range.
    """
    known = {field.name: field for field in fields(Options) if field.name not in COMMAND_ONLY}
    known_values: dict[str, Any] = {}
    for name, value in with_published(values).items():
        if name not in known:
            raise UserError(f"evaluate has no option {name}; there are {', '.join(known)}")
        if name == "predictions":
            value = tuple((str(model), Path(file)) for model, file in dict(value).items())
        elif str(known[name].type).startswith("tuple") or (name == "threads" and isinstance(value, list | tuple)):
            value = (value,) if isinstance(value, str | Path | int) else tuple(dict.fromkeys(value))
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            _check(name, one)
        known_values[name] = Path(value) if name in FOLDERS and value is not None else value
    check_one_source(known_values.get("models"), known_values.get("models_dir"))
    if "models" in known_values:
        known_values["models"] = tuple(Path(model) for model in known_values["models"])
    known_values |= {name: tuple(sorted(known_values[name])) for name in ("batch_sizes", "instances") if name in known_values}
    if isinstance(known_values.get("threads"), tuple):
        known_values["threads"] = one_or_several(known_values["threads"])
    return Options(**known_values)


def one_or_several(counts: Sequence[int]) -> int | tuple[int, ...] | None:
    """The distinct counts, sorted; a single one is an int, as when several could not be given; None if there are none."""
    found = tuple(sorted(set(counts)))
    return found if len(found) > 1 else next(iter(found), None)


def with_published(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, a `data` of `PUBLISHED` replaced by CIFAR-10 and its folder moved to the option that reads it."""
    name = values.get("data")
    if name not in PUBLISHED:
        return dict(values)
    if values.get("data_dir") is None:
        raise UserError(f"--data {name} needs --data-dir, the folder of its .npy files; CIFAR-10 itself is found as usual")
    return {**values, "data": "cifar10", "data_dir": None, PUBLISHED[name]: values["data_dir"]}


def check_one_source(models: Collection[object] | None, models_dir: Path | None) -> None:
    """UserError if both files and a folder of them are named: the folder would not be read."""
    if models and models_dir is not None:
        raise UserError(f"--models names the files, so --models-dir {models_dir} would not be read; leave one of them out")


def _check(name: str, value: Any) -> None:
    """UserError unless the command line would also take this value of the option."""
    if isinstance(value, str) and not value.strip():
        raise UserError(f"{name} is empty; give it a value, or leave it out")
    if name in CHOICES and value not in CHOICES[name]():
        raise UserError(f"{name} has {value!r}; choose from {', '.join(CHOICES[name]())}")
    if name in COUNTS and not (isinstance(value, int) and value >= 1):
        raise UserError(f"{name} has {value!r}; give whole numbers of 1 or more")
    if name == "time_budget_s" and not 0 <= value < 1e6:
        raise UserError(f"time_budget_s is {value!r}; give seconds, 0 to leave latency out")
    if name == "max_latency_ms" and not 0 < value < 1e6:
        raise UserError(f"max_latency_ms is {value!r}; give milliseconds above 0")
    if name == "usd_per_hour" and not 0 < value < 1e6:
        raise UserError(f"usd_per_hour is {value!r}; give the machine's price in dollars, above 0")
    if name == "max_error" and not 0 <= value <= 1:
        raise UserError(f"max_error is {value!r}; give a fraction from 0 to 1, 0.01 for 1 %")
    if name == "min_accuracy" and not 0 <= value <= 1:
        raise UserError(f"min_accuracy is {value!r}; give a fraction from 0 to 1, 0.95 for 95 %")
