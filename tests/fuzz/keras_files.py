"""Hostile .keras files, for the functions that read them: each command does so in a child of seconds."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import marshal
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.world import Case, World, damaged
from tests.tiny_models import tiny_card

PRELOADED = ("models.tf", "models.tf.network", "export.adopt.native")
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
Change = Callable[[dict[str, bytes], Random, World], None]


def main(arguments: Sequence[str]) -> None:
    """Read a file as the export does, or the adoption."""
    how, path = arguments[0], Path(arguments[1])
    if how == "export":
        from models.tf.network import load

        load(path)
    else:
        from export.adopt.native import keras_graph

        keras_graph(path, "", 8, path.with_suffix(".onnx"))
        remove_generated()


def remove_generated() -> None:
    """What TensorFlow removes itself at the exit of a process, and a fork has none."""
    for left in Path(tempfile.gettempdir()).glob("__autograph_generated_file*"):
        left.unlink()
    shutil.rmtree(Path(tempfile.gettempdir()) / "__pycache__", ignore_errors=True)


def _layer(class_name: str, name: str, behind: str, shape: list[int | None], **config: object) -> dict[str, Any]:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": shape, "dtype": "float32", "keras_history": [behind, 0, 0]}}
    inbound = [{"args": [tensor], "kwargs": {}}] if behind else []
    return {"module": "keras.layers", "class_name": class_name, "config": {"name": name, "dtype": "float32", **config},
            "registered_name": None, "name": name, "inbound_nodes": inbound}  # fmt: skip


def whole() -> dict[str, bytes]:
    """The parts of a small file that can be read, as Keras would write it."""
    config = {
        "name": "tiny",
        "layers": [
            _layer("InputLayer", "images_nhwc", "", [], batch_shape=[None, 8, 8, 3]),
            _layer("Flatten", "flatten", "images_nhwc", [None, 8, 8, 3]),
            _layer("Dense", "dense", "flatten", [None, 192], units=3, activation="linear"),
        ],
        "input_layers": [["images_nhwc", 0, 0]],
        "output_layers": [["dense", 0, 0]],
    }
    model = {"module": "keras.src.models.functional", "class_name": "Functional", "config": config, "registered_name": "Functional"}
    return {CONFIG: json.dumps(model).encode(), METADATA: b'{"keras_version": "3.15.1"}', WEIGHTS: _hdf5(None)}


def _hdf5(change: Callable[[Any], object] | None) -> bytes:
    """The weights, and what `change` does with the open file."""
    import h5py
    import numpy as np

    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((192, 3), np.float32)
        file["layers/dense/vars/1"] = np.zeros(3, np.float32)
        if change is not None:
            change(file)
    return held.getvalue()


def _instead(parts: dict[str, bytes], change: Callable[[dict[str, Any]], object]) -> None:
    """Change the configuration of the last layer."""
    model = json.loads(parts[CONFIG])
    change(model["config"]["layers"][-1])
    parts[CONFIG] = json.dumps(model).encode()


def foreign_class(parts: dict[str, bytes], random: Random, world: World) -> None:
    """Names of functions and classes that are no layers, which a reader may import and call."""
    module, name = random.choice((("pathlib", "Path"), ("os", "system"), ("builtins", "eval"), ("keras.utils", "get_file"),
                                  ("keras.src.utils.file_utils", "get_file"), ("keras.config", "enable_unsafe_deserialization"),
                                  ("tensorflow", "io.write_file"), ("tests.fuzz.weights", "Runs")))  # fmt: skip
    given = {"fname": "ran", "origin": world.secret.as_uri(), "filename": "ran", "contents": "ran"}
    _instead(parts, lambda layer: layer.update(module=module, class_name=name, config=given, registered_name=name))


def code(parts: dict[str, bytes], random: Random, world: World) -> None:
    """A function of Python's own byte code."""
    text = base64.b64encode(marshal.dumps(compile("open('ran', 'w')", "x", "eval"))).decode()
    function = {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}
    _instead(parts, lambda layer: layer.update(class_name="Lambda", config={"name": "dense", "function": function}))


def field(parts: dict[str, bytes], random: Random, world: World) -> None:
    value = random.choice((None, -1, 0, 10**12, "\x1b[2J", [], {}, 1.5, "open", [[1]]))
    _instead(parts, lambda layer: layer["config"].update({random.choice(("units", "activation", "name", "dtype")): value}))


def huge_layer(parts: dict[str, bytes], random: Random, world: World) -> None:
    """Weights, or outputs, of gigabytes, which no byte of the file holds."""
    image, again = ("Reshape", {"target_shape": [8, 8, 3]}), [("RepeatVector", {"n": 64}), ("Flatten", {})]  # 192 values, as before
    pooled = [("GlobalAveragePooling2D", {}), *again]
    layers = random.choice((
        [("Dense", {"units": 10**8})], [("Dense", {"units": 10**12})], [("Dense", {"units": 20_000})] * 12,
        [("Dense", {"units": 10**6}), ("Dense", {"units": 10**6})], [("BatchNormalization", {}), ("Dense", {"units": 10**8})],
        [("RepeatVector", {"n": 3}), ("GRU", {"units": 10**5})], [("Embedding", {"input_dim": 10**9, "output_dim": 64})],
        [("RepeatVector", {"n": 10**9}), ("GlobalMaxPooling1D", {})], [image, ("UpSampling2D", {"size": [10**4, 10**4]}), *pooled],
        [image, ("ZeroPadding2D", {"padding": [10**5, 10**5]}), *pooled],
        [image, ("Conv2D", {"filters": 10**9, "kernel_size": [3, 3]}), *pooled],
    ))  # fmt: skip
    put_between(parts, list(layers))


