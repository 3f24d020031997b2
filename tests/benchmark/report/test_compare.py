"""Two stored runs made by hand, so that what changed between them is known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmark.report import compare
from benchmark.report.changes import CANNOT_TELL, IMPROVED, NO_CHANGE, REGRESSED, accuracy_changes, judge, latency_changes
from benchmark.report.compare import main
from benchmark.report.tables import SAMPLES_COLUMNS, read_csv
from benchmark.results import read_results
from core.errors import UserError
from tests.commands import arrays_of

N_IMAGES, N_CLASSES = 400, 4
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, N_CLASSES, N_IMAGES)
MACHINE = {"cpu": "a cpu", "cpu_flags": ["avx2"], "cores_available": 2}


def logits(share_right: float) -> np.ndarray:
    """Logits that are right on the first `share_right` of the images and wrong on the rest."""
    right = np.arange(N_IMAGES) < share_right * N_IMAGES
    predicted = np.where(right, LABELS, (LABELS + 1) % N_CLASSES)
    return (2 * np.eye(N_CLASSES)[predicted]).astype(np.float32)


def write_run(
    folder: Path,
    models: dict[str, float],
    p50_ms: float = 5.0,
    sha256: str = "0" * 64,
    machine: dict | None = None,
    seed: int = 0,
    n_processes: int = 10,
) -> Path:
    (folder / "predictions").mkdir(parents=True)
    random = np.random.default_rng(seed)
    rows, comparison = [], []
    for name, share in models.items():
        np.savez(folder / "predictions" / f"{name}.npz", logits=logits(share), labels=LABELS)
        comparison.append({"model": name, "kind": "single", "members": ""})
        for process in range(n_processes):
            middle = p50_ms * np.exp(random.normal(0, 0.01))
            place = (name, "CPUExecutionProvider", 1, 2, "host-to-host", process, process)
            rows += [(*place, "first", 0, 50.0), *((*place, "timed", call, middle) for call in range(5))]
    if len(models) > 1:
        comparison.append({"model": "+".join(models), "kind": "ensemble", "members": " ".join(models)})
    pd.DataFrame(rows, columns=list(SAMPLES_COLUMNS)).to_csv(folder / "latency_samples.csv.gz", index=False)
    pd.DataFrame(comparison).to_csv(folder / "comparison.csv", index=False)
    facts = {
        "what": "benchmark",
        "models": [{"name": name} for name in models],
        "dataset": {"name": "digits", "split": "test", "sha256": sha256, "class_names": [str(i) for i in range(N_CLASSES)]},
        "environment": machine or MACHINE,
        "providers": [{"name": "CPUExecutionProvider", "device_name": "a cpu"}],
        "threads": 2,
    }
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


def verdicts(old: Path, new: Path) -> dict[tuple[str, str], str]:
    was, is_now = read_results(old), read_results(new)
    changes = [*accuracy_changes(was, is_now), *latency_changes(was, is_now)]
    return {(change.model, change.metric): verdict for change, (_, verdict) in zip(changes, judge(changes), strict=True)}


def test_a_run_against_itself_has_not_changed(tmp_path) -> None:
    run = write_run(tmp_path / "a", {"m": 0.8, "n": 0.7})
    assert set(verdicts(run, run).values()) == {NO_CHANGE}


def test_what_changed_is_said_and_which_way(tmp_path) -> None:
    old = write_run(tmp_path / "old", {"up": 0.7, "down": 0.8, "same": 0.8})
    new = write_run(tmp_path / "new", {"up": 0.8, "down": 0.7, "same": 0.8}, seed=1)
    found = verdicts(old, new)
    assert found["up", "top1_accuracy"] == found["up", "nll"] == IMPROVED
    assert found["down", "top1_accuracy"] == found["down", "nll"] == REGRESSED
    assert found["same", "top1_accuracy"] == found["same", "nll"] == found["same", "latency_p50_ms"] == NO_CHANGE


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, REGRESSED), (0.8, IMPROVED), (1.02, NO_CHANGE), (0.98, NO_CHANGE)])
def test_latency_must_move_by_more_than_a_machine_drifts(tmp_path, factor: float, verdict: str) -> None:
    old, new = write_run(tmp_path / "old", {"m": 0.8}), write_run(tmp_path / "new", {"m": 0.8}, 5.0 * factor, seed=1)
    assert verdicts(old, new)["m", "latency_p50_ms"] == verdict


def test_an_ensemble_is_compared_from_its_members_predictions(tmp_path) -> None:
    old = write_run(tmp_path / "old", {"m": 0.7, "n": 0.7})
    new = write_run(tmp_path / "new", {"m": 0.8, "n": 0.8}, seed=1)
    assert verdicts(old, new)["m+n", "top1_accuracy"] == IMPROVED


def test_latencies_of_two_machines_are_not_compared(tmp_path, capsys) -> None:
    old = write_run(tmp_path / "old", {"m": 0.8})
    new = write_run(tmp_path / "new", {"m": 0.8}, 50.0, machine={**MACHINE, "cpu": "another cpu"})
    assert main([str(old), str(new), "--fail-on-regression"]) == 0
    printed = capsys.readouterr().out
    assert "latencies, for the machines differ (processor: a cpu and another cpu)" in printed
    assert "latency_p50_ms" not in printed


def test_accuracies_on_two_data_sets_are_not_compared(tmp_path, capsys) -> None:
    old, new = write_run(tmp_path / "old", {"m": 0.8}), write_run(tmp_path / "new", {"m": 0.5}, sha256="1" * 64, seed=1)
    assert main([str(old), str(new), "--fail-on-regression"]) == 0
    printed = capsys.readouterr().out
    assert "accuracies, for the images differ" in printed
    assert "top1_accuracy" not in printed


def test_where_nothing_can_be_compared_it_says_why(tmp_path) -> None:
    old = write_run(tmp_path / "old", {"m": 0.8})
    new = write_run(tmp_path / "new", {"m": 0.8}, sha256="1" * 64, machine={**MACHINE, "cores_available": 4})
    with pytest.raises(UserError, match=r"nothing can be compared: accuracies, .*; latencies, .*cores: 2 and 4"):
        main([str(old), str(new)])
    with pytest.raises(UserError, match="no model in common"):
        main([str(old), str(write_run(tmp_path / "other", {"z": 0.8}))])


def test_a_regression_can_stop_a_pipeline(tmp_path) -> None:
    old, new = write_run(tmp_path / "old", {"m": 0.8}), write_run(tmp_path / "new", {"m": 0.7}, seed=1)
    assert main([str(old), str(new)]) == 0
    assert main([str(old), str(new), "--fail-on-regression"]) == 3
    assert main([str(new), str(old), "--fail-on-regression"]) == 0


def test_the_table_is_written_as_csv(tmp_path) -> None:
    old, new = write_run(tmp_path / "old", {"m": 0.8}), write_run(tmp_path / "new", {"m": 0.7}, seed=1)
    main([str(old), str(new), "--out", str(tmp_path / "changes.csv")])
    frame = pd.read_csv(tmp_path / "changes.csv").set_index("metric")
    assert frame.loc["top1_accuracy", "change"] == pytest.approx(-0.1)
    assert frame.loc["top1_accuracy", "verdict"] == REGRESSED
    assert frame.loc["latency_p50_ms", "batch_size"] == 1


def test_what_is_no_table_is_replaced_only_by_force(tmp_path) -> None:
    run, out = write_run(tmp_path / "a", {"m": 0.8}), tmp_path / "notes.csv"
    out.write_text("model,metric\n")
    refused = f"{out} is there already and is no table of this command; add --force to replace it, or name another file with --out"
    with pytest.raises(UserError) as caught:
        main([str(tmp_path / "absent"), str(run), "--out", str(out)])  # before the runs are read
    assert str(caught.value) == refused
    assert out.read_text() == "model,metric\n"
    with pytest.raises(UserError, match="is a folder, not a file; name another file with --out"):
        main([str(run), str(run), "--out", str(tmp_path), "--force"])
    assert main([str(run), str(run), "--out", str(out), "--force"]) == 0


def test_a_table_is_replaced_only_by_the_same_without_force(tmp_path, monkeypatch) -> None:
    old, new = write_run(tmp_path / "old", {"m": 0.8}), write_run(tmp_path / "new", {"m": 0.7}, seed=1)
    out, late = tmp_path / "changes.csv", tmp_path / "late.csv"
    why = "is there already and is the table of other runs, or of another version; add --force to replace it, or name another file"
    assert main([str(old), str(new), "--out", str(out)]) == 0
    assert main([str(old), str(new), "--out", str(out)]) == 0
    table = out.read_bytes()
    with pytest.raises(UserError, match=f"{out} {why} with --out"):
        main([str(new), str(old), "--out", str(out)])
    assert out.read_bytes() == table

    def slowly(*runs: Path) -> compare.Comparison:
        late.write_bytes(table)  # by a command that began later and was quicker
        return whole(*runs)

    whole = compare.compare
    monkeypatch.setattr(compare, "compare", slowly)
    with pytest.raises(UserError, match=f"{late} {why}"):
        main([str(new), str(old), "--out", str(late)])
    assert late.read_bytes() == table
    assert main([str(new), str(old), "--out", str(late), "--force"]) == 0
    assert late.read_bytes() != table


@pytest.mark.parametrize("missing", ["run.json", "comparison.csv", "latency_samples.csv.gz", "predictions/m.npz"])
def test_a_folder_that_is_no_whole_run_is_refused(tmp_path, missing: str) -> None:
    run = write_run(tmp_path / "a", {"m": 0.8})
    (run / missing).unlink()
    with pytest.raises(UserError, match="not a valid benchmark run"):
        read_results(run)


def test_a_run_of_another_kind_is_refused(tmp_path) -> None:
    (tmp_path / "run.json").write_text('{"what": "train-torch"}')
    with pytest.raises(UserError, match="a run of another kind"):
        read_results(tmp_path)


def test_too_few_processes_cannot_tell_and_say_so(tmp_path, capsys) -> None:
    """Three against three: the rank test's smallest p is 0.1, even where one run is ten times as slow as the other."""
    old = write_run(tmp_path / "old", {"m": 0.8}, n_processes=3)
    new = write_run(tmp_path / "new", {"m": 0.8}, 50.0, seed=1, n_processes=3)
    assert verdicts(old, new)["m", "latency_p50_ms"] == CANNOT_TELL
    assert main([str(old), str(new), "--fail-on-regression"]) == 0
    assert "latencies at batch 1: 3 and 3 processes cannot tell; benchmark with a longer --time-budget" in capsys.readouterr().out


