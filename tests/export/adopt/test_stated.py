"""What flags and files beside a model say, held against hand-worked values and the documents of those who write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import USAGE, UserError
from export.adopt.stated import Stated, build, from_hugging_face, from_timm, from_ultralytics, in_words

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (  # google/vit-base-patch16-224
        {"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, "size": 224,
         "feature_extractor_type": "ViTFeatureExtractor"},
        {"image_size": 224, "resize": "squash", "resize_size": None, "interpolation": "bilinear", "mean": (0.5,) * 3},
    ),
    (  # facebook/deit-base: 256 squashed, 224 cut out
        {"crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "size": {"height": 256, "width": 256}, "resample": 3,
         "do_resize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
        {"image_size": 224, "resize": "squash", "resize_size": 256, "interpolation": "bicubic"},
    ),
    (  # facebook/convnext-tiny-224: below 384 pixels the shorter side is size / crop_pct
        {"crop_pct": 0.875, "size": {"shortest_edge": 224}, "resample": 3, "image_mean": [0.485, 0.456, 0.406],
         "image_std": [0.229, 0.224, 0.225], "image_processor_type": "ConvNextImageProcessor"},
        {"image_size": 224, "resize": "shortest", "resize_size": 256},
    ),
    (  # facebook/convnext-base-384: squashed, nothing cut
        {"crop_pct": 0.875, "size": {"shortest_edge": 384}, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        {"image_size": 384, "resize": "squash", "resize_size": None},
    ),
    (  # apple/mobilevit-small: BGR, not normalised
        {"crop_size": {"height": 256, "width": 256}, "do_center_crop": True, "do_flip_channel_order": True, "do_resize": True,
         "size": {"shortest_edge": 288}, "resample": 2},
        {"image_size": 256, "resize": "shortest", "resize_size": 288, "channels": "bgr", "mean": None},
    ),
    (  # whole numbers written with a point; a crop that counts for the shortest edge alone
        {"crop_pct": 1.2, "size": {"height": 224.0, "width": 224.0}, "resample": 3.0},
        {"image_size": 224, "resize": "squash", "resize_size": None, "interpolation": "bicubic"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "wanted"), CASES)
def test_preprocessor_config(config: dict[str, Any], wanted: dict[str, Any]) -> None:
    stated = from_hugging_face(config)
    assert {name: getattr(stated, name) for name in wanted} == wanted


def test_sizes_of_another_kind_are_told_as_they_stand_there() -> None:
    with pytest.raises(UserError, match=r"size is \{'longest_edge': 224\}, which is not height and width, nor"):
        from_hugging_face({"size": {"longest_edge": 224}})


def test_an_unknown_filter_is_refused() -> None:
    with pytest.raises(UserError, match=r"resamples by 5, none of 0 \(nearest\), .*; correct it there"):
        from_hugging_face({"size": 8, "resample": 5})


def test_timm_resizes_to_the_size_by_crop_pct_rounded_down() -> None:
    stated = from_timm({"input_size": [3, 224, 224], "crop_pct": 0.9, "mean": [0, 0, 0], "std": [1, 1, 1], "crop_mode": "center"})
    assert stated.side(224) == 248  # floor(224 / 0.9)
    assert from_timm({"input_size": [3, 224, 224], "crop_mode": "squash"}).resize == "squash"
    assert Stated(crop_pct=0.875).side(224) == 256
    assert Stated().side(224) is None
    with pytest.raises(UserError, match="border"):
        from_timm({"crop_mode": "border"})


def test_a_crop_of_images_larger_than_any_is_refused() -> None:
    with pytest.raises(UserError, match=r"--crop-pct 0\.01 of 224 pixels: images of 22,400, over 16,384; pass a larger one"):
        Stated(crop_pct=0.01).side(224)


def test_ultralytics() -> None:
    with pytest.raises(UserError, match="imgsz is 0, not from 1"):
        from_ultralytics({"imgsz": "[0, 224]"})
    stated = from_ultralytics({"imgsz": "[224, 224]"})
    assert (stated.image_size, stated.levels()) == (224, ((0.0,) * 3, (1.0,) * 3))


@pytest.mark.parametrize(
    "stated",
    [
        Stated(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        Stated(mean=(127.0,) * 3, std=(128.0,) * 3, scale=1.0),
        Stated(mean=(103.939, 116.779, 123.68), scale=1.0),
        Stated(mean=(1.0,) * 3, scale=1 / 127.5),
        Stated(scale=1.0),
    ],
)
def test_levels_do_what_scale_mean_and_std_say(stated: Stated) -> None:
    pixels = np.arange(0.0, 256, 51)[:, None] * np.ones(3)
    mean, std = stated.levels()
    said = (pixels * (stated.scale or 1 / 255) - np.array(stated.mean or 0.0)) / np.array(stated.std or 1.0)
    np.testing.assert_allclose((pixels / 255 - np.array(mean)) / np.array(std), said, atol=1e-9)


def test_flags_come_before_files_and_values_of_pixels_from_one_of_them() -> None:
    file = Stated(224, (0.5,) * 3, (0.5,) * 3, 1 / 255, "shortest", 0.875, None, "bicubic", "rgb")
    both = Stated(scale=1.0).or_else(file)
    assert (both.mean, both.std, both.scale, both.crop_pct) == (None, None, 1.0, 0.875)
    assert Stated(resize="squash").or_else(file).crop_pct is None
    assert Stated(channels="bgr").or_else(file).mean == (0.5,) * 3


def test_the_words_are_flags_that_make_the_same_again() -> None:
    stated = Stated(None, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), None, "squash", 0.875, None, "lanczos", "bgr")
    made = build(stated, 224, "nchw", levels=stated.levels(), resize="shortest", channels="rgb")
    words = in_words(made).split()
    assert words[words.index("--mean") + 1 : words.index("--mean") + 4] == ["0.1", "0.2", "0.3"]
    again = Stated(
        224, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), None, "squash", float(words[words.index("--crop-pct") + 1]), None, "lanczos", "bgr"
    )
    assert build(again, 224, "nchw", levels=again.levels(), resize="shortest", channels="rgb") == made


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": (127.0,) * 3}, "add --scale 1"),
        ({"std": (1.0, 0.0, 1.0)}, "--std must be above 0"),
        ({"scale": 0.0}, "--scale must be above 0"),
        ({"resize": "pad"}, "--resize must be one of shortest, squash"),
        ({"std": (1e-320,) * 3}, "--std must be above 0, from 1e-06 to 1e\\+06, not "),
        ({"std": (float("nan"),) * 3}, "--std must be above 0"),
        ({"crop_pct": 1e-320}, "--crop-pct must be from 0.01 to 1"),
        ({"scale": 1e39}, "--scale must be above 0, from 1e-06 to 1e\\+06, not 1e\\+39"),
        ({"scale": 1.0, "mean": (1e39,) * 3}, "--mean must be from -1e\\+06 to 1e\\+06, not 1e\\+39"),
        ({"mean": (float("nan"),) * 3}, "--mean must be from"),
        ({"image_size": 0}, "--image-size must be 1 or more"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        Stated(**fields)
    assert error.value.exit_code == (1 if words == "add --scale 1" else USAGE)  # two flags that do not fit each other


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, True, "224", 10**400, [1, 2], {"height": "x"}, {}], ids=str)
@pytest.mark.parametrize("key", ["size", "crop_size", "crop_pct", "rescale_factor", "image_mean", "image_std", "resample"])
def test_what_no_preprocessing_can_be_is_told_by_file_and_key(key: str, value: object) -> None:
    """Except a negative mean, and an empty object for what may be left out: these are as they were."""
    config = {"size": {"shortest_edge": 8}, "do_center_crop": True, "image_mean": [0] * 3, "image_std": [1] * 3, key: value}
    if (key, value) == ("image_mean", -1) or (value == {} and key in ("crop_size", "crop_pct", "rescale_factor")):
        from_hugging_face(config)
        return
    with pytest.raises(UserError, match=r"beside/p\.json(: | resamples by ).*; correct it there") as error:
        from_hugging_face(config, "beside/p.json")
    assert key in str(error.value) or key == "resample"
    assert len(str(error.value)) < 200
    with pytest.raises(UserError, match=r"p\.json: image_std is None"):
        from_hugging_face({"image_mean": [0] * 3}, "p.json")


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, True, "224", 10**400, [1, 2, "x"], {"a": 1}], ids=str)
@pytest.mark.parametrize("key", ["input_size", "test_input_size", "mean", "std", "crop_pct", "test_crop_pct"])
def test_what_timm_cannot_mean_is_told_by_file_and_key(key: str, value: object) -> None:
    if (key, value) == ("mean", -1):
        return
    with pytest.raises(UserError, match=rf"config\.json: {key} is .*; correct it there"):
        from_timm({"input_size": [3, 8, 8], key: value})
