"""What galleries promise, and that a page stays small however large the run."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmark.report.html.contents import galleries as rooms
from benchmark.report.html.contents.galleries import (
    MOST_CONFUSED,
    MOST_OF_GALLERY,
    MOST_PICTURES,
    confusion_counts,
    galleries,
    pool,
)
from benchmark.report.html.contents.pairs import pairs_shown
from benchmark.report.html.contents.pictures import MOST_BYTES, kept_pictures, write_pictures
from benchmark.report.html.contents.shown import MOST_MODELS, Model, Said, Shown, shown
from benchmark.results import Results
from core.records import ImageSet
from tests.made_folder import write_folder

N_CLASSES, N_IMAGES = 1000, 50_000


def large(n_models: int = 6) -> Shown:
    """Six models on 50,000 images of 1,000 classes; what they say is made up without their logits."""
    import pandas as pd

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


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return shown([write_folder(tmp_path_factory.mktemp("runs"), page=False)])


def test_images_that_all_single_models_get_wrong_alike_are_label_error_candidates(seen: Shown) -> None:
    found = next(gallery for gallery in galleries(seen, pairs_shown(seen)) if gallery.title.startswith("All wrong alike"))
    alpha, beta = (model.said for model in seen.models[:2])
    alike = np.flatnonzero((alpha.predicted == beta.predicted) & (alpha.predicted != seen.labels))
    assert found.total == len(alike)
    assert set(found.images) <= set(alike.tolist())
    assert "flags" in found.about


def test_cleanlab_flags_labels_that_were_swapped() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 600)
    labels = truth.copy()
    swapped = random.permutation(600)[:20]
    labels[swapped] = (truth[swapped] + 1) % 3
    logits = (6 * np.eye(3)[truth] + random.normal(0, 0.5, (600, 3))).astype(np.float32)
    from benchmark.results import Predicted

    run = Results.__new__(Results)
    run.__dict__["predictions"] = {"m": Predicted(logits, labels)}
    said = Said(truth, np.ones(600), np.ones(600))
    one = Shown((run,), ("run",), (Model("m", "m", 0, "single", (), "", said, truth == labels),), labels, tuple("abc"), ())
    assert set(rooms._flagged_by_cleanlab(one, one.models).tolist()) == set(swapped.tolist())


def test_what_an_ensemble_mends_and_breaks_is_told_against_its_best_member(seen: Shown) -> None:
    table = seen.runs[0].pairs.set_index(["model_a", "model_b"])
    best = max(("alpha", "beta"), key=lambda name: next(m.right.mean() for m in seen.models if m.name == name))
    row = table.loc["alpha+beta", best]
    totals = {gallery.title: gallery.total for gallery in galleries(seen, pairs_shown(seen))}
    assert totals.get("alpha+beta mends", 0) == row["only_a_right"]
    assert totals.get("alpha+beta breaks", 0) == row["only_b_right"]


def test_a_variant_turns_images_over() -> None:
    labels = np.arange(30) % 3
    base, flipped = labels.copy(), labels.copy()
    flipped[[4, 7, 20]] = (labels[[4, 7, 20]] + 1) % 3
    made = [
        Model(
            name,
            name,
            0,
            "single",
            (),
            of,
            Said(predicted, np.ones(30), np.where(predicted == labels, 0.9, 0.1)),
            predicted == labels,
        )
        for name, of, predicted in (("net", "", base), ("net_int8", "net", flipped))
    ]
    found = rooms._turned_over(made[1], made[0])
    assert (found.total, set(found.images)) == (3, {4, 7, 20})


def test_a_confusion_table_counts_what_the_csv_counts(seen: Shown) -> None:
    model = seen.models[0]
    rows = seen.runs[0].confusion
    expected = rows[rows["model"] == model.name]["count"].to_numpy().reshape(10, 10)
    np.testing.assert_array_equal(confusion_counts(model, seen.labels, np.arange(10)), expected)
    some = np.array([2, 5, 9])
    np.testing.assert_array_equal(confusion_counts(model, seen.labels, some), expected[np.ix_(some, some)])


def test_a_page_of_many_classes_models_and_images_is_bounded() -> None:
    from benchmark.report.html.payload import payload

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


def test_no_more_models_are_shown_than_there_is_room_for(tmp_path) -> None:
    from tests.made_folder import findings

    run = write_folder(tmp_path, findings(("a", "b", "c", "d", "e", "f")), page=False)
    seen = shown([run])
    assert len(seen.models) == MOST_MODELS
    assert [model.name for model in seen.models[:6]] == ["a", "b", "c", "d", "e", "f"]
    assert seen.n_left_out == 6 + 15 - MOST_MODELS


def test_pictures_keep_within_their_budget_and_are_read_back(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("benchmark.report.html.contents.pictures.MOST_BYTES", 30_000)
    noise = np.random.default_rng(0).integers(0, 256, (8, 200, 100, 3)).astype(np.uint8)
    images = ImageSet(noise, np.zeros(8, np.int64), ("a", "b"), "noise", "test", "0", tuple(f"a/{i}.png" for i in range(8)))
    write_pictures(tmp_path, images, [1, 5])
    run = Results(tmp_path, {})
    found = kept_pictures([run])
    assert set(found) == {1, 5}
    assert sum(map(len, found.values())) <= 30_000


def test_small_images_keep_every_pixel(tmp_path) -> None:
    import io

    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    write_pictures(tmp_path, ImageSet(pixels, np.zeros(1, np.int64), ("a",), "noise", "test", "0"), [0])
    (picture,) = kept_pictures([Results(tmp_path, {})]).values()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")), pixels[0])
