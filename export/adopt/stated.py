"""What is known of a model's preprocessing before anything is measured: by flags, or by files that lie beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from core.decimals import whole_number
from core.errors import USAGE, UserError, shortened
from models.card import CHANNELS, INTERPOLATIONS, LARGEST_SIDE, RESIZES, Preprocessing

Triple = tuple[float, float, float]

# Of std and scale, and of mean: far from what any network has, and together still far from what float32 cannot hold.
_LEAST, _MOST = 1e-6, 1e6
_LEAST_CROP = 0.01  # of the resized side; networks have 0.7 or more


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
                raise UserError(f"--{name} must be one of {', '.join(known)}, not {value!r}", exit_code=USAGE)
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"--image-size must be 1 or more, not {self.image_size}", exit_code=USAGE)
        if self.crop_pct is not None and not _LEAST_CROP <= self.crop_pct <= 1:
            raise UserError(f"--crop-pct must be from {_LEAST_CROP:g} to 1, not {self.crop_pct:g}", exit_code=USAGE)
        self._require_levels()

    def _require_levels(self) -> None:
        """UserError unless the graph's constants, float32, hold mean, std and scale, and what they make of any pixel."""
        for name, values in (("scale", () if self.scale is None else (self.scale,)), ("std", self.std or ())):
            for value in values:
                if not _LEAST <= value <= _MOST:
                    raise UserError(f"--{name} must be above 0, from {_LEAST:g} to {_MOST:g}, not {value:g}", exit_code=USAGE)
        most = _MOST if self.scale is not None else 2
        wrong = next((value for value in self.mean or () if not abs(value) <= most), None)
        if wrong is not None and (self.scale is not None or not abs(wrong) <= 255):
            raise UserError(f"--mean must be from {-_MOST:g} to {_MOST:g}, not {wrong:g}", exit_code=USAGE)
        if wrong is not None:
            raise UserError(f"--mean {wrong:g} is of pixels from 0 to 255, but pixels are divided by 255 first; add --scale 1")

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
        if resized > LARGEST_SIDE:
            raise UserError(
                f"--crop-pct {self.crop_pct:g} of {size} pixels: images of {resized:,}, over {LARGEST_SIDE:,}; pass a larger one"
            )
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


