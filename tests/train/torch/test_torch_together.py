"""Two processes that torchrun starts train what one trains; a killed one ends both, and one alone goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.environment import REPOSITORY
from core.errors import UserError
from models.torch.network import preprocessing_of
from tests.train.torch.ranks import recipe, steps, train
from train.images import training_data
from train.loop import Ranks
from train.torch.batches import Batches
from train.torch.together import _one_voice, ranks_of


def test_two_processes_train_what_one_trains_and_one_goes_on_where_a_killed_one_left_it(tmp_path: Path) -> None:
    with steps() as by_one:
        alone = train(tmp_path / "alone")
    assert np.ptp([loss for _, loss, _ in by_one[20:]]) > 0.01  # a network that says nothing any more would agree with any other
    folder = tmp_path / "two"
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "tests.train.torch.ranks",
    ]
    done = subprocess.run([*command, str(folder)], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert "--resume continues" in said[0]
    by_two = json.loads((folder / "steps.json").read_text())[:20]
    assert [n for n, _, _ in by_two] == [n for n, _, _ in by_one[:20]]
    np.testing.assert_allclose([loss for _, loss, _ in by_two], [loss for _, loss, _ in by_one[:20]], rtol=1e-4)
    np.testing.assert_allclose([right for *_, right in by_two], [right for *_, right in by_one[:20]], atol=1)  # a tie may break
    with steps() as resumed:
        outcome = train(folder, resume=True)
    assert len(resumed) == 10
    np.testing.assert_allclose([loss for _, loss, _ in resumed], [loss for _, loss, _ in by_one[20:]], rtol=1e-3)
    assert [row.epoch for row in outcome.history] == [1, 2, 3]
    assert outcome.history[0].validation_loss == pytest.approx(alone.history[0].validation_loss, rel=1e-4)


class Stopping:
    """A store of which to ask takes so long that torchrun's SIGTERM comes."""

    def check(self, names: list[str]) -> bool:
        raise KeyboardInterrupt("stopped by signal 15")


@pytest.mark.parametrize("ending", [False, True])
def test_a_lost_process_is_told_of_though_torchrun_stops_this_one_meanwhile(ending: bool) -> None:
    def training() -> None:
        try:
            raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
        finally:
            if ending:
                raise KeyboardInterrupt("stopped by signal 15")

    with pytest.raises(UserError, match=r"process of this training was lost; .*--resume continues"), _one_voice(Stopping(), 0):
        training()


@pytest.mark.parametrize("size", [2, 3])
def test_the_shares_of_all_processes_are_the_batches_of_one(tmp_path: Path, size: int) -> None:
    own = replace(recipe(tmp_path), batch_size=13)
    images, preprocessing = training_data(own).train, preprocessing_of(own.arch, 32)
    whole = list(Batches(images, own, preprocessing).epoch(1))
    shares = [list(Batches(images, own, preprocessing, ranks=Ranks(rank, size)).epoch(1)) for rank in range(size)]
    assert {len(share) for share in shares} == {len(whole)}
    for batch, *parts in zip(whole, *shares, strict=True):
        for of_batch, of_parts in zip(batch, zip(*parts, strict=True), strict=True):
            torch.testing.assert_close(torch.cat(of_parts), of_batch, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"), [({"batch_size": 7}, "--batch-size must be at least 8"), ({"find_lr": True}, "--find-lr")]
)
def test_what_several_cannot_do_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], said: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.distributed.rendezvous", lambda url: iter([(None, 0, 2)]))
    asked = replace(recipe(tmp_path), **{"batch_size": 8, **changes})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=said), ranks_of(asked, torch.device("cpu")):
        pass
