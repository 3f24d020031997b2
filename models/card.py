"""The model card: classes, data set, preprocessing and recipe of a model, as JSON beside native weights and inside ONNX files.

Reads and writes cards without torch and without tensorflow.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from core.console import printable
from core.errors import UserError, one_line
from core.files import parse_json, read_text, write_json
from core.records import Trained

METADATA_KEY = "model_card"
SCHEMA = 1
LAYOUTS = ("nchw", "nhwc")
RESIZES = ("shortest", "squash")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos", "box")
CHANNELS = ("rgb", "bgr")
LARGEST_SIDE = 16384  # pixels: no classifier takes more, and one image of it fills 0.8 GB
_SPOKEN = {str: "text", int: "a whole number", float: "a number", dict: "an object", tuple: "a list"}
SYNTHETIC = "synthetic"  # in place of a split: generated images, where those of the data set are not available


@dataclass(frozen=True)
class Preprocessing:
    """The steps from uint8 RGB images to a network's input; they lie inside the ONNX graph.

    The image is resized (antialiased, float32, as PIL's filter `interpolation` does) so that its shorter side (`resize`
    "shortest") or both sides ("squash") are `resize_size` pixels, `input_size` if that is None; the centre square of
    `input_size` is cut out; and each channel, in the order `channels` says, becomes ``(pixel / 255 - mean) / std``, laid out
    as `layout` says.
    """

    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    layout: str  # "nchw" or "nhwc"
    resize: str = "shortest"
    resize_size: int | None = None
    interpolation: str = "bilinear"
    channels: str = "rgb"

    def __post_init__(self) -> None:
        for name, known in (("layout", LAYOUTS), ("resize", RESIZES), ("interpolation", INTERPOLATIONS), ("channels", CHANNELS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {getattr(self, name)!r}")
        if self.input_size < 1 or len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("input_size must be positive, mean and std three numbers, std above 0")
        if max(self.input_size, self.resize_size or 0) > LARGEST_SIDE:
            raise ValueError(f"input_size and resize_size must be {LARGEST_SIDE} pixels at most")
        if self.resize_size is not None and self.resize_size < self.input_size:
            raise ValueError(f"resize_size must be at least input_size, {self.input_size}, not {self.resize_size}")

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image of these sizes has between the resize and the crop.

        The longer side is truncated to a whole number, as torchvision does.
        """
        side = self.resize_size or self.input_size
        if self.resize == "squash":
            return side, side
        short, long = sorted((height, width))
        new_long = int(side * long / short)
        return (side, new_long) if height <= width else (new_long, side)


@dataclass(frozen=True)
class Parity:
    """Agreement of a file with what it was made from (the native model, an ensemble's members) on `n_images` raw images.

    split: of a data set, or "synthetic" (for an ensemble "random") if its images are not available. An ensemble is judged
    by its probabilities: the logits of probabilities near 0 may differ widely, which means nothing.
    """

    n_images: int
    split: str
    max_abs_logit_difference: float
    equal_labels: float  # fraction in [0, 1]
    max_abs_probability_difference: float | None = None


@dataclass(frozen=True)
class Member:
    """One member of an ensemble: its name, the SHA-256 of its ONNX file, its weight in the rule, and the divisor of its logits."""

    name: str
    sha256: str
    weight: float
    temperature: float = 1.0


@dataclass(frozen=True)
class ModelCard:
    """Everything that later steps need to know about a model.

    name: file name without its ending, unique in a comparison; backend: torch, tensorflow or ensemble;
    dataset_sha256: fingerprint of each official split by name; image_height, image_width: of the raw images;
    resize: how a folder's images of other sizes become these (`data.reading`), the same wherever the model is used;
    recipe: every hyperparameter it was trained with; figures: what training measured on the validation split;
    preprocessing: None for an ensemble, whose members carry their own.
    """

    name: str
    backend: str
    architecture: str
    class_names: tuple[str, ...]
    dataset: str
    dataset_sha256: dict[str, str]
    image_height: int
    image_width: int
    split_seed: int
    seed: int
    precision: str = "fp32"
    preprocessing: Preprocessing | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    library_versions: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    parity: Parity | None = None
    rule: str | None = None
    members: tuple[Member, ...] = ()
    resize: str = "shortest"
    schema: int = SCHEMA

    def trained(self) -> Trained:
        """What the model was trained on; `data.matching` finds the images that fit by it."""
        return Trained(
            self.name,
            self.dataset,
            self.class_names,
            self.dataset_sha256,
            self.image_height,
            self.image_width,
            self.split_seed,
            self.resize,
        )

    def to_json(self) -> str:
        """The card as one line of JSON; `from_json` reads it back equal."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON types; of preprocessing, defaults are left out, so that older versions of this program read it."""
        values = dataclasses.asdict(self)
        if self.preprocessing is not None:
            usual = {f.name: f.default for f in dataclasses.fields(Preprocessing) if f.default is not dataclasses.MISSING}
            fields = values["preprocessing"]
            values["preprocessing"] = {name: fields[name] for name in fields if name not in usual or fields[name] != usual[name]}
        return values

    @classmethod
    def from_json(cls, text: str, where: Path | str) -> ModelCard:
        """The card that `text` holds; UserError naming `where` and each missing or unknown field."""
        try:
            values = parse_json(text)
        except ValueError as error:
            raise UserError(f"the model card of {where} is not JSON ({one_line(error)}); export the model again") from error
        if not isinstance(values, dict):
            raise UserError(f"the model card of {where} is not a JSON object; export the model again")
        _check_fields(values, where)
        try:
            return cls(**_typed(values))
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise UserError(f"the model card of {where} cannot be used: {one_line(error)}; export the model again") from error


