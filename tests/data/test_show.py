"""`python -m data show` as a person meets it."""

from __future__ import annotations

import csv
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image

from core.cli import USAGE
from core.environment import REPOSITORY
from data import open_dataset
from tests.commands import in_own_process, in_this_process


def run_data(*arguments: str, cwd: Path | None = None) -> CompletedProcess[str]:
    return in_this_process("data", *arguments, cwd=cwd or REPOSITORY, COLUMNS="120")


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_show_prints_counts_and_writes_tables_and_sheet(tmp_path: Path) -> None:
    done = in_own_process("data", "show", "digits", cwd=tmp_path, COLUMNS="120")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("note: ") for line in done.stderr.splitlines())
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name.endswith("-data-digits")
    assert str(folder.relative_to(tmp_path)) in done.stdout
    counts = rows(folder / "counts.csv")
    assert len(counts) == 30
    assert sum(int(row["n_images"]) for row in counts) == 1797
    dataset = open_dataset("digits")
    by_split = {row["split"]: row for row in rows(folder / "splits.csv")}
    assert by_split["train + validation"]["sha256"] == dataset.fingerprints()["train"]
    assert by_split["validation"]["sha256"] == dataset.split("validation").sha256
    for row in by_split.values():
        assert row["sha256"] in done.stdout
        assert (row["image_height"], row["image_width"]) == ("32", "32")
    with Image.open(folder / "contact_sheet.png") as image:
        image.verify()


def test_out_and_split_seed_are_heeded(tmp_path: Path) -> None:
    done = run_data("show", "digits", "--out", str(tmp_path / "here"), "--split-seed", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["here"]
    (folder,) = (tmp_path / "here").iterdir()
    assert folder.name.endswith("-data-digits")
    shown = {row["split"]: row["sha256"] for row in rows(folder / "splits.csv")}
    assert shown["validation"] == open_dataset("digits").split("validation", 5).sha256


def test_characters_that_no_font_has_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core import figures

    monkeypatch.setattr(figures, "_fonts", lambda: (figures._default_font(),))
    figures._font_with.cache_clear()
    for name in ("plain", "剪头发"):
        (tmp_path / "hair/test" / name).mkdir(parents=True)
        Image.new("RGB", (9, 7)).save(tmp_path / "hair/test" / name / "1.png")
    done = run_data("show", "hair", "--out", "here", cwd=tmp_path)
    figures._font_with.cache_clear()
    assert done.returncode == 0, done.stderr
    assert "no font here has 剪头发: boxes stand for them in plots" in done.stderr


def test_a_folder_without_train_is_shown_too(tmp_path: Path) -> None:
    for name in ("[red]", "b"):  # the brackets must not be taken for colours
        (tmp_path / "pets/test" / name).mkdir(parents=True)
        Image.new("RGB", (9, 7)).save(tmp_path / "pets/test" / name / "1.png")
    done = run_data("show", "pets", "--out", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[red]" in done.stdout
    assert "no train images" in done.stderr
    (folder,) = (tmp_path / "here").iterdir()
    assert {row["split"] for row in rows(folder / "counts.csv")} == {"test"}


@pytest.mark.parametrize(
    ("arguments", "told", "status"),
    [
        (["show", "nonsense"], "cifar10, cifar10.1, cifair10, digits", 1),
        (["show", "digits", "--split-seed", "-1"], "seed", USAGE),
        (["show", "digits", "--out", "file/below"], "--out", 1),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], told: str, status: int) -> None:
    (tmp_path / "file").write_text("")
    done = run_data(*arguments, cwd=tmp_path)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_names_of_other_bytes_and_of_several_lines_are_listed_as_one(tmp_path: Path) -> None:
    for split, n_images in (("train", 12), ("test", 2)):
        for label, name in enumerate(("blue", "red")):
            (tmp_path / "d" / split / name).mkdir(parents=True)
            for index in range(n_images):
                Image.new("RGB", (8, 8), (label, index, n_images)).save(tmp_path / "d" / split / name / f"{index}.png")
    (tmp_path / "d" / "test" / "red" / "=\x1b[31m\udce9\nerror: forged.png").write_bytes(b"x")
    done = run_data("show", "d", "--skip-damaged", "--out", "o\nresults: forged", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "forged" in done.stdout and "\nresults" not in done.stdout
    assert "=�[31m��error: forged.png\n" in done.stderr
    (folder,) = (tmp_path / "o\nresults: forged").iterdir()
    assert rows(folder / "damaged.csv") == [{"file": "d/test/red/=�[31m��error: forged.png", "reason": "not an image"}]
