"""What MODEL may be: an ONNX file, a folder that a tool left, or native weights; and what lies beside it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError, few, one_line
from core.files import is_file, parse_json, read_text, real_path
from export.adopt.classes.names import OutputClasses, from_names, in_order
from export.adopt.network.graph import Foreign, read
from export.adopt.stated import Stated, from_hugging_face, from_timm, from_ultralytics
from models.card import card_path

NATIVE = (".pth", ".keras")
_TIMM_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Source:
    """A model as it was given.

    path: of the file that holds its weights; name: for the adopted file; stated: its preprocessing, as far as files beside it
    state it; says: which files these are; classes: names of its outputs if they are beside it; architecture: if it is known.
    """

    path: Path
    name: str
    graph: Foreign
    stated: Stated
    says: str
    classes: OutputClasses | None
    architecture: str
    backend: str


def open_source(
    path: Path, output: str | None, arch: str | None, image_size: int | None, scratch: Path, say: Callable[[str], None]
) -> Source:
    """Whatever `path` is, as a graph with what is known of it; native weights are exported into `scratch` by a child process.

    UserError if it is nothing that can be adopted.
    """
    if path.is_dir():
        return _folder(path, output, image_size, scratch, say)
    if not is_file(path):
        raise UserError(f"there is no file or folder {path}; name an .onnx file, a .pth or .keras file, or a folder with a model")
    if path.suffix in NATIVE:
        return _native(path, output, arch, image_size, scratch, say)
    config = _json_beside(path.parent, "config.json")
    return _onnx(path, path.stem, output, config, _json_beside(path.parent, "preprocessor_config.json"))


def _folder(path: Path, output: str | None, image_size: int | None, scratch: Path, say: Callable[[str], None]) -> Source:
    name = real_path(path).name
    config = _json_beside(path, "config.json")
    files = sorted(path.glob("*.onnx"))
    chosen = [file for file in files if file.name == "model.onnx"] or files
    if len(chosen) == 1:
        return _onnx(chosen[0], name, output, config, _json_beside(path, "preprocessor_config.json"))
    if chosen:
        raise UserError(f"{path} holds {len(files)} ONNX files ({few([file.name for file in files])}); name one of them")
    weights = [path / file for file in _TIMM_WEIGHTS if (path / file).is_file()]
    if config is None or "pretrained_cfg" not in config or "architecture" not in config or not weights:
        raise UserError(
            f"{path} holds no model.onnx (as optimum-cli export onnx leaves it), and no config.json of timm with its weights "
            f"({' or '.join(_TIMM_WEIGHTS)}); name an .onnx file"
        )
    from export.adopt.native import graph_of_timm

    pretrained = config["pretrained_cfg"]
    stated = from_timm(pretrained, str(path / "config.json"))
    size = image_size or stated.image_size or 224
    graph = read(graph_of_timm(weights[0], config, size, scratch, say), output)
    labels = config.get("label_names") or pretrained.get("label_names")
    classes = from_names([str(label) for label in labels], "label_names in its config.json") if labels else None
    return Source(weights[0], name, graph, stated, "config.json", classes, str(config["architecture"]), "torch")


def _native(
    path: Path, output: str | None, arch: str | None, image_size: int | None, scratch: Path, say: Callable[[str], None]
) -> Source:
    from export.adopt.native import graph_of_weights

    if card_path(path).is_file():
        raise UserError(f"{path} has a card, {card_path(path).name}, and needs no adoption; python -m export.to_onnx {path}")
    if path.suffix == ".pth" and arch is None:
        raise UserError(f"{path} holds weights without their network; add --arch NAME, an architecture of torchvision")
    graph = read(graph_of_weights(path, arch, image_size, scratch, say), output)
    backend = "torch" if path.suffix == ".pth" else "tensorflow"
    return Source(path, path.stem, graph, Stated(), "", None, arch or "keras", backend)


def _onnx(
    path: Path, name: str, output: str | None, config: Mapping[str, Any] | None, processor: Mapping[str, Any] | None
) -> Source:
    graph = read(path, output)
    metadata = graph.metadata
    says: list[str] = []
    stated, classes = Stated(), None
    architecture = graph.model.graph.name or path.stem
    if processor is not None:
        stated, says = (
            from_hugging_face(processor, str(path.parent / "preprocessor_config.json")),
            [*says, "preprocessor_config.json"],
        )
    if config is not None and isinstance(config.get("id2label"), Mapping):
        names = in_order(config["id2label"])
        classes = from_names(names, "id2label in its config.json") if names else None
        architecture = str((config.get("architectures") or [config.get("model_type") or architecture])[0])
    if config is not None and "pretrained_cfg" in config and processor is None:
        stated, says = from_timm(config["pretrained_cfg"], str(path.parent / "config.json")), [*says, "config.json"]
    if metadata.get("author") == "Ultralytics" or metadata.get("task") == "classify":
        if metadata.get("task") != "classify":
            raise UserError(f"{path} is an Ultralytics model for {metadata.get('task', 'another task')}, not for classification")
        stated, says = from_ultralytics(metadata), ["its Ultralytics metadata"]
        classes = _ultralytics_names(metadata) or classes
        architecture = metadata.get("description", architecture)
    return Source(path, name, graph, stated, " and ".join(says), classes, architecture, _backend(graph))


def _ultralytics_names(metadata: Mapping[str, str]) -> OutputClasses | None:
    try:
        metadata_names = ast.literal_eval(metadata.get("names", ""))
    except (ValueError, SyntaxError):
        return None
    names = (
        in_order(metadata_names)
        if isinstance(metadata_names, dict)
        else [str(name) for name in metadata_names]
        if isinstance(metadata_names, list)
        else None
    )
    return from_names(names, "names in its metadata") if names else None


def _backend(graph: Foreign) -> str:
    producer = graph.model.producer_name.lower()
    if "torch" in producer:
        return "torch"
    return "tensorflow" if producer.startswith(("tf2onnx", "keras")) else "onnx"


def _json_beside(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / name
    if not path.is_file():
        return None
    try:
        config = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({one_line(error, 80)}); correct it or remove it") from error
    return config if isinstance(config, dict) else None
