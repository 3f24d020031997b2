"""Soft labels against the formula on the teacher's own logits, kept between starts, and refused where they would mislead."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from core.errors import UserError
from core.records import ImageSet
from models.runtimes.opening import open_model
from tests.tiny_models import write_tiny_model
from train.files.others import teacher_path
from train.learning import teacher
from train.learning.teacher import soft_labels
from train.recipes import TfRecipe


@pytest.fixture
def images() -> ImageSet:
    generator = np.random.default_rng(0)
    images_u8 = generator.integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    return ImageSet(images_u8, np.arange(7) % 3, ("class_0", "class_1", "class_2"), "digits", "train", "a" * 64)


@pytest.fixture
def recipe(tmp_path: Path) -> TfRecipe:
    return TfRecipe(
        data="digits", teacher=str(write_tiny_model(tmp_path / "teacher.onnx")), teacher_share=0.7, teacher_temperature=3.0
    )


def test_labels_are_the_mixture_of_truth_and_the_softened_teacher(recipe: TfRecipe, images: ImageSet, tmp_path: Path) -> None:
    labels = soft_labels(recipe, images, tmp_path / "student.pth")
    assert labels is not None
    model = open_model(str(recipe.teacher))
    for view, images_u8 in enumerate([images.images_u8, np.ascontiguousarray(images.images_u8[:, :, ::-1])]):
        expected = 0.7 * softmax(model.predict(images_u8).logits / 3, axis=1) + 0.3 * np.eye(3)[images.labels]
        np.testing.assert_allclose(labels[view], expected, atol=1e-5)
    assert labels.dtype == np.float32
    assert soft_labels(replace(recipe, teacher=None), images, tmp_path / "student.pth") is None


def test_what_it_said_is_kept_for_the_same_teacher_and_images_only(
    recipe: TfRecipe, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "student.pth"
    first = soft_labels(recipe, images, weights)
    kept = teacher_path(weights).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(teacher, "VIEWS", None)  # to compute anew would now raise
        np.testing.assert_array_equal(soft_labels(recipe, images, weights), first)
    others = replace(images, images_u8=255 - images.images_u8, sha256="b" * 64)
    assert not np.allclose(soft_labels(recipe, others, weights), first)
    write_tiny_model(Path(str(recipe.teacher)), seed=1)
    assert not np.allclose(soft_labels(recipe, images, weights), first)
    write_tiny_model(Path(str(recipe.teacher)), seed=0)
    teacher_path(weights).write_bytes(kept[: len(kept) // 2])
    np.testing.assert_array_equal(soft_labels(recipe, images, weights), first)
    with zipfile.ZipFile(io.BytesIO(kept)) as whole, zipfile.ZipFile(teacher_path(weights), "w") as damaged:
        for name in whole.namelist():  # numpy parses a header as Python
            damaged.writestr(name, whole.read(name).replace(b", 'shape': (", b", 'shape':((("))
    np.testing.assert_array_equal(soft_labels(recipe, images, weights), first)


@pytest.mark.parametrize(
    ("changes", "model", "message"),
    [
        ({}, {"class_names": ("class_0", "class_1", "c")}, "has other classes than digits"),
        ({}, {"image_height": 9}, "takes images of 8×9, those of digits have 8×8"),
        ({"split_seed": 5}, {}, "pass --split-seed 0"),
        ({"teacher": "x.pth"}, {}, "x.pth is not an ONNX file; python -m export.to_onnx"),
        ({"teacher": "absent.onnx"}, {}, "absent.onnx"),
    ],
)
def test_a_teacher_that_would_mislead_is_refused(
    changes: dict[str, object], model: dict[str, object], message: str, recipe: TfRecipe, images: ImageSet, tmp_path: Path
) -> None:
    write_tiny_model(Path(str(recipe.teacher)), **model)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message) as caught:
        soft_labels(replace(recipe, **changes), images, tmp_path / "student.pth")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not teacher_path(tmp_path / "student.pth").exists()
