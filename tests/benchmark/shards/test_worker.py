"""The child of every launcher: JSON in, the path of a complete shard out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from benchmark.shards.plan import Asked
from benchmark.shards.worker import predict


def test_the_answer_names_the_shard(models, tars, tmp_path) -> None:
    asked = Asked(tuple(map(str, models)), str(tars), str(tmp_path), n_shards=2)
    answer = predict({"asked": dataclasses.asdict(asked), "shard": 1})
    assert Path(answer["path"]).name == "shard-2-of-2.npz"
    assert Path(answer["path"]).is_file()
