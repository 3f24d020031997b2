from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from export.adopt.classes.choosing import match_classes
from export.adopt.classes.names import OutputClass, OutputClasses


@pytest.mark.parametrize(
    ("of_model", "of_data", "why"),
    [
        (("horse", "dog"), ("horze", "dog"), "has no class called horze"),
        (("horse", "dog"), ("cow", "dog", "ant"), "has no class called cow, ant"),
        (("bee", "bee", "dog"), ("bee", "dog"), "has several classes called bee"),
        (("bee", "dog"), ("BEE", "Bee", "dog"), "has one class for BEE, Bee together"),
    ],
)
def test_why_names_are_not_matched_is_said_by_name_and_a_proposal_written(
    of_model: tuple[str, ...], of_data: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    model = OutputClasses(tuple(OutputClass(name) for name in of_model), "a test")
    path = tmp_path / "a_class_map.csv"
    for follows in ("a proposal is in", "complete the proposal in"):  # written, then there already
        with pytest.raises(UserError, match=rf"^the model \(a test\) {why}; {follows} {path}"):
            match_classes(model, len(of_model), of_data, None, None, path, force=False)
        assert path.exists()
