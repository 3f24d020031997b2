"""The slider says, at every step, what the command says under that limit."""

import dataclasses

import pytest

from benchmark.report.advice import advice
from benchmark.report.html.contents.shown import shown
from benchmark.report.html.contents.speed import _three_digits_up, places
from tests.made_folder import write_folder


def test_each_step_says_what_a_run_with_that_limit_answers(tmp_path) -> None:
    run = write_folder(tmp_path, page=False)
    found = places(shown([run]))
    assert [place["batch_size"] for place in found] == [1, 32]
    for place in found:
        p50_ms = [point["p50_ms"] for point in place["points"]]
        assert place["limits"] == sorted(set(place["limits"]))
        assert place["limits"][0] < min(p50_ms)
        assert place["limits"][-1] > max(p50_ms)
        for limit, answer in list(zip(place["limits"], place["answers"], strict=True))[::4]:
            options = {**run.run["options"], "at_batch": place["batch_size"], "max_latency_ms": limit}
            asked = dataclasses.replace(run, run={**run.run, "options": options})
            (expected,) = advice(asked)
            assert expected.sentence.endswith(answer)


@pytest.mark.parametrize(("value", "rounded"), [(5.678, 5.68), (5.68, 5.68), (0.012341, 0.0124), (1234.0, 1240.0), (99.95, 100.0)])
def test_limits_are_never_below_the_latency_they_admit(value: float, rounded: float) -> None:
    assert _three_digits_up(value) == pytest.approx(rounded)


def test_each_process_has_its_median(tmp_path) -> None:
    run = write_folder(tmp_path, page=False)
    samples = run.latency_samples[run.latency_samples["phase"] == "timed"]
    medians = samples.groupby(["batch_size", "model", "process"])["latency_ms"].median()
    for place in places(shown([run])):
        assert len(place["processes"]) == 3 * 8
        for process in place["processes"]:
            assert process["p50_ms"] == pytest.approx(medians[place["batch_size"], process["model"], process["round"]])
