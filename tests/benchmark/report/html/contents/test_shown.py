"""Which models a page shows, and what they say of each image."""

import numpy as np

from benchmark.report.html.contents.shown import MOST_MODELS, said, shown
from benchmark.results import Predicted
from core.records import softmax
from tests.made_folder import findings, write_folder


def test_what_is_said_is_the_softmax_whole_or_in_slices() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 2, (20_000, 3)).astype(np.float32), random.integers(0, 3, 20_000)
    found, probabilities = said(Predicted(logits, labels)), softmax(logits)
    np.testing.assert_array_equal(found.predicted, probabilities.argmax(axis=1))
    np.testing.assert_allclose(found.confidence, probabilities.max(axis=1))
    np.testing.assert_allclose(found.of_truth, probabilities[np.arange(20_000), labels])


def test_models_of_two_runs_are_told_apart(tmp_path) -> None:
    runs = [write_folder(tmp_path / name, page=False) for name in ("one", "two")]
    seen = shown(runs)
    assert len({model.shown_as for model in seen.models}) == 6
    assert [model.run for model in seen.models] == [0, 0, 0, 1, 1, 1]


def test_no_more_models_are_shown_than_there_is_room_for(tmp_path) -> None:
    run = write_folder(tmp_path, findings(("a", "b", "c", "d", "e", "f")), page=False)
    seen = shown([run])
    assert len(seen.models) == MOST_MODELS
    assert [model.name for model in seen.models[:6]] == ["a", "b", "c", "d", "e", "f"]
    assert seen.n_left_out == 6 + 15 - MOST_MODELS
