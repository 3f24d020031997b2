"""What is asked for is refused before anything is run, or becomes images, versions and a baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.images import draw
from benchmark.options import from_values
from benchmark.robustness.wanted import wanted_sequences, wanted_versions
from core.errors import UserError
from data import open_dataset
from tests.perturbed import write_sequences

IMAGES = open_dataset("digits").official("test")


def test_the_baseline_is_the_first_model_or_the_one_named() -> None:
    wanted = wanted_versions(IMAGES, 10, 0, None, ["a", "b"], None)
    assert (wanted.baseline, len(wanted.chosen), len(wanted.image_set)) == ("a", 10, 10)
    assert (IMAGES.labels[wanted.chosen] == wanted.image_set.labels).all()
    assert wanted_versions(IMAGES, 10**6, 0, None, ["a", "b"], "b").baseline == "b"


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--baseline c is none of the models that can be run; choose from a, b"):
        wanted_versions(IMAGES, 10, 0, None, ["a", "b"], "c")
    with pytest.raises(UserError, match="there are only predictions"):
        wanted_versions(IMAGES, 10, 0, None, [], None)
    with pytest.raises(UserError, match="does not hold CIFAR-10-C"):
        wanted_versions(IMAGES, 10, 0, tmp_path, ["a"], None)


def test_the_published_files_are_a_data_set_by_name() -> None:
    options = from_values({"data": "cifar10-c", "data_dir": "there"})
    assert (options.data, options.data_dir, options.corrupt_from) == ("cifar10", None, Path("there"))
    with pytest.raises(UserError, match="--data cifar10-c needs --data-dir"):
        from_values({"data": "cifar10-c"})
    options = from_values({"data": "cifar10-p", "data_dir": "there"})
    assert (options.data, options.data_dir, options.perturbed_from, options.corrupt_from) == ("cifar10", None, Path("there"), None)
    with pytest.raises(UserError, match="--data cifar10-p needs --data-dir"):
        from_values({"data": "cifar10-p"})


def test_sequences_are_of_the_images_that_were_drawn(tmp_path: Path) -> None:
    write_sequences(tmp_path, IMAGES.images_u8, ("scale",), n_frames=3)
    wanted = wanted_sequences(IMAGES, 12, 5, tmp_path, ["a", "b"], "b")
    assert wanted.baseline == "b"
    assert wanted.sequences.indices.tolist() == draw(len(IMAGES), 12, 5).tolist()
    with pytest.raises(UserError, match="--perturbed-from needs a model that can be run"):
        wanted_sequences(IMAGES, 12, 5, tmp_path, [], None)
    with pytest.raises(UserError, match="--baseline c is none of the models"):
        wanted_sequences(IMAGES, 12, 5, tmp_path, ["a"], "c")
