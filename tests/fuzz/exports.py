"""Hostile .pth and .keras files, and hostile cards beside whole ones, through all of `python -m export.to_onnx FILE`.

Its child process is a fork of the one that has imported the framework: a real one takes ten seconds to import it again.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import os
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from tests.fuzz import keras_files, weights
from tests.fuzz.world import Case, World
from tests.tiny_models import tiny_card

PRELOADED = ("export.to_onnx", "export.pipeline", "export.report", "export.images", "export.worker", "rich.progress", "onnxruntime",
             "models.runtimes.onnx_runtime", "models.graph.wrap", "models.parity")  # fmt: skip
ARCHITECTURE, PIXELS = "vgg8", 32
Card = dict[str, Any]
CARDS: dict[str, dict[str, object]] = {
    "no preprocessing": {"preprocessing": None},
    "huge image": {"image_height": 16384, "image_width": 16384},
    "large image": {"image_height": 4096, "image_width": 4096},
    "flat image": {"image_height": 1, "image_width": 16384},
    "no pixels": {"image_height": 0, "image_width": 8},
    "absurd image": {"image_height": 10**12},
    "other architecture": {"architecture": "resnet18"},
    "gigantic architecture": {"architecture": "regnet_y_128gf"},
    "largest transformer": {"architecture": "vit_h_14"},
    "no architecture": {"architecture": "../\x1b[2J"},
    "more classes": {"class_names": [f"c{i}" for i in range(7)]},
    "a million classes": {"class_names": [f"c{i}" for i in range(10**6)]},
    "hostile classes": {"class_names": ["\x1b]0;x\x07", "=cmd|'x'!A1", "[bold]"]},
    "foreign set": {"dataset": "../../outside"},
    "other backend": {"backend": "ensemble"},
}
PREPROCESSINGS: dict[str, dict[str, object]] = {
    "huge input": {"input_size": 10**9},
    "large input": {"input_size": 16384},
    "large resize": {"resize_size": 2048},
    "no input": {"input_size": 0},
    "huge resize": {"resize_size": 10**9},
    "std of nothing": {"std": [1e-300, 1e-300, 1e-300]},
    "mean not finite": {"mean": [float("nan"), 0, 0]},
    "mean beyond float32": {"mean": [1e300, 0, 0]},
    "text for size": {"input_size": "32"},
    "other layout": {"layout": "nowhere"},
}


def main(arguments: Sequence[str]) -> int:
    """The whole command on a file, with its child as a fork of this process."""
    import subprocess

    from export import to_onnx

    real = subprocess.Popen

    def forked(command: list[str], **options: Any) -> subprocess.Popen[str]:
        if "core.launch" not in command:  # git, of which commit this is
            return real(command, **options)
        module = command[command.index("core.launch") + 2]
        return real(command, preexec_fn=lambda: _work(module), **options)

    with mock.patch("subprocess.Popen", forked):
        return to_onnx.main(arguments)


def _work(module: str) -> None:
    """What `python -m module` would do, in a fork that is about to run it; never returns."""
    from core.cli import run

    status = 99
    try:
        os.closerange(3, 256)  # among them the pipe by which the parent waits for the other program to begin
        sys.stdin, sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(number, "r" if number == 0 else "w", closefd=False), "utf-8", write_through=number > 0)
            for number in range(3)
        )
        child: Any = importlib.import_module(module)
        run(lambda _: child.worker.main(child.FRAMEWORK), [])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        keras_files.remove_generated()
        sys.stderr.flush()
        os._exit(status)


@lru_cache(maxsize=1)
def _whole_state() -> dict[str, Any]:
    """Weights of a small network that can be exported."""
    import torch

    from models.torch import zoo

    torch.manual_seed(0)
    return dict(zoo.fresh(ARCHITECTURE, 3, PIXELS).state_dict())


def _changed_states() -> dict[str, Callable[[dict[str, Any]], object]]:
    """Changes of one tensor, or of its name, in whole weights."""
    import torch

    name = next(name for name, value in _whole_state().items() if value.ndim == 4)

    def instead(make: Callable[[Any], Any]) -> Callable[[dict[str, Any]], object]:
        return lambda state: state.update({name: make(state[name])})

    return {
        "nothing": lambda state: None,
        "one lacks": lambda state: state.pop(name),
        "one more": lambda state: state.update({"\x1b[2Jmore": torch.zeros(2)}),
        "not finite": instead(lambda value: value * torch.nan),
        "overflows": instead(lambda value: torch.full_like(value, 3e38)),
        "double": instead(lambda value: value.double()),
        "half": instead(lambda value: value.half()),
        "whole numbers": instead(lambda value: value.long()),
        "truth values": instead(lambda value: value > 0),
        "complex numbers": instead(lambda value: value.to(torch.complex64)),
        "sparse": instead(lambda value: value.to_sparse()),
        "without values": instead(lambda value: value.to("meta")),
        "quantised": instead(lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)),
        "one value for all": instead(lambda value: torch.zeros(1).expand(value.shape)),
        "one value for 10^9": instead(lambda value: torch.zeros(1).expand(10**9, *value.shape[1:])),
        "other rank": instead(lambda value: value.flatten()),
        "a gradient": instead(lambda value: torch.nn.Parameter(value)),
    }


def _card(framework: str, **changes: object) -> Card:
    pixels, layout, backend = (PIXELS, "nchw", "torch") if framework == "pth" else (8, "nhwc", "tensorflow")
    card = tiny_card("hostile", layout=layout, dataset="photos", image_height=pixels, image_width=pixels)
    architecture = ARCHITECTURE if framework == "pth" else "tiny"
    return {**json.loads(dataclasses.replace(card, backend=backend, architecture=architecture).to_json()), **changes}


def _write(framework: str, folder: Path, card: Card, change: Callable[[dict[str, Any]], object] | None = None) -> list[str]:
    """A file made of whole weights, by `change`, with its card; the arguments that export it."""
    path = folder / f"hostile.{framework}"
    if framework == "pth":
        import torch

        state = dict(_whole_state())
        if change is not None:
            change(state)
        torch.save(state, path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, held in keras_files.whole().items():
                archive.writestr(name, held)
    Path(f"{path}.json").write_text(json.dumps(card))
    return [str(path), "--out", "made"]


def _of_card(framework: str, name: str) -> Callable[[Path, Random, World], list[str]]:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        card = _card(framework, **CARDS.get(name, {}))
        if name in PREPROCESSINGS:
            card["preprocessing"].update(PREPROCESSINGS[name])
        return _write(framework, folder, card)

    return make


def _of_state(name: str) -> Callable[[Path, Random, World], list[str]]:
    return lambda folder, random, world: _write("pth", folder, _card("pth"), _changed_states()[name])


def _of_reader(framework: str, case: Case) -> Callable[[Path, Random, World], list[str]]:
    """The file that is made for the reader alone, beside a whole card, so that the command gets as far as to read it."""

    def make(folder: Path, random: Random, world: World) -> list[str]:
        _, path = case.make(folder, random, world)
        Path(f"{path}.json").write_text(json.dumps(_card(framework)))
        return [path, "--out", "made"]

    return make


def pth_cases(count: int) -> Iterator[Case]:
    """`count` .pth files: hostile bytes, whole weights with one change, whole weights with a hostile card."""
    import torch

    from export.torch_graph import core_graph

    torch.set_num_threads(1)  # no pool of threads, of which a fork would wait for the dead ones
    core_graph(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2)), 8)  # imports what exporting imports
    readers = [(case.name, _of_reader("pth", case)) for case in weights.cases(17)]
    states = [(name, _of_state(name)) for name in _changed_states()]
    yield from _cases("pth", count, [*states, *readers])


def keras_cases(count: int) -> Iterator[Case]:
    """`count` .keras files: hostile archives and layers, whole files with a hostile card."""
    importlib.import_module("export.tf_graph")
    importlib.import_module("models.tf.network")
    importlib.import_module("tf2onnx")
    readers = [(case.name, _of_reader("keras", case)) for case in keras_files.cases(len(keras_files.CHANGES) + 1)]
    yield from _cases("keras", count, readers)


def _cases(framework: str, count: int, files: list[tuple[str, Callable[[Path, Random, World], list[str]]]]) -> Iterator[Case]:
    cards = [(name, _of_card(framework, name)) for name in (*CARDS, *PREPROCESSINGS)]
    every = [*files, *cards]
    for index in range(count):
        name, make = every[index * 7 % len(every)]
        yield Case(f".{framework} whole export", f"{name} {index}", "tests.fuzz.exports", make, must_fail=False)
