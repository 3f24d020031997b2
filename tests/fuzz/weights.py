"""Hostile PyTorch weights and checkpoints, for the functions that read them: each command does so in a child of seconds."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.world import Case, World, damaged
from tests.tiny_models import tiny_card

PRELOADED = ("models.torch.network", "export.adopt.native", "train.torch.state", "train.files.checkpoint")


class Runs:
    """A pickle of this would leave a file where it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def main(arguments: Sequence[str]) -> None:
    """Read a file as the export, the adoption or a training that goes on does."""
    how, path = arguments[0], Path(arguments[1])
    if how == "export":
        from models.torch.network import load

        load(path)
    elif how == "adopt":
        from export.adopt.native import torch_graph

        torch_graph(path, "squeezenet1_1", 64, path.with_suffix(".onnx"))
    else:
        from core.errors import UserError
        from train.files.checkpoint import UNREADABLE, Progress
        from train.torch.state import read_checkpoint

        try:
            held = read_checkpoint(path)
            Progress.from_json(str(held["progress"]))
        except UNREADABLE as error:
            raise UserError(f"{path} is not a valid checkpoint; begin anew") from error


def _states(random: Random) -> dict[str, Any]:
    import torch

    return {
        "integer keys": {1: torch.zeros(2), 2: torch.zeros(2)},
        "no tensors": {"a": 5, "b": "text"},
        "a list": [torch.zeros(2)],
        "one tensor": torch.zeros(2),
        "nan": {"fc.weight": torch.full((3, 9), float("nan"))},
        "empty": {},
        "of another network": {"conv1.weight": torch.zeros(4, 3, 3, 3)},
        "huge shape": {"fc.weight": torch.zeros(1).expand(10**9)},
        "strings in bytes": {b"fc.weight": torch.zeros(3)},
        "complex": {"fc.weight": torch.zeros(3, 9, dtype=torch.complex64)},
        "sparse": {"fc.weight": torch.eye(3).to_sparse()},
        "deep": {"state_dict": {"state_dict": {"state_dict": {}}}},
    }


def _weights(name: str, how: str) -> Callable[[Path, Random, World], list[str]]:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        import torch

        path = folder / "hostile.pth"
        states = _states(random)
        if name in states:
            torch.save(states[name], path)
        elif name == "pickle that runs":
            path.write_bytes(random.choice((pickle.dumps(Runs()), pickle.dumps({"fc.weight": Runs()}, protocol=4))))
        elif name == "archive that runs":
            torch.save(Runs(), path)
        elif name == "bomb":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("archive/data.pkl", bytes(300_000_000))
        else:
            torch.save({"fc.weight": torch.zeros(3, 9)}, path)
            path.write_bytes(damaged(path.read_bytes(), random))
        card = {**json.loads(tiny_card("hostile").to_json()), "architecture": random.choice(("resnet18", "nothing", "../x"))}
        Path(f"{path}.json").write_text(json.dumps(card))
        return [how, str(path)]

    return make


def cases(count: int) -> Iterator[Case]:
    """`count` of these."""
    names = [*_states(Random(0)), "pickle that runs", "archive that runs", "bomb", "bytes", "bytes"]
    for index in range(count):
        name, how = names[index % len(names)], ("export", "adopt", "resume")[index // len(names) % 3]
        yield Case(f".pth {how}", f"{name} {how} {index}", "tests.fuzz.weights", _weights(name, how), must_fail=True)