@pytest.mark.parametrize("n_processes", [3, 4, 5, 6, 8])
@pytest.mark.parametrize("n_models", [1, 4])
def test_a_change_that_can_tell_is_found_and_one_that_cannot_is_named(tmp_path, n_processes: int, n_models: int) -> None:
    models = {f"m{i}": 0.8 for i in range(n_models)}
    old = write_run(tmp_path / "old", models, n_processes=n_processes)
    new = write_run(tmp_path / "new", models, 50.0, seed=1, n_processes=n_processes)
    least_p = scipy.stats.mannwhitneyu(range(n_processes), range(100, 100 + n_processes)).pvalue
    expected = REGRESSED if least_p * n_models < 0.01 else CANNOT_TELL
    found = verdicts(old, new)
    assert {found[name, "latency_p50_ms"] for name in models} == {expected}


def test_a_model_whose_name_has_a_space_is_compared_like_any_other(tmp_path) -> None:
    folders = []
    for name, share in (("old", 0.7), ("new", 0.8)):
        folder = write_run(tmp_path / name, {"my model": share, "n": share}, seed=len(folders))
        facts = json.loads((folder / "run.json").read_text())
        rule = {
            "name": "my model+n",
            "members": ["my model", "n"],
            "rule": "mean",
            "weights": [0.5, 0.5],
            "temperatures": [1.0, 1.0],
        }
        (folder / "run.json").write_text(json.dumps({**facts, "ensembles": [rule]}))
        folders.append(folder)
    assert verdicts(*folders)["my model+n", "top1_accuracy"] == IMPROVED


