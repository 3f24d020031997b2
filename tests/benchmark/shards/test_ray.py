"""Shards on a Ray cluster of two nodes, made of processes, with a worker killed in the middle: to the bit those of a local run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmark.command import main
from benchmark.shards.plan import Asked, shard_file
from core.errors import UserError
from core.launch.launchers import launcher
from tests.commands import arrays_of

pytestmark = [
    pytest.mark.optional,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ray = pytest.importorskip("ray", reason="needs Ray, of the extra cluster")

# The worker of a shard; of shard 2 the first time it kills the Ray worker that it is a child of, as a lost machine would.
KILLING = """
import os, signal
from pathlib import Path
from benchmark.shards.worker import predict
from core.launch import answer_parent

def work(job):
    mark = Path(job["asked"]["out"], f"attempt-{job['shard']}")
    if job["shard"] == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(9)
    return predict(job)

answer_parent(work)
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    (tmp_path / "killing_worker.py").write_text(KILLING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def test_a_killed_worker_changes_nothing(cluster, models, tars, tmp_path, capsys) -> None:
    common = ["predict", *map(str, models), "--data", str(tars)]
    main([*common, "--out", str(tmp_path / "local"), "--shards", "3", "--jobs", "1"])
    out = tmp_path / "on_ray"
    asked = Asked(tuple(map(str, models)), str(tars), str(out), n_shards=3)
    jobs = [{"asked": dataclasses.asdict(asked), "shard": shard} for shard in range(3)]
    out.mkdir()
    answers = dict(launcher("ray", threads=1)("killing_worker", jobs, "shard {}".format))
    assert sorted(answers) == [0, 1, 2]
    assert (out / "attempt-1").exists()
    for shard in range(3):
        there, here = (arrays_of(shard_file(folder, shard, 3)) for folder in (out, tmp_path / "local"))
        assert all(np.array_equal(there[name], here[name]) for name in here)
    for folder in ("local", "on_ray"):
        main(["merge", str(tmp_path / folder), "--out", str(tmp_path / f"{folder} merged")])
    tables = [next((tmp_path / f"{folder} merged").iterdir()) for folder in ("local", "on_ray")]
    for name in ("comparison.csv", "per_class.csv", "confusion.csv", "pairs.csv"):
        assert tables[0].joinpath(name).read_bytes() == tables[1].joinpath(name).read_bytes()

    main([*common, "--out", str(tmp_path / "by command"), "--shards", "3", "--launcher", "ray", "--threads", "1"])
    assert "all 3 shards are in" in capsys.readouterr().out
    Path(shard_file(out, 2, 3)).unlink()
    jobs[2]["asked"]["models"] = jobs[2]["asked"]["models"][:1]
    with pytest.raises(UserError, match=r"shard 0 failed: .* holds shards of other models than these"):
        list(launcher("ray", threads=1)("killing_worker", jobs[2:], "shard {}".format))
