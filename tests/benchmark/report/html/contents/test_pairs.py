"""Cells that share the images out, in the order they promise; recalls against scikit-learn and an exact test of scipy."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import recall_score

from benchmark.report.html.contents.pairs import ACROSS, MOST_CLASSES, cells, pairs_shown, recall_differences
from benchmark.report.html.contents.shown import Model, Said, shown
from core.statistics import holm
from tests.made_folder import findings, write_folder


def model(predicted: np.ndarray, labels: np.ndarray, seed: int = 0) -> Model:
    sure = np.random.default_rng(seed).uniform(0.5, 1, len(labels))
    right = predicted == labels
    return Model("m", "m", 0, "single", (), "", Said(predicted, sure, np.where(right, sure, 1 - sure)), right)


def two(n_images: int, n_classes: int) -> tuple[Model, Model, np.ndarray]:
    random = np.random.default_rng(n_images)
    labels = random.integers(0, n_classes, n_images)
    made = [np.where(random.random(n_images) < share, labels, random.integers(0, n_classes, n_images)) for share in (0.9, 0.7)]
    return model(made[0], labels, 1), model(made[1], labels, 2), labels


def test_the_four_cells_share_the_images_out() -> None:
    a, b, labels = two(500, 5)
    found = cells(a, b)
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(len(labels)))
    assert a.right[found["only_a_right"]].all()
    assert not b.right[found["only_a_right"]].any()


def test_the_most_telling_images_come_first() -> None:
    a, b, _ = two(500, 5)
    found = cells(a, b)
    margin = a.said.of_truth - b.said.of_truth
    assert (np.diff(margin[found["only_a_right"]]) <= 0).all()
    assert (np.diff(margin[found["only_b_right"]]) >= 0).all()


def test_recalls_and_their_tests_are_those_of_the_books() -> None:
    a, b, labels = two(2000, 6)
    rows = {row.class_index: row for row in recall_differences(a, b, labels, 6)}
    for which, said in (("recall_a", a), ("recall_b", b)):
        expected = recall_score(labels, said.said.predicted, average=None)
        np.testing.assert_allclose([getattr(rows[k], which) for k in range(6)], expected)
    p_values = []
    for k in range(6):
        only_a, only_b = (int(np.sum((labels == k) & one.right & ~other.right)) for one, other in ((a, b), (b, a)))
        p_values.append(binomtest(only_a, only_a + only_b).pvalue)
        low, high = rows[k].difference_ci95
        assert low < rows[k].recall_a - rows[k].recall_b < high
    np.testing.assert_allclose([rows[k].mcnemar_p for k in range(6)], p_values)
    np.testing.assert_allclose([rows[k].holm_p for k in range(6)], holm(p_values))


def test_of_many_classes_those_of_the_smallest_p_are_kept_corrected_over_all() -> None:
    a, b, labels = two(6000, 200)
    rows = recall_differences(a, b, labels, 200)
    assert len(rows) == MOST_CLASSES
    least = min(rows, key=lambda row: row.mcnemar_p)
    assert least.holm_p == pytest.approx(min(1.0, 200 * least.mcnemar_p))


def test_pairs_are_those_of_the_run_and_new_ones_across_runs(tmp_path) -> None:
    one = write_folder(tmp_path / "one", page=False)
    two_runs = shown([one, write_folder(tmp_path / "two", findings(("gamma",)), page=False)])
    found = pairs_shown(two_runs)
    names = [m.name for m in two_runs.models]
    table = one.pairs.set_index(["model_a", "model_b"])
    inside = [pair for pair in found if pair.family != ACROSS]
    assert {(names[pair.a], names[pair.b]) for pair in inside} == set(table.index)
    for pair in inside:
        row = table.loc[names[pair.a], names[pair.b]]
        assert (pair.counts.only_a_right, pair.counts.only_b_right) == (row["only_a_right"], row["only_b_right"])
        assert len(pair.cells["only_a_right"]) == row["only_a_right"]
        assert (pair.holm_p, pair.verdict) == (row["holm_p"], row["verdict"])
    assert {names[pair.b] for pair in found if pair.family == ACROSS} == {"gamma"}
    assert len(found) == 3 + 3
