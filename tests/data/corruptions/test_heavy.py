"""The corruptions of the optional package: those that it makes, the same for a seed, and refused where they would mislead."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.records import ImageSet
from data.corruptions.heavy import MODULE, NAMES, corrupted_heavily, require_heavy
from data.corruptions.registry import CORRUPTIONS
from data.corruptions.versions import WITH_HEAVY, our_versions

SIDE = 64
IS_MISSING = importlib.util.find_spec(MODULE) is None
ABSENT = pytest.mark.skipif(IS_MISSING, reason="imagecorruptions-imaug is not installed (group corruptions)")


@pytest.fixture(scope="module")
def image_set() -> ImageSet:
    blocks = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    images_u8 = np.kron(blocks, np.ones((1, SIDE // 8, SIDE // 8, 1), np.uint8))
    return ImageSet(images_u8, np.zeros(3, np.int64), ("a",), "x", "test", "0" * 64)


@pytest.mark.optional
@ABSENT
@pytest.mark.parametrize("name", NAMES)
def test_they_are_the_packages_own_and_the_same_for_a_seed(name: str, image_set: ImageSet) -> None:
    import imagecorruptions

    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    found = corrupted_heavily(image_set.images_u8, name, 3, seed=7)
    assert np.array_equal(np.random.get_state()[1], before)
    assert (found.shape, found.dtype) == (image_set.images_u8.shape, np.uint8)
    assert np.array_equal(found[:2], corrupted_heavily(image_set.images_u8[:2], name, 3, seed=7))
    if name in ("defocus_blur", "zoom_blur"):  # without dice
        theirs = [imagecorruptions.corrupt(image_u8, severity=3, corruption_name=name) for image_u8 in image_set.images_u8]
        assert np.array_equal(found, theirs)
    else:
        assert not np.array_equal(found, corrupted_heavily(image_set.images_u8, name, 3, seed=8))
    assert np.abs(found.astype(int) - image_set.images_u8).mean() > 5


@pytest.mark.optional
@ABSENT
def test_they_are_versions_beside_ours_and_count_in_the_mean(image_set: ImageSet) -> None:
    versions = our_versions(image_set, 0, heavy=True)
    assert versions.names == versions.counted == (*CORRUPTIONS, *NAMES)
    assert versions.what == WITH_HEAVY
    assert np.array_equal(versions.make("fog", 2), corrupted_heavily(image_set.images_u8, "fog", 2, 0))
    assert np.array_equal(versions.make("pixelate", 2), our_versions(image_set, 0).make("pixelate", 2))


def test_small_images_and_a_missing_package_are_refused(image_set: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--corrupt-heavy has ImageNet-C's severities.* not 64×63.*--corrupt-from"):
        require_heavy(replace(image_set, images_u8=image_set.images_u8[:, :63]))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == MODULE else object())
    with pytest.raises(UserError, match=r"needs imagecorruptions-imaug; install it with .*imagecorruptions-imaug"):
        require_heavy(image_set)
