"""What a page's script reads is bounded however large the run."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmark.report.html.contents.galleries import MOST_CONFUSED, MOST_OF_GALLERY, MOST_PICTURES, galleries, pool
from benchmark.report.html.contents.pairs import pairs_shown
from benchmark.report.html.contents.pictures import MOST_BYTES
from benchmark.report.html.contents.shown import Model, Said, Shown
from benchmark.report.html.payload import payload
from benchmark.results import Results

N_CLASSES, N_IMAGES = 1000, 50_000


def large(n_models: int = 6) -> Shown:
    """Six models on 50,000 images of 1,000 classes; what they say is made up without their logits."""
    random = np.random.default_rng(0)
    labels = random.integers(0, N_CLASSES, N_IMAGES)
    run = Results.__new__(Results)
    object.__setattr__(run, "folder", None)
    object.__setattr__(run, "run", {"predictions_provider": "CPU"})
    object.__setattr__(run, "tables", {"pairs.csv": pd.DataFrame({"model_a": [], "model_b": []})})
    models = []
    for index in range(n_models):
        predicted = np.where(random.random(N_IMAGES) < 0.7, labels, random.integers(0, N_CLASSES, N_IMAGES))
        sure = random.uniform(0.2, 1, N_IMAGES)
        right = predicted == labels
        said = Said(predicted, sure, np.where(right, sure, (1 - sure) / 10))
        models.append(Model(f"m{index}", f"m{index}", 0, "single", (), "", said, right))
    names = tuple(f"class {index}" for index in range(N_CLASSES))
    return Shown((run,), ("run",), tuple(models), labels, names, tuple(f"{i}.png" for i in range(N_IMAGES)))


def test_a_page_of_many_classes_models_and_images_is_bounded() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.report.html.payload.places", lambda shown: [])
        patch.setattr("benchmark.report.html.payload.reliability_of", lambda shown, model: [])
        patch.setattr("benchmark.report.html.payload.temperature_of", lambda shown, model: None)
        seen = large()
        pairs = pairs_shown(seen)
        assert len(pairs) == 15
        found = galleries(seen, pairs)
        images = pool(seen, pairs, found)
        picture = b"x" * (MOST_BYTES // len(images))
        data = payload(seen, pairs, found, images, dict.fromkeys(images, picture))
    assert len(images) == len(set(images)) == MOST_PICTURES
    assert len(json.dumps(data)) < 3_500_000  # beside 0.9 MB of Vega and 0.3 MB of each CSV
    assert len(data["confusion"]["classes"]) == MOST_CONFUSED
    for pair in data["pairs"]:
        for cell in pair["cells"].values():
            assert 0 < len(cell["images"]) <= MOST_OF_GALLERY < cell["total"]
