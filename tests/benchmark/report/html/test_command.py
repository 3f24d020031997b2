"""A benchmark leaves a page and says where; without one, or with one that fails, nothing else is missing."""

from pathlib import Path

import pytest

from benchmark import run as runs
from benchmark.report.html.page import PAGE_FILE
from data import open_dataset
from tests.commands import in_this_process, packages_imported_for
from tests.made_folder import write_folder
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    model = write_tiny_model(tmp_path_factory.mktemp("models") / "a.onnx", temperature=20.0, **common)
    return ["--models", str(model), "--data", "digits", "--time-budget", "0", "--limit", "50"]


def test_a_run_leaves_a_page_and_says_where(arguments, tmp_path: Path) -> None:
    done = in_this_process("benchmark", *arguments, "--out", tmp_path)
    (folder,) = tmp_path.iterdir()
    assert (done.returncode, done.stdout.splitlines()[-3:-1]) == (0, [f"results: {folder}", f"report: {folder / PAGE_FILE}"])
    assert "1 model on digits test" in (folder / PAGE_FILE).read_text(encoding="utf-8")


def test_no_report_leaves_it_out(arguments, tmp_path: Path) -> None:
    done = in_this_process("benchmark", *arguments, "--no-report", "--out", tmp_path)
    (folder,) = tmp_path.iterdir()
    assert done.stdout.splitlines()[-2] == f"results: {folder}"
    assert not (folder / PAGE_FILE).exists()
    again = in_this_process("benchmark", "report", folder)
    assert (again.returncode, again.stdout) == (0, f"report: {folder / PAGE_FILE}\n")


def test_a_page_that_fails_costs_no_figure(arguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no room")

    monkeypatch.setattr(runs, "write_run_page", fail)
    done = in_this_process("benchmark", *arguments, "--out", tmp_path)
    (folder,) = tmp_path.iterdir()
    assert done.returncode == 0
    assert "report.html could not be made (no room)" in done.stderr
    assert (folder / "comparison.csv").exists()


def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path) -> None:
    done = in_this_process("benchmark", "report", tmp_path)
    assert done.returncode == 1
    assert "is not a valid benchmark run" in done.stderr
    assert done.stderr.count("\n") == 1


def test_only_a_page_of_its_own_is_replaced_without_force(tmp_path: Path) -> None:
    run, out = write_folder(tmp_path / "results").folder, write_tiny_model(tmp_path / "model.onnx")
    kept = out.read_bytes()
    for arguments in ((run,), (tmp_path / "absent",)):  # the second: before the runs are read
        done = in_this_process("benchmark", "report", *arguments, "--out", out)
        why = f"{out} is there already and is no page of this program; add --force to replace it, or name another file with --out"
        assert (done.returncode, done.stderr) == (1, f"error: {why}\n")
    assert out.read_bytes() == kept
    assert in_this_process("benchmark", "report", run, "--out", out, "--force").returncode == 0
    page = out.read_bytes()
    out.write_bytes(page[:1000])
    assert in_this_process("benchmark", "report", run, "--out", out).returncode == 0
    assert out.read_bytes() == page
    assert in_this_process("benchmark", "report", run).returncode == 0  # over the page that the run itself left


def test_help_imports_nothing() -> None:
    printed, imported = packages_imported_for("benchmark", "report", "--help")
    assert "--out FILE" in printed
    assert imported == set()
