"""A shard is one file that appears when it is complete, holds whole batches, and is not made twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.command import main
from benchmark.shards import predict
from benchmark.shards.plan import Asked, read_plan
from benchmark.shards.predict import predict_shard
from core.environment import REPOSITORY
from core.errors import UserError
from data.stream import decoding
from tests.commands import arrays_of
from tests.packed_images import write_tar


def asked(models: list[Path], data: Path, out: Path, **others: object) -> Asked:
    return Asked(tuple(map(str, models)), str(data), str(out), **others)  # type: ignore[arg-type]


def test_a_shard_that_is_there_is_left_alone(models, tars, tmp_path) -> None:
    seen: list[int] = []
    wanted = asked(models, tars, tmp_path, n_shards=3)
    path = predict_shard(wanted, 0, seen.append)
    before = path.stat().st_mtime_ns
    assert seen == [128]
    assert predict_shard(wanted, 0, seen.append) == path
    assert (path.stat().st_mtime_ns, seen) == (before, [128])
    assert arrays_of(path)["logits_1"].shape == (128, 3)


def test_decoding_processes_change_no_bit(models, tars, tmp_path, monkeypatch) -> None:
    here = arrays_of(predict_shard(asked(models, tars, tmp_path / "here"), 0))
    monkeypatch.setattr(decoding, "FEW", 0)
    beside = arrays_of(predict_shard(asked(models, tars, tmp_path / "beside", decoders=1), 0))
    assert here.keys() == beside.keys()
    assert all(np.array_equal(here[name], beside[name]) for name in here)


def test_other_models_or_images_are_refused(models, tars, folder, tmp_path) -> None:
    predict_shard(asked(models, tars, tmp_path, n_shards=3), 0)
    with pytest.raises(UserError, match="holds shards of other models than these"):
        predict_shard(asked(models[:1], tars, tmp_path, n_shards=3), 1)
    with pytest.raises(UserError, match="holds shards of other data than these"):
        predict_shard(asked(models, folder, tmp_path, n_shards=3), 1)
    with pytest.raises(UserError, match="holds shards of other images and shards than these"):
        predict_shard(asked(models, tars, tmp_path, n_shards=2, limit=290), 1)


def test_a_file_of_somebody_else_is_no_finished_shard(models, tars, tmp_path) -> None:
    mine, one = tmp_path / "out" / "shard-2-of-3.npz", predict_shard(asked(models[:1], tars, tmp_path / "other", n_shards=3), 1)
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"shard-2-of-3\.npz is not a valid shard \(it is no archive of arrays\); move it away"):
        predict_shard(asked(models, tars, tmp_path / "out", n_shards=3), 1)
    assert (mine.read_text(), list(mine.parent.iterdir())) == ("mine", [mine])  # no plan beside it
    command = ["predict", *map(str, models), "--data", str(tars), "--out", str(mine.parent), "--shards", "3", "--jobs", "2"]
    with pytest.raises(UserError, match="is not a valid shard"):
        main(command)
    np.savez(mine, logits_0=np.zeros((128, 3), np.float32))
    with pytest.raises(UserError, match="it lacks plan_sha256"):
        predict_shard(asked(models, tars, tmp_path / "out", n_shards=3), 1)
    shutil.copy(one, mine)
    with pytest.raises(UserError, match="is a shard of another evaluation; move it away"):
        predict_shard(asked(models, tars, tmp_path / "out", n_shards=3), 1)
    predict_shard(asked(models, tars, tmp_path / "out", n_shards=3), 0)


def test_a_damaged_image_leaves_no_shard(models, tars, tmp_path) -> None:
    write_tar(tmp_path / "tars" / "0.tar", [("a.png", b"no image"), ("a.cls", b"cat"), ("b.png", b""), ("b.cls", b"dog")])
    with pytest.raises(UserError, match=r"0\.tar/a\.png is not an image .* --skip-damaged lists every such file"):
        predict_shard(asked(models, tmp_path / "tars", tmp_path / "out"), 0)
    assert not (tmp_path / "out").exists()
    assert predict_shard(asked(models, tars, tmp_path / "out"), 0).is_file()  # of other images: no plan stands in its way


@pytest.mark.parametrize("locks", [True, False])
def test_a_plan_that_goes_during_a_shard_is_there_again(models, tars, tmp_path, monkeypatch, locks: bool) -> None:
    wanted = asked(models, tars, tmp_path, n_shards=3)
    whole = predict.atomic_path

    def removed(path: Path, **further: object) -> object:
        if not locks:
            put = further.pop("allowed")
            further["allowed"] = lambda: (put(), (tmp_path / "plan.json").unlink())  # type: ignore[operator]
        return whole(path, **further)  # type: ignore[arg-type]

    monkeypatch.setattr(predict, "atomic_path", removed)
    predict_shard(wanted, 0, lambda _: (tmp_path / "plan.json").unlink(missing_ok=True))
    assert read_plan(tmp_path)[1] == wanted


def test_a_folder_that_became_anothers_during_a_shard_gets_none(models, tars, tmp_path) -> None:
    first, second = asked(models, tars, tmp_path), asked(models[:1], tars, tmp_path)

    def lose(_: int) -> None:
        if read_plan(tmp_path)[1] == first:
            (tmp_path / "plan.json").unlink()
            predict_shard(second, 0)

    with pytest.raises(UserError, match="holds shards of other models than these"):
        predict_shard(first, 0, lose)
    assert sorted(arrays_of(tmp_path / "shard-1-of-1.npz")) == ["images_sha256", "logits_0", "plan_sha256"]
    assert read_plan(tmp_path)[1] == second


SLOW = """
import sys, time
from pathlib import Path
from benchmark.shards import predict
from benchmark.shards.plan import Asked
import json

def dawdle(n_images):
    Path(sys.argv[2]).touch()
    time.sleep(60)

predict.predict_shard(Asked.from_json(json.loads(sys.argv[1])), 0, dawdle)
"""


def test_a_killed_shard_leaves_nothing_and_is_done_again(models, tars, tmp_path) -> None:
    import dataclasses
    import json

    wanted, begun = asked(models, tars, tmp_path / "out"), tmp_path / "begun"
    arguments = [sys.executable, "-c", SLOW, json.dumps(dataclasses.asdict(wanted)), str(begun)]
    child = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, cwd=REPOSITORY)
    while not begun.exists():
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plan.json"]
    whole = arrays_of(predict_shard(asked(models, tars, tmp_path / "other"), 0))
    again = arrays_of(predict_shard(wanted, 0))
    assert all(np.array_equal(whole[name], again[name]) for name in whole)
