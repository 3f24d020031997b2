import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import scipy.stats

from benchmark.latency import selfcheck
from benchmark.latency.pairs import ALPHA, NO_DIFFERENCE, SLOWER, LatencyPair
from benchmark.latency.selfcheck import COPY, SLOWED, believable, compare_files, compare_with_copies, main, slowed
from core.errors import UserError
from models.graph.contract import load_model, save_model
from tests.planted_machine import PlantedMachine
from tests.tiny_models import write_tiny_model

IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def test_planted_work_changes_no_output(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.onnx", image_height=32, image_width=32)
    model, card = load_model(path)
    save_model(slowed(model, 5), card, tmp_path / "b.onnx")
    outputs = []
    for name in ("a", "b"):
        session = onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        outputs.append(session.run(["logits", "probabilities"], {"images": IMAGES_U8}))
    np.testing.assert_array_equal(outputs[0], outputs[1])


def planted_pairs(monkeypatch, by: float, n: int, n_rounds: int, noise: float) -> list[LatencyPair]:
    """Comparisons of a file with one that is slower by `by`, on a machine that drifts and favours places within a round."""
    machine = PlantedMachine(
        {"copy": 0.01 * (1 + by), "model": 0.01},
        noise=noise,
        drift=lambda clock_s: 1 + 0.1 * math.sin(clock_s / 7),
        places=(1.0, 1.05),
    ).install(monkeypatch)
    files = [(name, Path(f"{name}.onnx")) for name in ("copy", "model")]
    assert list(machine.call_s) == [name for name, _ in files]
    return [compare_files(*files, IMAGES_U8[:1, :2, :2], n_rounds, seed, threads=1) for seed in range(n)]


@pytest.mark.parametrize(("n_rounds", "n"), [(8, 250), (12, 120)])
def test_false_alarms_on_copies_are_no_more_than_the_test_claims(monkeypatch, n_rounds: int, n: int) -> None:
    """Experiments as the command makes them, schedule and all; more false ones than this are a 1 in 10,000 event at 1 %."""
    verdicts = [pair.verdict for pair in planted_pairs(monkeypatch, 0.0, n, n_rounds, noise=0.04)]
    n_false = len(verdicts) - verdicts.count(NO_DIFFERENCE)
    assert n_false <= scipy.stats.binom.isf(1e-4, len(verdicts), ALPHA)


def test_a_fixed_order_within_rounds_would_be_found_out(monkeypatch) -> None:
    """The law above can fail: without the shuffle, what a place within a round costs is taken for the model's."""
    monkeypatch.setattr("random.Random.shuffle", lambda _self, _values: None)
    verdicts = [pair.verdict for pair in planted_pairs(monkeypatch, 0.0, 20, 12, noise=0.01)]
    assert verdicts.count(NO_DIFFERENCE) < 10


def test_a_tenth_more_is_found_in_nearly_every_experiment_of_twenty_rounds(monkeypatch) -> None:
    verdicts = [pair.verdict for pair in planted_pairs(monkeypatch, 0.1, 60, 20, noise=0.03)]
    assert verdicts.count(SLOWER) >= 57


def test_the_slowdown_is_calibrated_to_what_was_asked_for(tmp_path: Path, monkeypatch) -> None:
    """On a machine where a planted product takes 0.2 % of the model's time, 50 of them are a tenth."""
    path = write_tiny_model(tmp_path / "a.onnx")
    machine = PlantedMachine({"plain": 0.01, "probe": 0.01, "model": 0.01, COPY: 0.01, SLOWED: 0.01}, noise=0.005).install(
        monkeypatch
    )

    def slowed_on_this_machine(model, n_products: int):
        machine.call_s["probe"] = machine.call_s[SLOWED] = 0.01 * (1 + 0.002 * n_products)
        return slowed(model, 1)

    monkeypatch.setattr(selfcheck, "slowed", slowed_on_this_machine)
    pairs, n_products = compare_with_copies(path, n_same=3, n_slowed=3, by=0.1, n_rounds=12)
    assert n_products == pytest.approx(50, abs=5)
    assert [pair.model_a for pair in pairs] == [COPY] * 3 + [SLOWED] * 3
    assert all(pair.ratio == pytest.approx(1.1, rel=0.02) for pair in pairs[3:])
    assert {pair.verdict for pair in pairs[3:]} == {SLOWER}


@pytest.mark.parametrize("n_copies", [1, 10, 40, 200])
def test_chance_alone_is_seldom_taken_for_a_fault(n_copies: int) -> None:
    """Verdicts that are false with exactly 1 % are believed in 99 % of all runs; ones that are false with 20 % hardly ever."""
    counts = np.arange(n_copies + 1)
    believed = np.array([believable(int(n_false), n_copies, 0, 0) for n_false in counts])
    assert scipy.stats.binom.pmf(counts, n_copies, ALPHA)[believed].sum() >= 0.99
    assert believed[0]
    if n_copies >= 40:
        assert scipy.stats.binom.pmf(counts, n_copies, 0.2)[believed].sum() < 0.02
    assert believable(0, n_copies, 19, 20)
    assert not believable(0, n_copies, 18, 20)


@pytest.mark.parametrize("flag", ["--rounds=7", "--threads=0", "--by=0", "--same=-1", "--slowed=-1"])
def test_numbers_that_no_verdict_can_come_of_are_refused_before_anything_is_timed(flag: str) -> None:
    with pytest.raises(UserError, match=rf"--rounds must be 8 or more|argument {flag.partition('=')[0]}: .* is not a"):
        main(["a.onnx", flag])
