"""What is known of a model's preprocessing before anything is measured: by flags, or by files that lie beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from core.errors import UserError
from models.card import CHANNELS, INTERPOLATIONS, RESIZES, Preprocessing

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Stated:
    """Preprocessing as far as it is stated; None for what is not.

    scale: what pixels, 0 to 255, are multiplied by before mean and std; resize_size: pixels between resize and crop.
    """

    image_size: int | None = None
    mean: Triple | None = None
    std: Triple | None = None
    scale: float | None = None
    resize: str | None = None
    crop_pct: float | None = None
    resize_size: int | None = None
    interpolation: str | None = None
    channels: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("resize", RESIZES), ("interpolation", INTERPOLATIONS), ("channels", CHANNELS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise UserError(f"--{name} must be one of {', '.join(known)}, not {value!r}")
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"--image-size must be 1 or more, not {self.image_size}")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise UserError(f"--crop-pct must be above 0 and at most 1, not {self.crop_pct:g}")
        if self.scale is not None and not self.scale > 0:
            raise UserError(f"--scale must be above 0, not {self.scale:g}")
        if self.std is not None and min(self.std) <= 0:
            raise UserError(f"--std must be above 0, not {min(self.std):g}")
        if self.mean is not None and self.scale is None and max(map(abs, self.mean)) > 2:
            raise UserError(
                f"--mean {max(self.mean, key=abs):g} is of pixels from 0 to 255, but pixels are divided by 255 first; add --scale 1"
            )

    def or_else(self, other: Stated) -> Stated:
        """The same, with open fields filled in from `other`; mean, std and scale all come from one of the two."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.has_levels:
            other = replace(other, mean=None, std=None, scale=None)
        if self.crop_pct is not None or self.resize is not None:
            other = replace(other, crop_pct=None, resize_size=None)
        return Stated(**{name: getattr(other, name) if value is None else value for name, value in given.items()})

    @property
    def has_levels(self) -> bool:
        """Whether it states how pixel values are scaled."""
        return self.mean is not None or self.std is not None or self.scale is not None

    def levels(self) -> tuple[Triple, Triple]:
        """Mean and std of pixels in [0, 1], as in a card, equivalent to mean, std and scale together."""
        scale = 1 / 255 if self.scale is None else self.scale
        mean, std = self.mean or (0.0, 0.0, 0.0), self.std or (1.0, 1.0, 1.0)
        factor = 255 * scale  # (p·s - m) / d = (p/255 - m/(255·s)) / (d/(255·s))
        return _triple(value / factor for value in mean), _triple(value / factor for value in std)

    def side(self, size: int) -> int | None:
        """Pixels of the image between resize and crop to `size`, None if they are the same."""
        if self.resize_size is not None:
            return self.resize_size if self.resize_size > size else None
        resized = int(size / (self.crop_pct or 1.0) + 1e-6)  # rounded down, as timm does
        return resized if resized > size else None


def _triple(values: Any) -> Triple:
    first, second, third = values
    return float(first), float(second), float(third)


def build(stated: Stated, size: int, layout: str, *, levels: tuple[Triple, Triple], resize: str, channels: str) -> Preprocessing:
    """A complete preprocessing: what is stated and, for the rest, the arguments."""
    mean, std = levels
    return Preprocessing(
        size, mean, std, layout,
        resize=stated.resize or resize,
        resize_size=stated.side(size),
        interpolation=stated.interpolation or "bilinear",
        channels=stated.channels or channels,
    )  # fmt: skip


def in_words(preprocessing: Preprocessing) -> str:
    """A preprocessing as flags that reproduce it."""
    parts = [f"--image-size {preprocessing.input_size}", f"--resize {preprocessing.resize}"]
    if preprocessing.resize_size:
        parts.append(f"--crop-pct {preprocessing.input_size / preprocessing.resize_size:.4g}")
    parts.append(f"--interpolation {preprocessing.interpolation} --channels {preprocessing.channels}")
    parts.append(f"--mean {_numbers(preprocessing.mean)} --std {_numbers(preprocessing.std)}")
    return " ".join(parts)


