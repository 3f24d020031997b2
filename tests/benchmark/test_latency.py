from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from benchmark import latency
from benchmark.latency import configurations, run_experiment
from benchmark.latency_schedule import FEWEST_ROUNDS
from benchmark.latency_summary import MIN_SAMPLES, stability_note, summarise
from benchmark.latency_worker import SETTLE_WINDOW, settled, warm_up
from benchmark.sessions import CPU, Provider
from core.errors import UserError
from core.records import LatencySamples
from tests.tiny_models import write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def process(samples_ms, round_index: int = 0, model: str = "m", batch_size: int = 1) -> LatencySamples:
    samples = np.asarray(samples_ms, dtype=np.float64)
    return LatencySamples(model, CPU, batch_size, 1, "host-to-host", round_index, round_index, 10.0, 5.0, np.array([1.0]), samples)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models")
    models = [(name, write_tiny_model(folder / f"{name}.onnx", seed=seed)) for seed, name in enumerate("ab")]
    patch = pytest.MonkeyPatch()
    patch.setattr(latency, "SAMPLE_S", 0.05)
    wanted = configurations(models, [Provider(CPU, "cpu")], [1, 8], threads=1)
    run = run_experiment(wanted, IMAGES_U8, budget_s=0, seed=3)
    patch.undo()
    return wanted, run


def test_every_round_runs_every_configuration_once_in_a_process_of_its_own(experiment) -> None:
    wanted, run = experiment
    assert run.rounds == FEWEST_ROUNDS
    by_round = defaultdict(list)
    for samples in run.samples:
        by_round[samples.round].append((samples.model, samples.batch_size))
    assert all(sorted(order) == sorted((c.model, c.batch_size) for c in wanted) for order in by_round.values())
    assert [samples.process for samples in run.samples] == list(range(len(wanted) * run.rounds))


def test_the_order_is_random_and_repeats_with_its_seed(experiment) -> None:
    _, run = experiment
    orders = {tuple((s.model, s.batch_size) for s in run.samples if s.round == index) for index in range(run.rounds)}
    assert len(orders) > 1


def test_what_a_longer_budget_would_buy_is_said(experiment) -> None:
    _, run = experiment
    assert "more than the budget" in run.notes[0]
    assert "--time-budget" in run.notes[0]


def test_samples_load_and_warm_up_are_kept_apart(experiment) -> None:
    _, run = experiment
    for samples in run.samples:
        assert samples.provider == CPU
        assert samples.session_load_ms > 0
        assert samples.first_run_ms > 0
        assert len(samples.warmup_ms) >= 1
        assert len(samples.samples_ms) >= 3
        assert (samples.samples_ms > 0).all()


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    wanted = configurations([("x", tmp_path / "x.onnx")], [Provider(CPU, "cpu")], [1], threads=1)
    with pytest.raises(UserError, match=r"timing x on CPUExecutionProvider at batch 1 failed: ONNX Runtime cannot open"):
        run_experiment(wanted, IMAGES_U8, budget_s=0)


def test_warm_up_ends_when_the_running_median_settles() -> None:
    assert not settled([1.0] * (2 * SETTLE_WINDOW - 1))
    assert settled([1.0] * 2 * SETTLE_WINDOW)
    assert not settled([2.0] * SETTLE_WINDOW + [1.0] * SETTLE_WINDOW)
    assert settled([9.0] * 3 + [1.0] * 2 * SETTLE_WINDOW)
    assert len(warm_up(lambda: None, at_most_s=-1)) == 1


def test_p50_is_over_processes_not_over_calls() -> None:
    # One process with many fast calls must not outvote two slower ones
    (summary,) = summarise([process([1.0] * 1000), process([2.0] * 10), process([3.0] * 10)])
    assert summary.p50_ms == 2.0
    assert summary.n_processes == 3
    assert summary.p50_ci95 == (1.0, 3.0)


def test_tails_are_numpys_percentiles_of_all_calls_and_lie_in_their_intervals() -> None:
    random = np.random.default_rng(0)
    group = [process(random.lognormal(size=200)) for _ in range(6)]
    (summary,) = summarise(group)
    pooled = np.concatenate([samples.samples_ms for samples in group])
    for percentile, value in summary.tails_ms.items():
        assert value == pytest.approx(np.percentile(pooled, percentile))
        low, high = summary.tails_ci95[percentile]
        assert low <= value * 1.001
        assert value <= high * 1.001
    assert summary.missing == ""


@pytest.mark.parametrize(("percentile", "needed"), MIN_SAMPLES.items())
def test_a_tail_needs_as_many_samples_as_early_stopping_asks_for(percentile: int, needed: int) -> None:
    # LoadGen's rule: seeing at most one sample above the true percentile must be a 1 % event
    above = 1 - percentile / 100
    assert scipy.stats.binom.cdf(1, needed, above) <= 0.01 < scipy.stats.binom.cdf(1, needed - 1, above)
    (short,) = summarise([process([1.0] * (needed - 1))])
    assert np.isnan(short.tails_ms[percentile])
    assert f"p{percentile} needs {needed}" in short.missing
    (enough,) = summarise([process([1.0] * needed)])
    assert enough.tails_ms[percentile] == 1.0


def test_nothing_is_clipped() -> None:
    (summary,) = summarise([process([1.0] * 661 + [1e6]), process([1.0]), process([1.0])])
    assert summary.throughput_images_per_s == pytest.approx(664 / ((663 + 1e6) / 1000))


def test_processes_that_disagree_by_more_than_a_tenth_get_a_note() -> None:
    assert stability_note(np.array([1.0, 1.09])) == ""
    assert "spreads by 12%" in stability_note(np.array([1.0, 1.12, 1.05]))
