"""ciFAIR-10 is read in CIFAR-10's layout, tests models of CIFAR-10, and is never mistaken for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from data import matching, open_dataset
from data.sets import cifair10
from tests.fake_cifar10 import write_fake_cifar10
from tests.tiny_models import tiny_card


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_fake_cifar10(tmp_path, images_per_batch=20)
    return tmp_path


@pytest.mark.parametrize("named", ["", "ciFAIR-10"])
def test_it_holds_what_cifar10_of_the_same_files_holds(named: str, home: Path) -> None:
    as_cifar10 = open_dataset("cifar10", home).fingerprints()
    (home / "cifar-10-batches-py").rename(home / "ciFAIR-10")
    assert open_dataset("cifair10", home / named).fingerprints() == as_cifar10


def test_cifar10_is_not_taken_for_it(home: Path) -> None:
    for folder in (home, home / "cifar-10-batches-py"):
        with pytest.raises(UserError, match=r"no ciFAIR-10 in .*; unpack ciFAIR-10"):
            open_dataset("cifair10", folder)


def test_models_of_cifar10_are_tested_on_it(home: Path) -> None:
    (home / "cifar-10-batches-py").rename(home / "ciFAIR-10")
    card = tiny_card("m", class_names=cifair10.CLASS_NAMES, dataset="cifar10", image_height=32, image_width=32)
    assert matching.open_matching([card.trained()], "cifair10", home).name == "cifair10"
