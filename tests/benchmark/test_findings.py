"""Whose predictions a run's are: the first provider's, nobody's where nothing is run here."""

import dataclasses

import pytest

from models.runtimes.base import Provider
from tests.made_run import findings


@pytest.mark.parametrize(("names", "first"), [(["A", "B"], "A"), (["B"], "B"), ([], "")])
def test_predictions_are_of_the_first_provider(names: list[str], first: str) -> None:
    found = dataclasses.replace(findings(("a", "b")), providers=[Provider(name, "a device") for name in names])
    assert found.predictions_provider == first
