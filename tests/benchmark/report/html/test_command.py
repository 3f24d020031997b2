"""A benchmark leaves a page and says where; without one, or with one that fails, nothing else is missing."""

from pathlib import Path

import pytest

from benchmark import run as runs
from benchmark.report.html import page as page_module
from benchmark.report.html.page import PAGE_FILE
from data import open_dataset
from tests.commands import in_this_process, packages_imported_for
from tests.made_folder import findings, write_folder
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


def test_what_is_no_page_is_replaced_only_by_force(tmp_path: Path) -> None:
    run, out = write_folder(tmp_path / "results").folder, write_tiny_model(tmp_path / "model.onnx")
    kept = out.read_bytes()
    for arguments in ((run,), (tmp_path / "absent",)):  # the second: before the runs are read
        done = in_this_process("benchmark", "report", *arguments, "--out", out)
        why = f"{out} is there already and is no page of this program; add --force to replace it, or name another file with --out"
        assert (done.returncode, done.stderr) == (1, f"error: {why}\n")
    assert out.read_bytes() == kept
    assert in_this_process("benchmark", "report", run, "--out", out, "--force").returncode == 0


def test_a_page_is_replaced_only_by_the_same_without_force(tmp_path: Path) -> None:
    run, other = (write_folder(tmp_path / name, found).folder for name, found in (("a", None), ("b", findings(("gamma", "delta")))))
    own, out = run / PAGE_FILE, tmp_path / "page.html"
    report = ("benchmark", "report")
    assert in_this_process(*report, other, "--out", out).returncode == 0
    assert in_this_process(*report, other, "--out", out).returncode == 0
    for page in (out, other / PAGE_FILE):
        kept = page.read_bytes()
        done = in_this_process(*report, run, "--out", page)
        why = "is the page of other runs, or of another version; add --force to replace it, or name another file with --out"
        assert (done.returncode, done.stderr) == (1, f"error: {page} is there already and {why}\n")
        assert page.read_bytes() == kept
    assert in_this_process(*report, run, "--out", out, "--force").returncode == 0
    whole = own.read_bytes()
    own.write_bytes(whole[:1000])  # as an older version wrote it, say
    assert in_this_process(*report, run).returncode == 0
    assert own.read_bytes() == whole == out.read_bytes()


def test_of_two_commands_that_write_one_page_the_second_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, out = write_folder(tmp_path / "results").folder, tmp_path / "page.html"
    whole, others = page_module.page, whole_page("b", tmp_path)

    def slowly(runs: object) -> str:
        out.write_bytes(others)  # by a command that began later and was quicker
        return whole(runs)  # type: ignore[arg-type]

    monkeypatch.setattr(page_module, "page", slowly)
    done = in_this_process("benchmark", "report", run, "--out", out)
    assert done.returncode == 1
    assert "is the page of other runs, or of another version" in done.stderr
    assert out.read_bytes() == others


def whole_page(name: str, folder: Path) -> bytes:
    """The page of a run of other models."""
    return (write_folder(folder / name, findings(("gamma", "delta"))).folder / PAGE_FILE).read_bytes()


def test_help_imports_nothing() -> None:
    printed, imported = packages_imported_for("benchmark", "report", "--help")
    assert "--out FILE" in printed
    assert imported == set()
