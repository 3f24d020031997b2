"""The search space: the one table of ranges, and the space of one recipe; imports no optimiser."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError
from train.recipes import WEIGHTS_ENDINGS, AnyRecipe, Recipe, TfRecipe, TorchRecipe


@dataclass(frozen=True)
class Interval:
    """Every number from low to high; log: sampled uniformly in the logarithm."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (", logarithmic" if self.log else "")


Values = tuple[Any, ...]
Range = Interval | Values  # of a field: an interval, or the values it may have
Space = dict[str, Range]

_SHARED: Space = {
    "image_size": (32, 48, 64, 96, 128, 160, 192, 224),  # sizes above the recipe's own are left out: they cost more
    "batch_size": (32, 64, 128, 256, 512),
    "lr": Interval(1e-4, 0.5, log=True),
    "optimizer": ("adam", "sgd"),
    "weight_decay": (0.0, 1e-5, 1e-4, 5e-4, 1e-3, 5e-3),
    "label_smoothing": (0.0, 0.05, 0.1),
    "horizontal_flip": (True, False),
    "shift": Interval(0.0, 0.25),
    "cutout": Interval(0.0, 0.5),
    "mixup": (0.0, 0.2, 1.0),
    "randaugment": (False, True),
    "random_erasing": Interval(0.0, 0.5),
}
RANGES: dict[type[Recipe], Space] = {
    TorchRecipe: {
        "arch": ("resnet18", "resnet34", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0"),
        **_SHARED,
        "schedule": ("step", "onecycle"),
        "min_crop_area": Interval(0.08, 1.0),
        "trivialaugment": (False, True),
    },
    TfRecipe: {
        "arch": ("resnet18", "resnet34", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0"),
        **_SHARED,
        "schedule": ("constant", "onecycle"),
    },
}


def start_of(base: AnyRecipe, space: Space) -> AnyRecipe:
    """The recipe of the first trial: `base`, with its learning rate as a number if that is searched."""
    if "lr" not in space:
        return base
    lr = base.lr or base.DEFAULT_LR
    return dataclasses.replace(base, lr=lr, find_lr=False) if isinstance(base, TorchRecipe) else dataclasses.replace(base, lr=lr)


def space_of(base: AnyRecipe, held: Collection[str] = (), ranges: Mapping[str, Range] | None = None) -> Space:
    """The table's ranges, overridden by `ranges`, without the fields in `held`.

    Each range is extended to include the field's value in `base`. UserError for a field that cannot be searched, or if none is
    left.
    """
    table, ranges = RANGES[type(base)], dict(ranges or {})
    for name in ranges:
        if name not in table:
            raise UserError(f"{name} is not searched; its range can be given for {', '.join(table)}")
        if name in held:
            raise UserError(f"{name} has a range and a value; leave one of them out")
    held = {*held, *(["arch"] if Path(base.weights).suffix in WEIGHTS_ENDINGS else [])}  # such weights fit one network
    searched = {name: usual for name, usual in table.items() if name not in held}
    space = {name: _with(base, name, ranges.get(name, usual), name in ranges) for name, usual in searched.items()}
    space = {name: values for name, values in space.items() if isinstance(values, Interval) or len(values) > 1}
    if not space:
        raise UserError("every field has a value, so that nothing is left to search; leave out the flag of one")
    return space


def _with(base: AnyRecipe, name: str, values: Range, asked_for: bool) -> Range:
    own = getattr(base, name)
    own = base.DEFAULT_LR if own is None else own
    if isinstance(values, Interval):
        return dataclasses.replace(values, low=min(values.low, own), high=max(values.high, own))
    if name == "image_size" and not asked_for:
        values = tuple(size for size in values if size <= own)
    if name == "arch" and not asked_for and base.weights == "imagenet":
        values = tuple(arch for arch in values if isinstance(base, TorchRecipe) or not arch.startswith("resnet"))
    return values if own in values else (*values, own)


def recipe_of(start: AnyRecipe, values: Mapping[str, Any]) -> AnyRecipe:
    """`start` with the values of a trial; start_size is lowered to at most image_size."""
    changes = dict(values)
    first = getattr(start, "start_size", None)
    if first is not None:
        changes["start_size"] = min(first, changes.get("image_size", start.image_size))
    return dataclasses.replace(start, **changes)


def parse_range(text: str, kind: type[Recipe]) -> tuple[str, Range]:
    """`FIELD=LOW:HIGH` or `FIELD=A,B,C` as the field and its range; UserError for anything else."""
    name, _, given = text.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    usual = RANGES[kind].get(name)
    if usual is None or not given:
        raise UserError(f"--range takes FIELD=LOW:HIGH or FIELD=A,B,C with a field that is searched, not {text}; see --help")
    try:
        if isinstance(usual, Interval):
            low, high = (float(part) for part in given.split(":"))
            if not low < high or (usual.log and low <= 0):
                raise ValueError
            return name, dataclasses.replace(usual, low=low, high=high)
        return name, tuple(_parsed(part.strip(), type(usual[0])) for part in given.split(","))
    except ValueError:
        wanted = "LOW:HIGH, two numbers" if isinstance(usual, Interval) else f"values such as {', '.join(map(str, usual[:2]))}"
        raise UserError(f"--range {name} takes {wanted}, not {given}") from None


def _parsed(text: str, kind: type) -> Any:
    if kind is bool:
        if text not in ("True", "False"):
            raise ValueError
        return text == "True"
    return kind(text)


def words(space: Space) -> list[str]:
    """A line for each field and its range."""
    return [f"{name}: {values if isinstance(values, Interval) else ', '.join(map(str, values))}" for name, values in space.items()]
