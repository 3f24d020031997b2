"""Hostile ONNX files and the cards in them."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from models.card import METADATA_KEY
from tests.fuzz.world import Case, World, benchmark, damaged

Change = Callable[[ModelProto, Random, Path], None]


def _last(model: ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if "logits" in node.output)


def _before_logits(model: ModelProto, *nodes: onnx.NodeProto) -> None:
    """Put nodes from `before` to `logits` behind the network."""
    last = _last(model)
    last.output[0] = "before"
    every = list(model.graph.node)
    place = every.index(last) + 1
    del model.graph.node[:]
    model.graph.node.extend([*every[:place], *nodes, *every[place:]])


def _constant(model: ModelProto, name: str, values: object, kind: type = np.int64) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, kind), name))
    return name


def wrong_dtype(model: ModelProto, random: Random, _: Path) -> None:
    value = random.choice([*model.graph.input, *model.graph.output])
    value.type.tensor_type.elem_type = random.choice((2, 6, 7, 10, 11, 8, 99))


def wrong_rank(model: ModelProto, random: Random, _: Path) -> None:
    dims = random.choice([*model.graph.input, *model.graph.output]).type.tensor_type.shape.dim
    del dims[random.randrange(len(dims))]


def wrong_name(model: ModelProto, random: Random, _: Path) -> None:
    random.choice([*model.graph.input, *model.graph.output]).name = random.choice(("", "other", "\x1b[2J", "a\nb", "x" * 10**5))


def node_renamed(model: ModelProto, random: Random, _: Path) -> None:
    node = random.choice(model.graph.node)
    node.input[0] = random.choice(("nobody", "", "logits"))


def cycle(model: ModelProto, random: Random, _: Path) -> None:
    _before_logits(model, helper.make_node("Add", ["before", "second"], ["first"]),
                   helper.make_node("Relu", ["first"], ["second"]), helper.make_node("Relu", ["second"], ["logits"]))  # fmt: skip


def huge_dims(model: ModelProto, random: Random, _: Path) -> None:
    tensor = random.choice([t for t in model.graph.initializer if t.dims])
    tensor.dims[0] = random.choice((2**31, 2**40, 2**62, -1, 0))


def huge_constant(model: ModelProto, random: Random, _: Path) -> None:
    size = _constant(model, "size", [random.choice((2**33, 2**45, 2**62))])
    _before_logits(model, helper.make_node("ConstantOfShape", [size], ["huge"]), helper.make_node("ReduceSum", ["huge"], ["sum"]),
                   helper.make_node("Add", ["before", "sum"], ["logits"]))  # fmt: skip


def huge_input(model: ModelProto, random: Random, _: Path) -> None:
    side = random.choice((10**5, 2**40))
    for place in (1, 2):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_value = side
    _card(model, lambda card: card.update(image_height=side, image_width=side))


def outside_data(model: ModelProto, random: Random, folder: Path) -> None:
    tensor = random.choice(model.graph.initializer)
    n_bytes = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    place = random.choice(("../world/outside/secret.bin", str(folder.parent / "world" / "outside" / "secret.bin"), "absent.bin",
                           "a/../../world/outside/secret.bin", "pipe", "link", ""))  # fmt: skip
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder.parent / "world" / "outside" / "secret.bin")
    for key, value in (("location", place), ("offset", "0"), ("length", str(n_bytes))):
        tensor.external_data.add(key=key, value=value)


def custom_operator(model: ModelProto, random: Random, _: Path) -> None:
    model.opset_import.add(domain="their.domain", version=1)
    _before_logits(model, helper.make_node("RunThis", ["before"], ["logits"], domain="their.domain"))


def unknown_operator(model: ModelProto, random: Random, _: Path) -> None:
    random.choice(model.graph.node).op_type = random.choice(("", "Nothing", "PyOp", "Loop", "If", "Scan"))


def deep_if(model: ModelProto, random: Random, _: Path) -> None:
    _constant(model, "true", True, np.bool_)
    inner = helper.make_graph([helper.make_node("Relu", ["before"], ["deepest"])], "g", [],
                              [helper.make_tensor_value_info("deepest", 1, None)])  # fmt: skip
    for level in range(random.choice((3, 15, 24))):
        name = f"level{level}"
        node = helper.make_node("If", ["true"], [name], then_branch=inner, else_branch=inner if level < 3 else None)
        if level >= 3:
            flat = helper.make_graph([helper.make_node("Relu", ["before"], [f"e{level}"])], "e", [],
                                     [helper.make_tensor_value_info(f"e{level}", 1, None)])  # fmt: skip
            node.attribute.append(helper.make_attribute("else_branch", flat))
        inner = helper.make_graph([node], f"g{level}", [], [helper.make_tensor_value_info(name, 1, None)])
    (outermost,) = inner.node
    outermost.output[0] = "logits"
    _before_logits(model, outermost)


def endless_loop(model: ModelProto, random: Random, _: Path) -> None:
    _constant(model, "true", True, np.bool_)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])], "body",
        [info("i", 7, []), info("go", 9, []), info("x", 1, None)], [info("on", 9, []), info("y", 1, None)],
    )  # fmt: skip
    _before_logits(model, helper.make_node("Loop", ["", "true", "before"], ["logits"], body=body))


def one_row(model: ModelProto, random: Random, _: Path) -> None:
    names = [_constant(model, name, [value]) for name, value in (("start", 0), ("end", 1), ("axis", 0))]
    _before_logits(model, helper.make_node("Slice", ["before", *names], ["logits"]))


def mixes_images(model: ModelProto, random: Random, _: Path) -> None:
    axis = _constant(model, "axis", [0])
    _before_logits(model, helper.make_node("ReduceMean", ["before", axis], ["mean"], keepdims=1),
                   helper.make_node("Sub", ["before", "mean"], ["logits"]))  # fmt: skip


def not_finite(model: ModelProto, random: Random, _: Path) -> None:
    tensor = random.choice([t for t in model.graph.initializer if t.data_type == 1 and len(t.raw_data) > 8])
    values = numpy_helper.to_array(tensor).copy()
    values.flat[:] = random.choice((np.nan, np.inf))
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def recursive_function(model: ModelProto, random: Random, _: Path) -> None:
    model.opset_import.add(domain="own", version=1)
    node = helper.make_node("f", ["x"], ["y"], domain="own")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", "f", ["x"], ["y"], [node], opsets))
    _before_logits(model, helper.make_node("f", ["before"], ["logits"], domain="own"))


def twice_the_same_name(model: ModelProto, random: Random, _: Path) -> None:
    model.graph.initializer.append(random.choice(model.graph.initializer))
    model.graph.node.append(random.choice(model.graph.node))


def long_chain(model: ModelProto, random: Random, _: Path) -> None:
    names = ["before", *(f"n{i}" for i in range(3000)), "logits"]
    _before_logits(model, *(helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(names)))


def versions(model: ModelProto, random: Random, _: Path) -> None:
    if random.random() < 0.5:
        model.ir_version = random.choice((0, -1, 999, 2**62))
    elif random.random() < 0.5:
        del model.opset_import[:]
    else:
        model.opset_import[0].version = random.choice((0, -1, 99, 2**62))


def short_weights(model: ModelProto, random: Random, _: Path) -> None:
    tensor = random.choice([t for t in model.graph.initializer if len(t.raw_data) > 4])
    tensor.raw_data = tensor.raw_data[: random.randrange(len(tensor.raw_data))]


def empty_graph(model: ModelProto, random: Random, _: Path) -> None:
    del random.choice((model.graph.node, model.graph.output, model.graph.input))[:]


def _card(model: ModelProto, change: Callable[[dict[str, object]], object]) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    card = json.loads(entry.value)
    change(card)
    entry.value = json.dumps(card)


def card_text(model: ModelProto, random: Random, _: Path) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = random.choice(("", "{", "[]", "nul", "[" * 50_000, "9" * 9999, entry.value[: len(entry.value) // 2],
                                 "{" + " " * (70 * 2**20) + "}"))  # fmt: skip


def card_field(model: ModelProto, random: Random, _: Path) -> None:
    value = random.choice((5, -1, None, "", [], {}, [[1]], 10**30, "\x1b]0;x\x07", True, float("nan")))

    def change(card: dict[str, object]) -> None:
        card[
            random.choice(("name", "class_names", "image_height", "dataset_sha256", "preprocessing", "schema", "rule", "members"))
        ] = value

    _card(model, change)


def card_lacks(model: ModelProto, random: Random, _: Path) -> None:
    _card(model, lambda card: card.pop(random.choice(("name", "class_names", "image_height", "dataset", "seed", "backend"))))


def no_card(model: ModelProto, random: Random, _: Path) -> None:
    del model.metadata_props[:]


def many_metadata(model: ModelProto, random: Random, _: Path) -> None:
    for index in range(20_000):
        model.metadata_props.add(key=f"key{index}", value="x" * 100)


# Whether a change may leave a file that can be measured.
MAY_PASS = {deep_if, long_chain, many_metadata, card_field, versions, wrong_dtype, twice_the_same_name, node_renamed, outside_data,
            wrong_rank, huge_dims}  # fmt: skip
CHANGES: tuple[Change, ...] = (
    wrong_dtype, wrong_rank, wrong_name, node_renamed, cycle, huge_dims, huge_constant, huge_input, outside_data, custom_operator,
    unknown_operator, deep_if, endless_loop, one_row, mixes_images, not_finite, recursive_function, twice_the_same_name, long_chain,
    versions, short_weights, empty_graph, card_text, card_field, card_lacks, no_card, many_metadata,
)  # fmt: skip


def _arguments(command: str, path: Path, world: World) -> list[str]:
    if command == "benchmark":
        return benchmark(path, world)
    if command == "ensemble":
        return [str(path), str(world.other_model), "--data", str(world.photos), "--out", "made/fused.onnx"]
    if command == "export.quantize":
        return [str(path), "--to", "fp16", "--data", str(world.photos), "--out", "made"]
    if command == "export.adopt":
        names = ["--class-names", "data", "--image-size", "8", "--mean", "0", "--std", "1"]
        return [str(path), "--data", str(world.photos), "--out", "made/adopted.onnx", "--output", "logits", *names]
    return [str(path), "--triton", "made"]


def cases(count: int) -> Iterator[Case]:
    """`count` hostile files, every kind among them, for the commands that take one."""
    commands = ("benchmark", "ensemble", "export.quantize", "benchmark", "export.adopt")
    for index in range(count):
        change = CHANGES[index % len(CHANGES)] if index % 3 else None
        if change is None:
            yield Case("onnx bytes", f"bytes{index}", commands[index // 3 % len(commands)], _bytes(index), must_fail=False)
        else:
            command = commands[(index + index // len(CHANGES)) % len(commands)]
            may_pass = change in MAY_PASS or command == "export.adopt"
            kind = f"onnx {change.__name__.replace('_', ' ')}"
            yield Case(kind, f"{change.__name__}{index}", command, _changed(change, command), must_fail=not may_pass)


def _bytes(index: int) -> Callable[[Path, Random, World], list[str]]:
    commands = ("benchmark", "ensemble", "export.quantize", "benchmark", "export.adopt")

    def make(folder: Path, random: Random, world: World) -> list[str]:
        path = folder / "hostile.onnx"
        data = world.model.read_bytes()
        path.write_bytes(random.choice((b"", random.randbytes(300), *(damaged(data, random) for _ in range(6)))))
        return _arguments(commands[index // 3 % len(commands)], path, world)

    return make


def _changed(change: Change, command: str) -> Callable[[Path, Random, World], list[str]]:
    def make(folder: Path, random: Random, world: World) -> list[str]:
        model = onnx.load(world.model)
        change(model, random, folder)
        if command == "export.adopt":  # which takes files that have no card
            no_card(model, random, folder)
        path = folder / "hostile.onnx"
        path.write_bytes(model.SerializeToString())
        return _arguments(command, path, world)

    return make
