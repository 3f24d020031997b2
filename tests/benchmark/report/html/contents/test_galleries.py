"""What galleries promise, and that a page stays small however large the run."""

import numpy as np
import pytest

from benchmark.report.html.contents import galleries as rooms
from benchmark.report.html.contents.galleries import (
    confusion_counts,
    galleries,
)
from benchmark.report.html.contents.pairs import pairs_shown
from benchmark.report.html.contents.shown import Model, Said, Shown, shown
from benchmark.results import Results
from tests.made_folder import write_folder


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
