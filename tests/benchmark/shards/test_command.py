"""`predict` by a launcher, and what it refuses."""

from __future__ import annotations

import pytest

from benchmark.command import main
from benchmark.shards.command import shard_of
from core.errors import UserError
from tests.commands import arrays_of
from tests.packed_images import write_tar


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/", "a/b", "-1/8", "1/0", "1" * 5000 + "/1"])
def test_shards_are_counted_from_1(text: str, models, tmp_path) -> None:
    assert shard_of("3/8") == (2, 8)
    with pytest.raises(UserError, match="of 8 shards they are 1/8 to 8/8") as error:
        main(["predict", str(models[0]), "--out", str(tmp_path), f"--shard={text}"])
    assert len(str(error.value)) < 200
    with pytest.raises(UserError, match="--shard predicts one shard in this process"):
        main(["predict", str(models[0]), "--out", str(tmp_path), "--shard=1/2", "--jobs", "2"])


def test_processes_at_a_time_make_the_shards_of_one(models, tars, tmp_path, capsys) -> None:
    common = ["predict", *map(str, models), "--data", str(tars)]
    main([*common, "--out", str(tmp_path / "launched"), "--shards", "2", "--jobs", "2"])
    assert "all 2 shards are in" in capsys.readouterr().out
    for number in (1, 2):
        main([*common, "--out", str(tmp_path / "here"), "--shard", f"{number}/2"])
        name = f"shard-{number}-of-2.npz"
        here, launched = (arrays_of(tmp_path / where / name) for where in ("here", "launched"))
        assert all((here[key] == launched[key]).all() for key in here)


def test_an_interrupt_says_how_many_shards_there_are(models, tars, tmp_path, monkeypatch) -> None:
    predict = ["predict", *map(str, models), "--data", str(tars), "--out", str(tmp_path)]
    main([*predict, "--shard", "2/3"])

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.shards.predict.predict_shard", stopped)
    with pytest.raises(KeyboardInterrupt, match=f"interrupted; 1 of 3 shards are in {tmp_path}, and the same command goes on"):
        main([*predict, "--shard", "1/3"])


@pytest.mark.parametrize("how", [[], ["--shards", "2", "--jobs", "2"]])
def test_a_command_that_fails_leaves_the_folder_to_others(models, tars, tmp_path, how: list[str]) -> None:
    damaged, out = tmp_path / "tars", tmp_path / "shards"
    files = [(f"{number}.{kind}", held) for number in range(200) for kind, held in (("png", b"no image"), ("cls", b"cat"))]
    write_tar(damaged / "0.tar", files)
    with pytest.raises(UserError, match="is not an image"):
        main(["predict", *map(str, models), "--data", str(damaged), "--out", str(out), *how])
    assert not out.exists()
    main(["predict", str(models[0]), "--data", str(tars), "--out", str(out)])
    assert sorted(path.name for path in out.iterdir()) == ["plan.json", "shard-1-of-1.npz"]