def _numbers(values: Triple) -> str:
    return " ".join(f"{value:.6g}" for value in values)


# Numbers of Pillow's filters, as Hugging Face writes them.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}


def from_hugging_face(config: Mapping[str, Any]) -> Stated:
    """What a `preprocessor_config.json` says; UserError for a filter that is none of Pillow's five."""
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    size, resize, resize_size = _hugging_face_sizes(config, kind)
    normalises = config.get("do_normalize", True) and config.get("image_mean") is not None
    rescales = config.get("do_rescale", True)
    scale = float(config.get("rescale_factor") or 1 / 255) if rescales else 1.0
    resample = config.get("resample", 2)
    if resample not in _RESAMPLE:
        raise UserError(f"preprocessor_config.json resamples by {resample!r}, none of {few_filters()}; pass --interpolation")
    return Stated(
        image_size=size,
        mean=_triple(config["image_mean"]) if normalises else None,
        std=_triple(config["image_std"]) if normalises else None,
        scale=scale,
        resize=resize,
        resize_size=resize_size,
        interpolation=_RESAMPLE[resample],
        channels="bgr" if config.get("do_flip_channel_order") else "rgb",
    )


def few_filters() -> str:
    """The filters by their numbers."""
    return ", ".join(f"{number} ({name})" for number, name in _RESAMPLE.items())


def _hugging_face_sizes(config: Mapping[str, Any], kind: str) -> tuple[int | None, str | None, int | None]:
    """Pixels that the network takes, how images are resized, and to how many pixels."""
    size, crop = config.get("size"), config.get("crop_size") if config.get("do_center_crop") else None
    crop = crop.get("height") if isinstance(crop, Mapping) else crop
    if not config.get("do_resize", True) or size is None:
        return crop, "shortest" if crop else None, crop
    if isinstance(size, Mapping) and "shortest_edge" in size:
        side, resize = int(size["shortest_edge"]), "shortest"
    elif isinstance(size, Mapping):
        side, resize = int(size.get("height", 0)), "squash"
    else:
        side, resize = int(size), "shortest" if kind.startswith(("ConvNext", "Levit", "CLIP", "Bit")) else "squash"
    if kind.startswith("Levit"):
        side = int(256 / 224 * side)
    if config.get("crop_pct") is not None and resize == "shortest":  # ConvNeXt: from 384 pixels on it squashes instead
        return (side, "squash", None) if side >= 384 else (side, "shortest", int(side / config["crop_pct"]))
    return (int(crop), resize, side) if crop else (side, resize, None)


def from_timm(config: Mapping[str, Any]) -> Stated:
    """What `pretrained_cfg` in timm's `config.json` says."""
    size = config.get("test_input_size") or config.get("input_size")
    crop_mode = config.get("crop_mode") or "center"
    if crop_mode == "border":
        raise UserError("its images are padded (crop_mode border), which cannot be done here; pass --resize and --crop-pct")
    interpolation = config.get("interpolation") or "bilinear"
    return Stated(
        image_size=int(size[-1]) if size else None,
        mean=_triple(config["mean"]) if config.get("mean") else None,
        std=_triple(config["std"]) if config.get("std") else None,
        scale=1 / 255,
        resize="squash" if crop_mode == "squash" else "shortest",
        crop_pct=config.get("test_crop_pct") or config.get("crop_pct"),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bilinear",
        channels="rgb",
    )


def from_ultralytics(metadata: Mapping[str, str]) -> Stated:
    """The preprocessing of Ultralytics' classifiers: the shorter side resized, the centre cut out, pixels from 0 to 1."""
    digits = [int(part) for part in metadata.get("imgsz", "").strip("[] ").split(",") if part.strip().isdecimal()]
    size = digits[0] if digits else None
    return Stated(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1 / 255, "shortest", 1.0, None, "bilinear", "rgb")