def card_path(weights: Path) -> Path:
    """Where the card of a native weights file lies: `resnet18_cifar10.pth` has `resnet18_cifar10.pth.json`."""
    return weights.with_name(weights.name + ".json")


def write_card(card: ModelCard, weights: Path, *, first: Callable[[], None] | None = None) -> Path:
    """Write the card beside a native weights file, atomically; returns its path. first: called right before it appears."""
    path = card_path(weights)
    write_json(path, card.to_dict(), first=first)
    return path


def read_card(weights: Path) -> ModelCard:
    """The card beside a native weights file; UserError if there is none."""
    path = card_path(weights)
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise UserError(f"{weights} has no model card: {path} is missing; copy it beside the weights, or train again") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the model card {path} is not text; copy it again, or train again") from error
    return ModelCard.from_json(text, path)


class NoCard(UserError):  # noqa: N818  # what it is, not that it is an error
    """An ONNX file without a card; `data`: the images that the suggested command names."""

    def __init__(self, where: Path, data: str = "FOLDER") -> None:
        self.where = where
        command = f"python -m export.adopt {shlex.quote(str(where))} --data {shlex.quote(data)}"
        adopted = "models/" + shlex.quote(f"{where.stem}_adopted.onnx")
        super().__init__(
            f"{where} carries no model card (metadata '{METADATA_KEY}': JSON with {', '.join(_required_fields())}), like any file "
            f"from elsewhere; {command} makes {adopted} from it, which has one"
        )


def card_from_metadata(metadata: dict[str, str], where: Path) -> ModelCard:
    """The card inside an ONNX file's metadata; `NoCard`, which names the command that makes one, if there is none."""
    if METADATA_KEY not in metadata:
        raise NoCard(where)
    return ModelCard.from_json(metadata[METADATA_KEY], where)


def _required_fields() -> list[str]:
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(ModelCard) if f.default is missing and f.default_factory is missing]


def _check_fields(values: dict[str, Any], where: Path | str) -> None:
    if values.get("schema", SCHEMA) != SCHEMA:
        raise UserError(
            f"the model card of {where} has schema {values['schema']!r}, this program reads {SCHEMA}; export the model again"
        )
    absent = [name for name in _required_fields() if name not in values]
    if absent:
        raise UserError(f"the model card of {where} lacks {', '.join(absent)}; export the model again")
    unknown = sorted(set(values) - {f.name for f in dataclasses.fields(ModelCard)})
    if unknown:
        raise UserError(f"the model card of {where} has unknown fields {', '.join(unknown)}; export the model again")


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    """JSON lists and objects as the tuples and dataclasses of the card; ValueError for a field of the wrong type or size."""
    typed = {name: _of_type(values[name], hint, name) for name, hint in get_type_hints(ModelCard).items() if name in values}
    if len(typed["class_names"]) < 2 or len(set(typed["class_names"])) != len(typed["class_names"]):
        raise ValueError("class_names must be at least two different names")
    if not all(0 <= typed[name] <= LARGEST_SIDE for name in ("image_height", "image_width")):
        raise ValueError(f"image_height and image_width must be from 0 to {LARGEST_SIDE} pixels")
    return typed


def _of_type(value: Any, hint: Any, name: str) -> Any:
    """The JSON value `value` as the type `hint`; ValueError naming the field `name` if it has another."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        json.dumps(value, allow_nan=False)  # a ValueError: NaN would make JSON that holds it, such as run.json, none
        return value
    if origin is UnionType:  # of something and None
        return None if value is None else _of_type(value, inner[0], name)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        if not isinstance(value, dict) or not set(value) <= set(hints):
            raise ValueError(f"{name} must be an object with {', '.join(hints)}")
        return hint(**{key: _of_type(part, hints[key], f"{name}.{key}") for key, part in value.items()})
    if origin is tuple and isinstance(value, list | tuple):
        if inner[-1] is not Ellipsis and len(value) != len(inner):
            raise ValueError(f"{name} must be {len(inner)} values")
        return tuple(_of_type(part, inner[0], name) for part in value)
    if origin is dict and isinstance(value, dict):
        return {str(key): _of_type(part, inner[1], f"{name}.{key}") for key, part in value.items()}
    return _plain(value, hint, name)


def _plain(value: Any, hint: Any, name: str) -> Any:
    """A number, a text or a truth value of the type `hint`: finite, without control characters; ValueError otherwise."""
    takes = {float: (int, float)}.get(hint, hint if isinstance(hint, type) else ())
    if isinstance(value, str) and printable(value) != value:
        raise ValueError(f"{name} holds control characters, {value[:40]!r}")
    if not isinstance(value, takes) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{name} must be {_SPOKEN.get(get_origin(hint) or hint, 'something else')}, not {str(value)[:40]!r}")
    if hint is float and isinstance(value, int | float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value}")
    return value