@pytest.mark.parametrize("name", ["0", "1e5", "None", "nan", "NA", "resnet[int8]", "[bold]"])
def test_models_keep_their_names_whatever_these_look_like(tmp_path, capsys, name: str) -> None:
    old, new = write_run(tmp_path / "old", {name: 0.8}), write_run(tmp_path / "new", {name: 0.7}, seed=1)
    assert main([str(old), str(new), "--out", str(tmp_path / "changes.csv")]) == 0
    printed = capsys.readouterr().out
    assert f"\u2502 {name} " in printed
    assert "latency_p50_ms" in printed
    assert set(read_csv(tmp_path / "changes.csv")["model"]) == {name}


def test_an_unchanged_model_is_not_certain_to_be_unchanged(tmp_path, capsys) -> None:
    run = write_run(tmp_path / "a", {"m": 0.8})
    changes = {change.metric: change for change in accuracy_changes(read_results(run), read_results(run))}
    low, high = changes["top1_accuracy"].change_ci95
    assert low < 0 < high
    assert np.isnan(changes["nll"].change_ci95).all()
    main([str(run), str(run)])
    printed = capsys.readouterr().out
    assert "-0.0000" not in printed
    assert "nan" not in printed


def test_models_that_only_one_run_has_are_named(tmp_path, capsys) -> None:
    old = write_run(tmp_path / "old", {"m": 0.8, "gone": 0.7})
    new = write_run(tmp_path / "new", {"m": 0.8, "fresh": 0.6, "more": 0.6})
    main([str(old), str(new)])
    lines = capsys.readouterr().out.splitlines()
    assert f"not compared: gone, m+gone: only {old} has them" in lines
    assert f"not compared: fresh, more, m+fresh+more: only {new} has them" in lines


