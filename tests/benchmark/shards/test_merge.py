"""What shards are merged into is what one run over all images leaves, to the last bit; what does not belong together is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark import evaluate, read_results
from benchmark.command import main
from benchmark.shards.plan import shard_file
from core.errors import UserError

TABLES = ("comparison.csv", "per_class.csv", "confusion.csv", "pairs.csv", "ensembles.csv", "latency.csv", "costs.csv")


def predict(models: list[Path], data: Path, out: Path, *more: object) -> None:
    main(["predict", *map(str, models), "--data", str(data), "--out", str(out), *map(str, more)])


def predict_all(models: list[Path], data: Path, out: Path, n_shards: int, *more: object) -> None:
    for shard in range(n_shards):
        predict(models, data, out, "--shard", f"{shard + 1}/{n_shards}", *more)


def merged(out: Path, into: Path, *more: object) -> Path:
    main(["merge", str(out), "--out", str(into), *map(str, more)])
    (folder,) = into.iterdir()
    return folder


@pytest.mark.parametrize("kind", ["tars", "folder", "named"])
def test_merged_tables_are_those_of_one_run_to_the_bit(kind, models, request, tmp_path, capsys, tmp_path_factory) -> None:
    if kind == "named":
        from data import open_dataset
        from tests.tiny_models import write_tiny_model

        data, names = "digits", open_dataset("digits").class_names
        sized = {"image_height": 32, "image_width": 32, "class_names": names}
        models = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, **sized) for seed, name in enumerate("ab")]
    else:
        data = request.getfixturevalue(kind)
    one = evaluate(models, data=data, ensemble="mean", time_budget_s=0, out=tmp_path / "one", report=False)
    for shard in ("2/3", "3/3", "1/3"):
        predict(models, data, tmp_path / "shards", "--shard", shard)
    folder = merged(tmp_path / "shards", tmp_path / "merged", "--ensemble", "mean")
    for name in TABLES:
        assert (folder / name).read_bytes() == (one.folder / name).read_bytes(), name
    results = read_results(folder)
    assert [note for note in one.notes if note not in results.notes and "also training images" not in note] == []
    assert results.answers == one.answers
    assert results.dataset_sha256 == one.dataset_sha256
    for name, (logits, labels) in one.predictions.items():
        assert np.array_equal(results.predictions[name].logits, logits)
        assert np.array_equal(results.predictions[name].labels, labels)
    assert "next: python -m benchmark merge" in capsys.readouterr().out


def test_part_of_the_images(models, folder, tmp_path) -> None:
    one = evaluate(models, data=folder, time_budget_s=0, out=tmp_path / "one", report=False, limit=200, seed=3)
    predict_all(models, folder, tmp_path / "shards", 2, "--limit", 200, "--seed", 3)
    found = merged(tmp_path / "shards", tmp_path / "merged")
    assert (found / "comparison.csv").read_bytes() == (one.folder / "comparison.csv").read_bytes()


def test_shards_that_are_missing_are_named(models, tars, tmp_path) -> None:
    predict(models, tars, tmp_path / "shards", "--shard", "2/3")
    with pytest.raises(UserError, match=r"lacks 2 of 3 shards: 1/3, 3/3; make them with .* --shard 1/3 --out"):
        merged(tmp_path / "shards", tmp_path / "merged")
    with pytest.raises(UserError, match="holds no shards"):
        merged(tmp_path, tmp_path / "merged")


def test_a_shard_of_another_evaluation_is_refused(models, tars, tmp_path) -> None:
    predict_all(models, tars, tmp_path / "both", 3)
    predict_all(models[:1], tars, tmp_path / "one", 3)
    shutil.copy(shard_file(tmp_path / "one", 1, 3), shard_file(tmp_path / "both", 1, 3))
    with pytest.raises(UserError, match=r"shard-2-of-3\.npz is a shard of another evaluation; .* predict 2/3 again"):
        merged(tmp_path / "both", tmp_path / "merged")
    shard_file(tmp_path / "both", 1, 3).write_bytes(b"PK")
    with pytest.raises(UserError, match=r"shard-2-of-3\.npz is not a valid shard"):
        merged(tmp_path / "both", tmp_path / "merged")


def _changed(path: Path, change: str) -> None:
    with np.load(path) as held:
        arrays = dict(held)
    logits = arrays["logits_0"]
    if change == "bomb":
        arrays["more"] = np.zeros(2 * 10**8, np.uint8)
        np.savez_compressed(path, **arrays)
        return
    changed = {"nan": logits * np.nan, "few": logits[:3], "one row": logits[:1], "wide": logits[:, :1], "text": np.array("a"),
               "float64": logits.astype(np.float64)}  # fmt: skip
    if change in changed:
        arrays["logits_0"] = changed[change]
    else:
        del arrays[change]
    np.savez(path, **arrays)


@pytest.mark.parametrize("change", ["nan", "few", "one row", "wide", "text", "float64", "bomb", "logits_1", "images_sha256"])
def test_a_hostile_shard_is_named(change, models, tars, tmp_path) -> None:
    """One row would be broadcast over all images, and be scored."""
    predict_all(models, tars, tmp_path / "shards", 3)
    _changed(shard_file(tmp_path / "shards", 1, 3), change)
    with pytest.raises(UserError, match=r"shard-2-of-3\.npz is not a valid shard \(.*\); remove it") as error:
        merged(tmp_path / "shards", tmp_path / "merged")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "merged").exists()


def test_images_that_changed_under_their_names_are_refused(models, folder, tmp_path) -> None:
    """Same names, same labels, same number of bytes: only the pixels tell."""
    data = shutil.copytree(folder, tmp_path / "tars")
    predict_all(models, data, tmp_path / "shards", 3)
    victim, other = sorted((data / "owl").iterdir())[-2:]
    pixels = other.read_bytes()
    if len(pixels) == len(victim.read_bytes()):
        victim.write_bytes(pixels)
    else:
        pytest.fail("pictures of noise have one length")
    with pytest.raises(UserError, match="images of shard 3 of 3 are not those that it was predicted on"):
        merged(tmp_path / "shards", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    without = merged(tmp_path / "shards", tmp_path / "merged", "--no-fingerprint")
    assert len(read_results(without).dataset_sha256) == 64


def test_models_and_images_that_moved_are_named(models, tars, tmp_path) -> None:
    moved = [Path(shutil.copy(path, tmp_path / path.name)) for path in models]
    data = shutil.copytree(tars, tmp_path / "tars")
    predict(moved, data, tmp_path / "shards")
    for path in moved:
        path.unlink()
    shutil.rmtree(data)
    with pytest.raises(UserError, match=r"a\.onnx"):
        merged(tmp_path / "shards", tmp_path / "merged")
    merged(tmp_path / "shards", tmp_path / "merged", "--models", *models, "--data", tars)
