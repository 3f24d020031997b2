"""What shards are merged into is what one run over all images leaves, to the last bit; what does not belong together is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark import evaluate, read_results
from benchmark.command import main
from benchmark.ensembles import N_FUSION_IMAGES
from benchmark.images import drawn
from benchmark.report.html.contents.pictures import kept_pictures
from benchmark.shards.plan import shard_file
from core.errors import UserError
from data import open_dataset
from data.reading import Reading
from data.stream import decoding
from ensemble.rules.registry import RULES
from tests.commands import arrays_of
from tests.packed_images import write_folder

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


EVERY_RULE = [*RULES]


@pytest.mark.parametrize("limit", [(), ("--limit", 1100, "--seed", 3)])
def test_8_shards_are_one_run_in_all_that_looks_at_pixels_or_validation_images(limit, models, many, tmp_path) -> None:
    asked = {"limit": limit[1], "seed": limit[3]} if limit else {}
    one = evaluate(
        models, data=many, ensemble=EVERY_RULE, max_error=0.3, slices=True, time_budget_s=0, out=tmp_path / "one", **asked
    )
    predict_all(models, many, tmp_path / "shards", 8, *limit)
    more = ("--ensemble", *EVERY_RULE, "--max-error", 0.3, "--slices")
    folder = merged(tmp_path / "shards", tmp_path / "merged", *more)
    for name in (*TABLES, "rejects.csv", "slices.csv"):
        assert (folder / name).read_bytes() == (one.folder / name).read_bytes(), name
    assert "original size" in set(one.slices["property"])
    assert read_results(folder).answers == one.answers
    kept = sorted(path.name for path in (one.folder / "predictions").iterdir())
    assert [name for name in kept if name.endswith("_validation.npz")]
    for name in kept:
        own, wanted = (arrays_of(where / "predictions" / name) for where in (folder, one.folder))
        assert all(np.array_equal(own[key], wanted[key]) for key in wanted), name
    pages = [kept_pictures([read_results(where)]) for where in (folder, one.folder)]
    assert pages[0] == pages[1] != {}
    assert pd.read_csv(folder / "images.csv.gz").equals(pd.read_csv(one.folder / "images.csv.gz"))
    assert (folder / "report.html").is_file()


def test_the_page_shows_the_pictures_of_images_that_the_merge_did_not_keep(models, many, tmp_path) -> None:
    one = evaluate(models, data=many, time_budget_s=0, out=tmp_path / "one")
    predict_all(models, many, tmp_path / "shards", 2)
    for more in ((), ("--no-fingerprint",)):
        folder = merged(tmp_path / "shards", tmp_path / f"merged{len(more)}", *more)
        found = kept_pictures([read_results(folder)])
        assert max(found) > N_FUSION_IMAGES
        assert found == kept_pictures([one])
    bare = merged(tmp_path / "shards", tmp_path / "bare", "--no-report", "--no-fingerprint")
    assert not {"report.html", "pictures.zip", "images.csv.gz"} & {path.name for path in bare.iterdir()}


def damage(data: Path) -> None:
    """Every 97th image, or 50th of each tar file, the first among them, is none any more; tar files keep their size."""
    for path in sorted(data.glob("*.tar")):
        parts = path.read_bytes().split(b"\x89PNG")
        joints = [b"none" if index % 50 == 0 else b"\x89PNG" for index in range(len(parts) - 1)]
        path.write_bytes(b"".join(part + joint for part, joint in zip(parts, [*joints, b""], strict=True)))
    for index, path in enumerate(sorted(data.rglob("*.png"))[::97]):
        path.write_bytes(b"no image" * (index % 2))


@pytest.mark.parametrize(
    ("kind", "more"),
    [("many", ("--limit", 1100, "--seed", 3)), ("many", ("--split", "train")), ("tars", ()), ("tars", ("--decoders", 1))],
)
def test_shards_without_damaged_images_are_one_run_without_them(kind, more, models, request, tmp_path, monkeypatch) -> None:
    data = shutil.copytree(request.getfixturevalue(kind), tmp_path / "tars")
    damage(data)
    if more == ("--decoders", 1):
        monkeypatch.setattr(decoding, "FEW", 0)
    options = {str(name)[2:]: value for name, value in zip(more[::2], more[1::2], strict=True) if name != "--decoders"}
    one = evaluate(
        models, data=data, ensemble=["mean"], time_budget_s=0, out=tmp_path / "one", report=False, skip_damaged=True, **options
    )
    n_shards = 8 if kind == "many" and "train" not in more else 2
    predict_all(models, data, tmp_path / "shards", n_shards, "--skip-damaged", *more)
    folder = merged(tmp_path / "shards", tmp_path / "merged", "--ensemble")
    for name in TABLES:
        assert (folder / name).read_bytes() == (one.folder / name).read_bytes(), name
    left_out = [note for note in read_results(folder).notes if "damaged images left out" in note]
    assert len(left_out) == 1
    if more == ():
        assert left_out[0] in one.notes
    assert tuple(pd.read_csv(folder / "images.csv.gz", dtype=str)["file"]) == names_of(data, options)


def names_of(data: Path, options: dict[str, Any]) -> tuple[str, ...]:
    dataset = open_dataset(str(data), image_size=(8, 8), reading=Reading(skip_damaged=True))
    images = dataset.split(options.get("split", "test"))
    return (drawn(images, options["limit"], options["seed"]) if "limit" in options else images).image_names


def test_which_images_are_damaged_is_found_once_and_agreed_on(models, folder, tmp_path, monkeypatch) -> None:
    data = shutil.copytree(folder, tmp_path / "tars")
    damage(data)
    looked: list[int] = []
    whole = decoding.damage_among
    monkeypatch.setattr(decoding, "damage_among", lambda places, *more: looked.append(len(places)) or whole(places, *more))
    predict_all(models, data, tmp_path / "shards", 2, "--skip-damaged")
    merged(tmp_path / "shards", tmp_path / "merged", "--no-report")
    assert looked == [300]
    with pytest.raises(UserError, match="holds shards of other images and damaged images than these"):
        predict(models, data, tmp_path / "shards", "--shard", "1/2")
    with pytest.raises(UserError, match=r"or pass --skip-damaged; python -m data show"):
        predict(models, data, tmp_path / "others", "--shard", "1/2")
    for stated in ([[300, "empty"]], [["x", 1]], 7):
        plan = json.loads((tmp_path / "shards" / "plan.json").read_text())
        plan["key"]["damaged images"] = stated
        (tmp_path / "shards" / "plan.json").write_text(json.dumps(plan))
        with pytest.raises(UserError, match=r"plan\.json is not valid"):
            merged(tmp_path / "shards", tmp_path / "merged")


def test_it_is_the_plan_that_names_data_which_cannot_be_read(models, tars, tmp_path) -> None:
    predict_all(models, tars, tmp_path / "shards", 1)
    (tmp_path / "private" / "letters").mkdir(parents=True)
    plan = json.loads((tmp_path / "shards" / "plan.json").read_text())
    plan["asked"]["data"] = str(tmp_path / "private")
    (tmp_path / "shards" / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(
        UserError, match=r"^\S+plan\.json names \S+private, which cannot be read .*; pass --data where they are now"
    ):
        merged(tmp_path / "shards", tmp_path / "merged")
    with pytest.raises(UserError, match=r"^\S+private holds neither train/ nor test/"):
        merged(tmp_path / "shards", tmp_path / "merged", "--data", tmp_path / "private")
    merged(tmp_path / "shards", tmp_path / "merged", "--data", tars, "--no-report")


def test_nothing_but_damaged_images_is_told(models, tmp_path) -> None:
    write_folder(tmp_path / "tars", [b"no image"] * 6, ["cat", "dog", "owl"] * 2)
    with pytest.raises(UserError, match=r"none of the 6 test images in .* can be decoded"):
        predict(models, tmp_path / "tars", tmp_path / "shards", "--skip-damaged")


def test_part_of_the_images(models, folder, tmp_path) -> None:
    one = evaluate(models, data=folder, time_budget_s=0, out=tmp_path / "one", report=False, limit=200, seed=3)
    predict_all(models, folder, tmp_path / "shards", 2, "--limit", 200, "--seed", 3)
    found = merged(tmp_path / "shards", tmp_path / "merged")
    assert (found / "comparison.csv").read_bytes() == (one.folder / "comparison.csv").read_bytes()


def test_shards_that_are_missing_are_named(models, tars, tmp_path) -> None:
    predict(models, tars, tmp_path / "the shards", "--shard", "2/3")
    with pytest.raises(UserError, match=r"lacks 2 of 3 shards: 1/3, 3/3; make them with .* --shard 1/3 --out '.*the shards'$"):
        merged(tmp_path / "the shards", tmp_path / "merged")
    with pytest.raises(UserError, match="holds no shards"):
        merged(tmp_path, tmp_path / "merged")


def test_a_shard_of_another_evaluation_is_refused(models, tars, tmp_path) -> None:
    predict_all(models, tars, tmp_path / "both", 3)
    predict_all(models[:1], tars, tmp_path / "one", 3)
    shutil.copy(shard_file(tmp_path / "one", 1, 3), shard_file(tmp_path / "both", 1, 3))
    with pytest.raises(UserError, match=r"shard-2-of-3\.npz is a shard of another evaluation; move it away and predict again"):
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
    with pytest.raises(UserError, match=r"shard-2-of-3\.npz is not a valid shard \(.*\); (re)?move it") as error:
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
