"""Predicts one shard in a process of its own: the job on stdin has `asked` and `shard`, the answer the path of its file."""

from __future__ import annotations

from typing import Any

from benchmark.shards.plan import Asked
from benchmark.shards.predict import predict_shard
from core.launch import answer_parent


def predict(job: dict[str, Any]) -> dict[str, Any]:
    """The file of the shard that `job` names."""
    return {"path": str(predict_shard(Asked.from_json(job["asked"]), job["shard"]))}


if __name__ == "__main__":
    answer_parent(predict)
