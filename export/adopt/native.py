"""Weights of PyTorch, timm and Keras as ONNX graphs, each made by a child process, so that no two frameworks share one.

python -m export.adopt.native torch mine.pth resnet18 224 core.onnx
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, one_line
from core.launch import own_environment, own_module

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT_SIZE = 224
# Names under which training scripts keep the network among other things.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "ema", "state_dict_ema")
_PARALLEL = ("module.", "_orig_mod.", "model.")


def graph_of_weights(path: Path, arch: str | None, image_size: int | None, scratch: Path, say: Callable[[str], None]) -> Path:
    """The ONNX file, in `scratch`, of a .pth file of the architecture `arch`, or of a .keras file; UserError on failure."""
    framework = "torch" if path.suffix == ".pth" else "keras"
    say(f"exporting by {framework}")
    return _in_child(framework, path, arch or "", image_size or 0, scratch / "core.onnx")


def graph_of_timm(weights: Path, config: Mapping[str, Any], image_size: int, scratch: Path, say: Callable[[str], None]) -> Path:
    """The ONNX file, in `scratch`, of a folder of timm; UserError if timm is not installed."""
    say("exporting by timm")
    described = {
        "architecture": config["architecture"],
        "num_classes": config.get("num_classes") or config["pretrained_cfg"].get("num_classes", 1000),
        "model_args": config.get("model_args") or {},
    }
    return _in_child("timm", weights, json.dumps(described), image_size, scratch / "core.onnx")


def _in_child(framework: str, source: Path, what: str, size: int, target: Path) -> Path:
    command = own_module("export.adopt.native", framework, str(source), what, str(size), str(target))
    variables = {**own_environment(), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as noise:
        status = subprocess.run(command, stdout=noise, stderr=noise, env=variables, check=False).returncode
        noise.seek(0)
        lines = noise.read().splitlines()
    if status != 0:
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        raise UserError(errors[-1] if errors else f"{source}: the exporting process ended with status {status} and no message")
    return target


def torch_graph(source: Path, arch: str, size: int, target: Path) -> None:
    """Write the graph of a state dict of one of torchvision's classifiers, or our own."""
    from export.torch_graph import core_graph
    from models.native import Allowance
    from models.torch import zoo
    from models.torch.network import parameters_within

    state = _unwrapped(_read(source), source)
    matrices = [value for name, value in state.items() if name.endswith("weight") and value.ndim >= 2]
    if not matrices:
        raise UserError(f"{source} holds no weights of layers; save it with torch.save(model.state_dict(), PATH)")
    n_classes = len(matrices[-1])
    with parameters_within(Allowance(source)):
        model = zoo.fresh(arch, n_classes, size or DEFAULT_SIZE)
    if arch in zoo.OWN:
        state = zoo.OWN[arch].own_names(state)
    _fill(model, {name: value for name, value in state.items() if not zoo.is_auxiliary(name)}, source, arch)
    _save(core_graph(model, size or DEFAULT_SIZE), target)


def timm_graph(source: Path, described: str, size: int, target: Path) -> None:
    """Write the graph of a folder of timm."""
    try:
        import timm
    except ModuleNotFoundError as error:
        raise UserError(f"{source} is a model of timm, which is not installed here; install it: pip install timm") from error
    from export.torch_graph import core_graph

    config = json.loads(described)
    model = timm.create_model(config["architecture"], pretrained=False, num_classes=config["num_classes"], **config["model_args"])
    _fill(model, _unwrapped(_read(source), source), source, config["architecture"])
    _save(core_graph(model, size), target)


def keras_graph(source: Path, _: str, size: int, target: Path) -> None:
    """Write the graph of a Keras model of built-in layers."""
    from models.tf.reading import read_model  # isort: skip  # first: TensorFlow as everywhere here, quiet and with oneDNN

    from export.tf_graph import core_graph

    model = read_model(source)
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (3, None):
        raise UserError(f"{source} takes inputs of shape {shape}, not colour images (batch, height, width, 3)")
    own = shape[1] or size
    if not own:
        raise UserError(f"{source} takes images of any size; say which size with --image-size PX")
    _save(core_graph(model, own), target)


def _read(source: Path) -> Any:
    """What a file of weights holds; nothing in it is executed."""
    import models.torch  # noqa: F401  # isort: skip  # first: it says what a low limit on memory would make an abort
    import torch

    try:
        if source.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol and sparse tensors
            return torch.load(source, map_location="cpu", weights_only=True)
    except ModuleNotFoundError as error:
        raise UserError(f"{source} needs the package safetensors; pip install safetensors") from error
    except Exception as error:  # truncated, not a pickle, or a pickle of more than tensors: each its own exception
        raise UserError(
            f"{source} holds more than tensors, which is never loaded, or is damaged; save it with "
            "torch.save(model.state_dict(), PATH)"
        ) from error


def _unwrapped(held: Any, source: Path) -> dict[str, Tensor]:
    """The state dict itself, without a checkpoint's enclosing dicts and name prefixes; UserError if there is none."""
    from torch import Tensor

    for name in _WRAPPERS:
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    every = held.items() if isinstance(held, dict) else ()
    state = {name: value for name, value in every if isinstance(name, str) and isinstance(value, Tensor)}
    if not state:
        raise UserError(f"{source} holds no state dict; save one with torch.save(model.state_dict(), PATH)")
    for prefix in _PARALLEL:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _fill(model: nn.Module, state: Mapping[str, Tensor], source: Path, arch: str) -> None:
    try:
        missing, unexpected = model.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:  # shapes; the first line of the message only names the class
        detail = one_line(RuntimeError(str(error).partition("\n")[2]), 140)
        raise UserError(f"{source} does not fit {arch}: {detail}; name its network with --arch") from error
    if missing or unexpected:
        fault = f"lacks {missing[0]}" if missing else f"has {unexpected[0]}"
        counts = f"{len(missing)} names missing, {len(unexpected)} unknown"
        raise UserError(f"{source} is not a {arch}: it {fault} ({counts}); name what it is with --arch")


def _save(graph: Any, target: Path) -> None:
    import onnx

    onnx.save(graph, target)


def main(arguments: Sequence[str]) -> None:
    """The child's command line."""
    framework, source, what, size, target = arguments
    graph_of = {"torch": torch_graph, "timm": timm_graph, "keras": keras_graph}[framework]
    try:
        graph_of(Path(source), what, int(size), Path(target))
    except (UserError, OSError):
        raise
    except Exception as error:  # exporters raise one of many types
        raise UserError(f"{source} cannot be exported ({one_line(error)})") from error


if __name__ == "__main__":
    from core.cli import run

    run(main, sys.argv[1:])
