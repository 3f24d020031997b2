"""Shards share the images out by whole batches: each image is in one, and in the batch of the unsharded run."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from benchmark.shards import plan
from benchmark.shards.plan import Asked, Work, agreed_plan, open_work, read_plan, shard_file
from core.errors import UserError
from models.runtimes.base import Provider
from models.runtimes.predict import PREDICTION_BATCH


@pytest.mark.parametrize(("n_images", "n_shards"), [(1, 1), (128, 1), (129, 2), (1000, 8), (1024, 8), (10_000_019, 97)])
def test_every_image_is_in_one_shard_and_batches_stay_whole(n_images: int, n_shards: int) -> None:
    work = Work.__new__(Work)
    object.__setattr__(work, "asked", Asked((), "", "", n_shards=n_shards))
    object.__setattr__(work, "chosen", np.empty(n_images, np.int8))
    slices = [work.images_of(shard) for shard in range(n_shards)]
    assert [own.start for own in slices] == [0, *(own.stop for own in slices[:-1])]
    assert slices[-1].stop == n_images
    assert all(own.start % PREDICTION_BATCH == 0 for own in slices)
    sizes = [own.stop - own.start for own in slices]
    assert min(sizes) > 0
    assert max(sizes) - min(sizes[:-1] or sizes) <= PREDICTION_BATCH


def test_more_shards_than_batches_are_refused(models, tars, tmp_path) -> None:
    with pytest.raises(UserError, match="300 images are 3 batches of 128, which 4 shards cannot share; use 3 shards at most"):
        open_work(Asked(tuple(map(str, models)), str(tars), str(tmp_path), n_shards=4))


def test_of_two_evaluations_that_begin_at_once_the_second_is_refused(models, tars, tmp_path, monkeypatch) -> None:
    asked = Asked(tuple(map(str, models)), str(tars), str(tmp_path / "shards"))
    first, second, whole = open_work(dataclasses.replace(asked, limit=5)), open_work(asked), plan.write_json
    with ExitStack() as stack:

        def slowly(*arguments: object, **further: object) -> None:
            monkeypatch.undo()
            stack.enter_context(agreed_plan(first))
            whole(*arguments, **further)

        monkeypatch.setattr(plan, "write_json", slowly)
        with pytest.raises(UserError, match="holds the plan of shards of other images than these"), agreed_plan(second):
            pass
        assert read_plan(tmp_path / "shards")[0] == first.key
    assert list((tmp_path / "shards").iterdir()) == []  # the first found the folder, so it stays


def test_a_plan_without_shards_goes_with_the_folder_made_for_it(models, tars, tmp_path) -> None:
    asked = Asked(tuple(map(str, models)), str(tars), str(tmp_path / "new" / "shards"))
    first, other = open_work(asked), open_work(dataclasses.replace(asked, limit=5))
    with pytest.raises(KeyboardInterrupt), agreed_plan(first):
        with agreed_plan(first):  # a second process, which did not write it
            pass
        assert read_plan(tmp_path / "new" / "shards")[0] == first.key
        raise KeyboardInterrupt
    assert not (tmp_path / "new").exists()
    with agreed_plan(other):
        shard_file(tmp_path / "new" / "shards", 0, 1).touch()
    assert read_plan(tmp_path / "new" / "shards")[0] == other.key
    with pytest.raises(UserError, match="holds shards of other images than these"), agreed_plan(first):
        pass


def test_an_interrupt_as_the_plan_is_written_leaves_none(models, tars, tmp_path, monkeypatch) -> None:
    work, whole = open_work(Asked(tuple(map(str, models)), str(tars), str(tmp_path))), plan.write_json

    def interrupted(*arguments: object, **further: object) -> None:
        whole(*arguments, **further)
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "write_json", interrupted)
    with pytest.raises(KeyboardInterrupt), agreed_plan(work):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_goes_as_it_is_read_is_written_again(models, tars, tmp_path, monkeypatch) -> None:
    work, whole = open_work(Asked(tuple(map(str, models)), str(tars), str(tmp_path))), plan.read_plan

    def too_late(folder: Path) -> object:
        monkeypatch.undo()
        (folder / plan.PLAN).unlink()
        return whole(folder)

    monkeypatch.setattr(plan, "read_plan", too_late)
    with agreed_plan(work):
        assert read_plan(tmp_path)[0] == work.key


def test_files_sort_as_their_shards() -> None:
    names = [shard_file(Path(), shard, 12).name for shard in range(12)]
    assert (names[0], names == sorted(names)) == ("shard-01-of-12.npz", True)


def written(asked: dict[str, object] | None, **others: object) -> str:
    """A plan of which some fields are hostile."""
    good = dataclasses.asdict(Asked(("a.onnx",), "digits", "out"))
    return json.dumps(
        {
            "key": {},
            "asked": None if asked is None else {**good, **asked},
            "provider": dataclasses.asdict(Provider("cpu", "")),
            **others,
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "nul", "[" * 200_000, '{"key": ' * 200_000, "9" * 5000, "{" + " " * (64 * 2**20) + "}"),
        *(written({name: value}) for name, value in (("models", 5), ("models", "a.onnx"), ("models", [1]), ("data", None))),
        *(written({name: value}) for name in ("n_shards", "limit") for value in (0, -1, 1.5, "2", True, [])),
        *(
            written({name: value})
            for name, value in (("n_shards", 10**12), ("split", "all"), ("more", 1), ("threads", {}), ("seed", -1), ("resize", 5))
        ),
        *(written({name: value}) for name, value in (("models", ["\0"]), ("data", "a\0"), ("data_dir", "\0"))),
        *(written({}, **other) for other in ({"key": 5}, {"provider": 5}, {"provider": {"name": "x", "options": [5]}})),
        *(written({}, provider={"name": 5, "device_name": "", "options": []}), written(None)),
    ],
    ids=lambda text: text[:20],
)
def test_a_hostile_plan_is_told_in_one_line(text: str, tmp_path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(UserError, match=r"plan\.json (is not valid|has 67 MB).*; ") as error:
        read_plan(tmp_path)
    assert "\n" not in str(error.value)


def test_a_plan_that_lacks_a_field_is_told_by_it_and_no_folder_is_to_be_removed(tmp_path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(UserError, match=r"plan\.json is not valid \(it lacks 'provider'\); remove this file and .*another --out"):
        read_plan(tmp_path)


def test_a_plan_comes_back_from_json(tmp_path) -> None:
    (tmp_path / "plan.json").write_text(written({"limit": 7}))
    assert read_plan(tmp_path) == ({}, Asked(("a.onnx",), "digits", "out", limit=7), Provider("cpu", ""))
    asked = Asked(("a.onnx",), "digits", str(tmp_path), limit=3)
    assert Asked.from_json(dataclasses.asdict(asked)) == asked