class _Config:
    """The values of a file beside a model; UserError, naming file and key, for one that cannot be what the key stands for."""

    def __init__(self, values: Any, file: str) -> None:
        if not isinstance(values, Mapping):
            raise UserError(f"{file} holds {_brief(values)} where an object of preprocessing belongs; correct it there")
        self.get, self._file = values.get, file

    def wrong(self, key: str, value: Any, what: str) -> UserError:
        return UserError(f"{self._file}: {key} is {_brief(value)}, which is not {what}; correct it there")

    def number(self, key: str, value: Any, least: float, most: float) -> float:
        """`value`, which the file has at `key`, if it is a number between these."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.wrong(key, value, f"a number from {least:g} to {most:g}")
        return float(value)

    def side(self, key: str, value: Any) -> int:
        """Pixels of a side."""
        return int(self.number(key, value, 1, LARGEST_SIDE))

    def triple(self, key: str, least: float) -> Triple | None:
        """A number for each channel; None if the file has none."""
        values = self.get(key)
        if values is None:
            return None
        each = list(values) if isinstance(values, list | tuple) else [values] * 3
        if len(each) != 3:
            raise self.wrong(key, values, "a number for each of three channels")
        return _triple([self.number(key, value, least, _MOST) for value in each])

    def fraction(self, *keys: str) -> float | None:
        """A fraction above 0, at the first of `keys` that the file has; None if it has none."""
        key = next((key for key in keys if self.get(key)), None)
        return None if key is None else self.number(key, self.get(key), _LEAST_CROP, 1)


def _brief(value: Any) -> str:
    return shortened(repr(value), 40)


def from_hugging_face(values: Mapping[str, Any], file: str = "preprocessor_config.json") -> Stated:
    """What a `preprocessor_config.json` says; UserError, naming the file and the key, for what no preprocessing can be."""
    config = _Config(values, file)
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    size, resize, resize_size = _hugging_face_sizes(config, kind)
    normalises = config.get("do_normalize", True) and config.get("image_mean") is not None
    if normalises and config.get("image_std") is None:
        raise config.wrong("image_std", None, "a number for each of three channels")
    rescales = config.get("do_rescale", True)
    scale = config.number("rescale_factor", config.get("rescale_factor") or 1 / 255, _LEAST, _MOST) if rescales else 1.0
    resample = config.get("resample", 2)
    if isinstance(resample, bool) or not isinstance(resample, int | float) or resample not in _RESAMPLE:
        raise UserError(f"{file} resamples by {_brief(resample)}, none of {few_filters()}; correct it there")
    return Stated(
        image_size=size,
        mean=config.triple("image_mean", -_MOST) if normalises else None,
        std=config.triple("image_std", _LEAST) if normalises else None,
        scale=scale,
        resize=resize,
        resize_size=resize_size,
        interpolation=_RESAMPLE[int(resample)],
        channels="bgr" if config.get("do_flip_channel_order") else "rgb",
    )


def few_filters() -> str:
    """The filters by their numbers."""
    return ", ".join(f"{number} ({name})" for number, name in _RESAMPLE.items())


def _hugging_face_sizes(config: _Config, kind: str) -> tuple[int | None, str | None, int | None]:
    """Pixels that the network takes, how images are resized, and to how many pixels."""
    size, crop = config.get("size"), config.get("crop_size") if config.get("do_center_crop") else None
    crop = crop.get("height") if isinstance(crop, Mapping) else crop
    crop = config.side("crop_size", crop) if crop else None
    if not config.get("do_resize", True) or size is None:
        return crop, "shortest" if crop else None, crop
    if isinstance(size, Mapping) and "shortest_edge" in size:
        side, resize = config.side("size", size["shortest_edge"]), "shortest"
    elif isinstance(size, Mapping):
        if "height" not in size:
            raise config.wrong("size", size, "height and width, nor the shortest edge, in pixels")
        side, resize = config.side("size", size["height"]), "squash"
    else:
        side = config.side("size", size)
        resize = "shortest" if kind.startswith(("ConvNext", "Levit", "CLIP", "Bit")) else "squash"
    if kind.startswith("Levit"):
        side = int(256 / 224 * side)
    crop_pct = config.fraction("crop_pct") if resize == "shortest" else None
    if crop_pct is not None:  # ConvNeXt: from 384 pixels on it squashes instead
        return (side, "squash", None) if side >= 384 else (side, "shortest", int(side / crop_pct))
    return (crop, resize, side) if crop else (side, resize, None)


def from_timm(values: Any, file: str = "config.json") -> Stated:
    """What `pretrained_cfg` in timm's `config.json` says; UserError, naming the file and the key, for what cannot be."""
    config = _Config(values, file)
    key = next((key for key in ("test_input_size", "input_size") if config.get(key)), "input_size")
    size = config.get(key) or None
    if size is not None and not isinstance(size, list | tuple):
        raise config.wrong(key, size, "a list of channels, height and width")
    crop_mode = config.get("crop_mode") or "center"
    if crop_mode == "border":
        raise UserError("its images are padded (crop_mode border), which cannot be done here; pass --resize and --crop-pct")
    interpolation = config.get("interpolation") or "bilinear"
    return Stated(
        image_size=config.side(key, size[-1]) if size else None,
        mean=config.triple("mean", -_MOST),
        std=config.triple("std", _LEAST),
        scale=1 / 255,
        resize="squash" if crop_mode == "squash" else "shortest",
        crop_pct=config.fraction("test_crop_pct", "crop_pct"),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bilinear",
        channels="rgb",
    )


def from_ultralytics(metadata: Mapping[str, str]) -> Stated:
    """The preprocessing of Ultralytics' classifiers: the shorter side resized, the centre cut out, pixels from 0 to 1."""
    sides = [whole_number(part.strip()) for part in metadata.get("imgsz", "").strip("[] ").split(",")]
    size = next((side for side in sides if side is not None), None)
    if size is not None and not 1 <= size <= LARGEST_SIDE:
        raise UserError(f"its metadata: imgsz is {_brief(size)}, not from 1 to {LARGEST_SIDE}; export the network again")
    return Stated(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1 / 255, "shortest", 1.0, None, "bilinear", "rgb")
