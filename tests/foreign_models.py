"""Classifiers as other tools leave them, made by hand, and a folder of images that they know; nothing of this project in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

GRID = 8  # cells a side of what the networks look at
CLASSES = tuple(
    f"{colour} {place} {shade}"
    for colour in ("amber", "blue")
    for place in ("left", "right")
    for shade in ("dark", "grey", "light")
)
TYPES = {"float32": 1, "uint8": 2, "float16": 10}
LEVELS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1 / 255, "rgb"),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1 / 255, "rgb"),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1 / 255, "rgb"),
    "raw": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0, "rgb"),
    "caffe": ((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), 1.0, "bgr"),
    "raw bgr": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0, "bgr"),
}


@dataclass(frozen=True)
class Foreign:
    """How a network is made. levels: what it is shown of a pixel; batch: "symbolic", or a number at which it is fixed, inside
    too if `batch_inside`; output: what its last node gives.
    """

    element: str = "float32"
    layout: str = "nchw"
    batch: str | int = "symbolic"
    batch_inside: bool = False
    output: str = "logits"
    opset: int = 17
    levels: str = "imagenet"
    resize: str = "shortest"
    size: int = 16
    resize_size: int = 16
    interpolation: str = "bilinear"
    initializers_as_inputs: bool = False
    external: bool = False

    @property
    def name(self) -> str:
        """For a file."""
        parts = [self.element, self.layout, f"batch-{self.batch}{'-inside' * self.batch_inside}", self.output, f"opset{self.opset}",
                 self.levels, self.resize, f"{self.size}of{self.resize_size}", self.interpolation]  # fmt: skip
        parts += ["inputs"] * self.initializers_as_inputs + ["external"] * self.external
        return "_".join(parts).replace(" ", "-")


def picture(label: int, random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """A bar on a ground: its colour, its place and the brightness of all say the class."""
    colour, place, shade = label // 6, label // 3 % 2, label % 3
    image = np.full((height, width, 3), (55, 95, 140)[shade], np.float64)
    start = int(width * (0.16, 0.29)[place]) + random.integers(-1, 2)
    bar = image[:, start : start + max(2, width // 8)]
    bar += np.array([(70, 20, -50), (-50, 20, 70)][colour])
    image += random.normal(0, 8, 3) + random.normal(0, 14, (height, width, 1))
    return image.clip(0, 255).astype(np.uint8)


def write_folder(root: Path, height: int = 24, width: int = 32, n_train: int = 50, n_test: int = 6) -> Path:
    """An image folder of `CLASSES`."""
    random = np.random.default_rng(0)
    for split, n_images in (("train", n_train), ("test", n_test)):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(n_images):
                Image.fromarray(picture(label, random, height, width)).save(folder / f"{index:03}.png")
    return root


def prepare(images_u8: NDArray[np.uint8], how: Foreign) -> NDArray[Any]:
    """What the network is shown of uint8 (n, h, w, 3), by Pillow on float32, in its own type and layout."""
    height, width = images_u8.shape[1:3]
    if how.resize == "squash":
        new = (how.resize_size, how.resize_size)
    else:
        new = tuple(int(how.resize_size * side / min(height, width)) for side in (height, width))
    chosen = Image.Resampling[how.interpolation.upper()]
    planes = [
        [np.asarray(Image.fromarray(image[..., c].astype(np.float32)).resize(new[::-1], chosen)) for c in range(3)]
        for image in images_u8
    ]
    pixels = np.array(planes).transpose(0, 2, 3, 1).clip(0, 255)
    top, left = (round((side - how.size) / 2) for side in new)
    pixels = pixels[:, top : top + how.size, left : left + how.size]
    mean, std, scale, channels = LEVELS[how.levels]
    pixels = pixels[..., ::-1] if channels == "bgr" else pixels
    pixels = np.floor(pixels + 0.5) if how.element == "uint8" else (pixels * scale - np.array(mean)) / np.array(std)
    pixels = pixels.transpose(0, 3, 1, 2) if how.layout == "nchw" else pixels
    return np.ascontiguousarray(pixels, dtype=how.element)


@cache
def weights(levels: str, element: str, resize: str, size: int, resize_size: int, interpolation: str) -> tuple[Any, Any]:
    """Least squares on made-up training images: matrix (3 · 8 · 8, 12 classes) and bias, of average-pooled prepared pixels."""
    how = Foreign(element=element, levels=levels, resize=resize, size=size, resize_size=resize_size, interpolation=interpolation)
    random = np.random.default_rng(1)
    labels = np.arange(1200) % len(CLASSES)
    images = np.stack([picture(label, random, 24, 32) for label in labels])
    pixels = prepare(images, replace(how, layout="nchw")).astype(np.float64)
    cell = size // GRID
    features = pixels.reshape(len(images), 3, GRID, cell, GRID, cell).mean(axis=(3, 5)).reshape(len(images), -1)
    centred = features - features.mean(axis=0)
    ridge = 1e-3 * np.trace(centred.T @ centred) / centred.shape[1] * np.eye(centred.shape[1])
    wanted = 8 * (np.eye(len(CLASSES))[labels] - 1 / len(CLASSES))
    matrix = np.linalg.solve(centred.T @ centred + ridge, centred.T @ wanted)
    return matrix, -features.mean(axis=0) @ matrix


def make(how: Foreign) -> ModelProto:
    """The network: convolution, average pooling, one linear layer, and the end that `how` asks for."""
    from onnx import helper, numpy_helper

    matrix, bias = weights(how.levels, how.element, how.resize, how.size, how.resize_size, how.interpolation)
    dtype = np.float16 if how.element == "float16" else np.float32
    constants = {
        "conv_weight": np.eye(3).reshape(3, 3, 1, 1), "fc_weight": matrix, "fc_bias": bias,
    }  # fmt: skip
    arrays: dict[str, NDArray[Any]] = {name: values.astype(dtype) for name, values in constants.items()}
    node = helper.make_node
    nodes, name = [], "pixels"
    if how.element == "uint8":
        nodes.append(node("Cast", [name], ["as_float"], to=1))
        name = "as_float"
    if how.layout == "nhwc":
        nodes.append(node("Transpose", [name], ["as_nchw"], perm=[0, 3, 1, 2]))
        name = "as_nchw"
    cell = how.size // GRID
    nodes += [
        node("Conv", [name, "conv_weight"], ["conv"]),
        node("AveragePool", ["conv"], ["pooled"], kernel_shape=[cell, cell], strides=[cell, cell]),
    ]
    if how.batch_inside:
        arrays["flat_shape"] = np.array([how.batch if how.batch != "symbolic" else 1, 3 * GRID * GRID], np.int64)
        nodes.append(node("Reshape", ["pooled", "flat_shape"], ["flat"]))
    else:
        nodes.append(node("Flatten", ["pooled"], ["flat"]))
    nodes.append(node("Gemm", ["flat", "fc_weight", "fc_bias"], ["scores"]))
    more, outputs, extra = _end(how, arrays)
    nodes += more
    batch = how.batch if how.batch != "symbolic" else "N"
    shape = [batch, 3, how.size, how.size] if how.layout == "nchw" else [batch, how.size, how.size, 3]
    out_type = TYPES["float16"] if how.element == "float16" else 1
    values = [helper.make_tensor_value_info(o, out_type, [batch, len(CLASSES), *tail]) for o, tail in outputs]
    inputs = [helper.make_tensor_value_info("pixels", TYPES[how.element], shape)]
    tensors = [numpy_helper.from_array(array, key) for key, array in arrays.items()]
    if how.initializers_as_inputs:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    graph = helper.make_graph(nodes, "foreign", inputs, [*values, *extra], tensors)
    imports = [helper.make_opsetid("", how.opset)]
    if how.output == "labels and map":
        imports.append(helper.make_opsetid("ai.onnx.ml", 2))
    ir_version = 3 if how.initializers_as_inputs else helper.find_min_ir_version_for(imports, ignore_unknown=True)
    return helper.make_model(graph, opset_imports=imports, ir_version=max(ir_version, 3), producer_name="by hand")


def _end(how: Foreign, arrays: dict[str, NDArray[Any]]) -> tuple[list[Any], list[tuple[str, list[int]]], list[Any]]:
    """Nodes after `scores`, outputs with the sizes after the classes, and further outputs."""
    from onnx import helper

    node = helper.make_node
    axis = {"axis": 1}
    if how.output == "logits":
        return [], [("scores", [])], []
    if how.output == "softmax":
        return [node("Softmax", ["scores"], ["probs"], **axis)], [("probs", [])], []
    if how.output == "log softmax":
        return [node("LogSoftmax", ["scores"], ["logs"], **axis)], [("logs", [])], []
    if how.output == "sigmoid":
        return [node("Sigmoid", ["scores"], ["each"])], [("each", [])], []
    if how.output == "both":
        return [node("Softmax", ["scores"], ["probs"], **axis)], [("scores", []), ("probs", [])], []
    if how.output == "four dimensions":
        arrays["four"] = np.array([0, 0, 1, 1], np.int64)
        return (
            [node("Reshape", ["scores", "four"], ["wide"]), node("Softmax", ["wide"], ["probs"], **axis)],
            [("probs", [1, 1])],
            [],
        )
    if how.output == "quotient":
        nodes = [node("Exp", ["scores"], ["powers"])]
        if how.opset >= 13:
            arrays["class_axis"] = np.array([1], np.int64)
            nodes.append(node("ReduceSum", ["powers", "class_axis"], ["sum"]))
        else:
            nodes.append(node("ReduceSum", ["powers"], ["sum"], axes=[1]))
        return [*nodes, node("Div", ["powers", "sum"], ["probs"])], [("probs", [])], []
    assert how.output == "labels and map"
    nodes = [
        node("Softmax", ["scores"], ["probs"], **axis),
        node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        node("ZipMap", ["probs"], ["by_class"], domain="ai.onnx.ml", classlabels_int64s=list(range(len(CLASSES)))),
    ]
    label = helper.make_tensor_value_info("label", 7, ["N"])
    kinds = helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, []))
    by_class = helper.make_value_info("by_class", helper.make_sequence_type_proto(kinds))
    return nodes, [], [label, by_class]


def write(path: Path, how: Foreign) -> Path:
    """Write the network, its weights beside it if `how` says so."""
    import onnx

    model = make(how)
    if how.external:
        onnx.save(model, path, save_as_external_data=True, location=path.name + ".data", size_threshold=0)
    else:
        onnx.save(model, path)
    return path