@pytest.mark.parametrize("columns", ["80", "100", "120"])
@pytest.mark.parametrize("models", [("m", "n"), ("resnet18_cifar10_tf_int8", "resnet18_cifar10_torch_int8")])
def test_the_table_keeps_to_the_width_there_is(tmp_path, capsys, monkeypatch, columns: str, models: tuple[str, ...]) -> None:
    write_run(tmp_path / "old", dict.fromkeys(models, 0.8))
    write_run(tmp_path / "new", dict.fromkeys(models, 0.7), 9.0, seed=1)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.chdir(tmp_path)
    main(["old", "new"])
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines() if line[:1] in "┏┃┡│├└") <= int(columns)
    for name in models:
        assert name in printed
    assert "regressed" in printed


def test_what_few_images_or_noisy_processes_leave_open_is_called_so(tmp_path) -> None:
    old, new = (write_run(tmp_path / name, {"m": 0.8}, seed=seed) for seed, name in enumerate(("old", "new")))
    for folder, shift in ((old, 0), (new, 1)):
        kept = arrays_of(folder / "predictions" / "m.npz")
        chosen = {"logits": kept["logits"][:40].copy(), "labels": kept["labels"][:40].copy()}
        chosen["logits"][shift] = np.roll(chosen["logits"][shift], 1)
        np.savez(folder / "predictions" / "m.npz", **chosen)
    assert verdicts(old, new)["m", "top1_accuracy"] == CANNOT_TELL