def many_layers(parts: dict[str, bytes], random: Random, world: World) -> None:
    """So many layers that it takes minutes to build them."""
    layer = random.choice((("Activation", {"activation": "relu"}), ("Dense", {"units": 9})))
    put_between(parts, [layer] * random.choice((300, 60_000)))


def put_between(parts: dict[str, bytes], layers: list[tuple[str, dict[str, Any]]]) -> None:
    """Put layers before the last one."""
    model = json.loads(parts[CONFIG])
    behind, config = "flatten", model["config"]["layers"]
    for number, (class_name, given) in enumerate(layers):
        config.insert(-1, _layer(class_name, f"between{number}", behind, [None, 192], **given))
        behind = f"between{number}"
    tensor = config[-1]["inbound_nodes"][0]["args"][0]["config"]
    tensor["keras_history"] = [behind, 0, 0]
    parts[CONFIG] = json.dumps(model).encode()


def structure(parts: dict[str, bytes], random: Random, world: World) -> None:
    """Another value somewhere above the layers."""
    model = json.loads(parts[CONFIG])
    where = random.choice((model, model["config"]))
    where[random.choice(list(where))] = random.choice((None, 5, [], {}, "\x1b[2J", [["dense", 0, 0]] * 2, [["nobody", 0, 0]]))
    parts[CONFIG] = json.dumps(model).encode()


def text(parts: dict[str, bytes], random: Random, world: World) -> None:
    part = random.choice((CONFIG, CONFIG, METADATA))
    parts[part] = random.choice((b"", b"{", b"[]", b"[" * 200_000, b'{"config": ' * 200_000, b"9" * 9999, b"\xff\xfe", b"null",
                                 parts[part][: len(parts[part]) // 2]))  # fmt: skip


def absent(parts: dict[str, bytes], random: Random, world: World) -> None:
    del parts[random.choice(list(parts))]


def bomb(parts: dict[str, bytes], random: Random, world: World) -> None:
    parts[random.choice(list(parts))] = bytes(300_000_000)


def not_finite(parts: dict[str, bytes], random: Random, world: World) -> None:
    def change(file: Any) -> None:
        file["layers/dense/vars/0"][:] = random.choice((float("nan"), float("inf")))

    parts[WEIGHTS] = _hdf5(change)


def other_weights(parts: dict[str, bytes], random: Random, world: World) -> None:
    import numpy as np

    values = random.choice((np.zeros((5, 3), np.float32), np.array([b"text"]), np.zeros((192, 3), np.complex64), np.zeros(0)))

    def change(file: Any) -> None:
        del file["layers/dense/vars/0"]
        if random.random() < 0.8:
            file["layers/dense/vars/0"] = values

    parts[WEIGHTS] = _hdf5(change)


def outside_weights(parts: dict[str, bytes], random: Random, world: World) -> None:
    """Weights that lie in another file, which HDF5 would open."""
    import h5py

    how = random.choice(("external bytes", "external link", "circle"))

    def change(file: Any) -> None:
        del file["layers/dense/vars/0"]
        if how == "external bytes":
            file.create_dataset("layers/dense/vars/0", (192, 3), "f4", external=[(str(world.secret), 0, 192 * 3 * 4)])
        elif how == "external link":
            file["layers/dense/vars/0"] = h5py.ExternalLink(str(world.secret), "/x")
        else:
            file["layers/dense/vars/0"] = h5py.SoftLink("/layers/dense/vars/0")

    parts[WEIGHTS] = _hdf5(change)


def huge_weights(parts: dict[str, bytes], random: Random, world: World) -> None:
    """A dataset that claims terabytes and holds nothing."""

    def change(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file.create_dataset("layers/dense/vars/0", (2**40, 3), "f4", chunks=(1024, 3))

    parts[WEIGHTS] = _hdf5(change)


def damaged_weights(parts: dict[str, bytes], random: Random, world: World) -> None:
    parts[WEIGHTS] = damaged(parts[WEIGHTS], random)


def paths(parts: dict[str, bytes], random: Random, world: World) -> None:
    """Entries that would leave the folder in which somebody unpacks them, the rest being whole."""
    parts[random.choice(("../ran", "/tmp/ran", "assets/../../ran", "assets/\x1b[2J"))] = b"ran"


CHANGES: tuple[Change, ...] = (foreign_class, code, field, huge_layer, many_layers, structure, text, absent, bomb, not_finite,
                               other_weights, outside_weights, huge_weights, damaged_weights, paths)  # fmt: skip


def _file(change: Change | None, how: str) -> Callable[[Path, Random, World], list[str]]:
    """change: None for damaged bytes; how: as `main` takes it."""

    def make(folder: Path, random: Random, world: World) -> list[str]:
        path, parts = folder / "hostile.keras", whole()
        if change is not None:
            change(parts, random, world)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, held in parts.items():
                archive.writestr(name, held)
        if change is None:
            path.write_bytes(damaged(path.read_bytes(), random))
        card = dataclasses.replace(tiny_card("hostile", layout="nhwc", dataset="photos"), backend="tensorflow")
        Path(f"{path}.json").write_text(card.to_json())
        return [how, str(path)]

    return make


def cases(count: int) -> Iterator[Case]:
    """`count` of these."""
    every = (*CHANGES, None)
    for index in range(count):
        change, how = every[index % len(every)], ("export", "adopt")[index // len(every) % 2]
        name = change.__name__ if change else "bytes"
        yield Case(f".keras {how}", f"{name} {how} {index}", "tests.fuzz.keras_files", _file(change, how), must_fail=False)
