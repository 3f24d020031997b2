"""The model card: what a file holds, carried beside native weights as JSON and inside an ONNX file as metadata.

Reads and writes cards without torch and without tensorflow.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UserError, one_line
from core.files import write_json
from core.records import Trained

METADATA_KEY = "model_card"
SCHEMA = 1
SYNTHETIC = "synthetic"  # in place of a split: images that were made up, for those of the data set were not to be had


@dataclass(frozen=True)
class Preprocessing:
    """From uint8 RGB images to what a network was trained on; lies inside the ONNX graph.

    The image is resized (bilinear, antialiased, float32) so that its shorter side is `input_size`, the centre square is
    cut out, and each channel becomes ``(pixel / 255 - mean) / std``, in the order `layout` says.
    """

    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    layout: str  # "nchw" or "nhwc"

    def __post_init__(self) -> None:
        if self.layout not in ("nchw", "nhwc"):
            raise ValueError(f"layout must be nchw or nhwc, not {self.layout!r}")
        if self.input_size < 1 or len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("input_size must be positive, mean and std three numbers, std above 0")


@dataclass(frozen=True)
class Parity:
    """Agreement of a file with what it was made of (the native model, an ensemble's members) on `n_images` raw images.

    split: of a data set, or "synthetic" (for an ensemble "random") where its images were not to be had. An ensemble is held to
    its probabilities, for the logits of a probability near 0 are far apart without meaning anything.
    """

    n_images: int
    split: str
    max_abs_logit_difference: float
    equal_labels: float  # fraction in [0, 1]
    max_abs_probability_difference: float | None = None


@dataclass(frozen=True)
class Member:
    """One member of an ensemble: its name, the SHA-256 of its ONNX file, its weight in the rule, and what divides its logits."""

    name: str
    sha256: str
    weight: float
    temperature: float = 1.0


@dataclass(frozen=True)
class ModelCard:
    """Everything downstream needs to know of a model.

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
        """What the model was trained on: by this, `data.matching` finds the images that fit it."""
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
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: Path | str) -> ModelCard:
        """The card that `text` holds; UserError naming `where` and each missing or unknown field."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"the model card of {where} is not JSON ({one_line(error)}); export the model again") from error
        if not isinstance(values, dict):
            raise UserError(f"the model card of {where} is not a JSON object; export the model again")
        _check_fields(values, where)
        try:
            return cls(**_typed(values))
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(f"the model card of {where} cannot be used: {one_line(error)}; export the model again") from error


def card_path(weights: Path) -> Path:
    """Where the card of a native weights file lies: `resnet18_cifar10.pth` has `resnet18_cifar10.pth.json`."""
    return weights.with_name(weights.name + ".json")


def write_card(card: ModelCard, weights: Path) -> Path:
    """Write the card beside a native weights file, atomically; returns its path."""
    path = card_path(weights)
    write_json(path, dataclasses.asdict(card))
    return path


def read_card(weights: Path) -> ModelCard:
    """The card beside a native weights file; UserError where there is none."""
    path = card_path(weights)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{weights} has no model card: {path} is missing; copy it beside the weights, or train again") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the model card {path} is not text; copy it again, or train again") from error
    return ModelCard.from_json(text, path)


def card_from_metadata(metadata: dict[str, str], where: Path) -> ModelCard:
    """The card inside an ONNX file's metadata; UserError that lists what a card needs where there is none."""
    if METADATA_KEY not in metadata:
        needed = ", ".join(_required_fields())
        raise UserError(
            f"{where} carries no model card (metadata '{METADATA_KEY}': JSON with {needed}); python -m export.to_onnx writes "
            "one for its own weights, and 'A network from elsewhere' in CONTRIBUTING.md shows how to make one for others"
        )
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
    """JSON lists and objects as the tuples and dataclasses of the card; ValueError for a field of the wrong type."""
    typed = dict(values)
    for name, kind in (("name", str), ("backend", str), ("architecture", str), ("dataset", str), ("dataset_sha256", dict),
                       ("image_height", int), ("image_width", int), ("class_names", list)):  # fmt: skip
        if not isinstance(values[name], kind):
            raise ValueError(f"{name} must be a {kind.__name__}")
    typed["class_names"] = tuple(str(name) for name in values["class_names"])
    if len(typed["class_names"]) < 2 or len(set(typed["class_names"])) != len(typed["class_names"]):
        raise ValueError("class_names must be at least two different names")
    if values.get("preprocessing"):
        fields = values["preprocessing"]
        mean, std = tuple(fields["mean"]), tuple(fields["std"])
        typed["preprocessing"] = Preprocessing(int(fields["input_size"]), mean, std, fields["layout"])
    if values.get("parity"):
        typed["parity"] = Parity(**values["parity"])
    typed["members"] = tuple(Member(**member) for member in values.get("members", ()))
    return typed
