"""What a step computes in, and what evaluation does."""

from __future__ import annotations

from models.tf import network as tf_resnet  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.environment import cpu_flags
from core.errors import UserError
from models.tf.network import build
from models.tf.residual import residual_blocks
from train.files.checkpoint import UNREADABLE
from train.learning.whitening import whitening_filters
from train.recipe_choice import named
from train.recipes import TfRecipe
from train.tf import optimisation as tf_optimisation
from train.tf.optimisation import graphs_in_bf16, precision_of, start_as_identity, whiten
from train.tf.state import State, read_checkpoint

IN_HARDWARE = bool({"avx512_bf16", "amx_bf16"} & set(cpu_flags()))


@pytest.mark.skipif(not IN_HARDWARE, reason="needs a CPU that computes in bfloat16")
def test_on_a_cpu_bf16_is_of_the_training_step_alone() -> None:
    generator = np.random.default_rng(0)
    images_nhwc = generator.random((8, 32, 32, 3), dtype=np.float32)
    labels = np.eye(4, dtype=np.float32)[np.arange(8) % 4]
    losses = {}
    for precision in ("fp32", "bf16"):
        keras.utils.set_random_seed(0)
        state = State(TfRecipe(data="digits"), 4, precision, 10)
        losses[precision], _ = state.step(images_nhwc, labels)
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert {weight.dtype for weight in state.model.weights} == {"float32"}
    state.follow()
    state.update_judged()
    through_a_graph = state.judged.predict_on_batch(images_nhwc)
    eagerly = np.asarray(state.judged(images_nhwc, training=False))
    np.testing.assert_allclose(through_a_graph, eagerly, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not IN_HARDWARE, reason="needs a CPU that computes in bfloat16")
def test_a_graph_computes_in_bf16_inside_and_in_fp32_again_outside() -> None:
    generator = np.random.default_rng(0)
    a, b = (tf.constant(generator.normal(size=(64, 64)).astype(np.float32)) for _ in range(2))
    product = tf.function(lambda x, y: tf.nn.relu(tf.matmul(x, y)))
    exact = np.maximum(a.numpy().astype(np.float64) @ b.numpy(), 0)
    worst = []
    for wanted in (False, True, False):
        with graphs_in_bf16(wanted):
            worst.append(abs(product(a, b).numpy() - exact).max())
    assert worst[0] < 1e-4
    assert 1e-3 < worst[1] < 1
    assert worst[2] < 1e-4


@pytest.mark.parametrize(
    ("flags", "found"), [(["avx512_bf16"], "bf16"), (["amx_bf16"], "bf16"), (["avx512f"], "fp32"), ([], "fp32")]
)
def test_auto_precision_on_a_cpu_is_what_the_hardware_computes_in(
    flags: list[str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf_optimisation, "cpu_flags", lambda: flags)
    assert precision_of(TfRecipe(), "cpu") == precision_of(named(TfRecipe, "fast"), "cpu") == found
    assert precision_of(TfRecipe(jit=True), "cpu") == "fp32"
    assert precision_of(TfRecipe(precision="fp32"), "cpu") == "fp32"
    assert precision_of(TfRecipe(precision="bf16"), "cpu") == "bf16"


@pytest.mark.parametrize(("capabilities", "found"), [([(9, 0)], "bf16"), ([(8, 0), (7, 5)], "fp32"), ([(7, 0)], "fp32")])
def test_auto_precision_on_gpus_is_what_all_of_them_compute_in(
    capabilities: list[tuple[int, int]], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _kind: capabilities)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": gpu})
    assert precision_of(TfRecipe(), "cuda") == found


def test_biases_of_normalisations_move_faster_by_the_factor() -> None:
    generator = np.random.default_rng(0)
    images_nhwc = generator.random((8, 32, 32, 3), dtype=np.float32)
    labels = np.eye(4, dtype=np.float32)[np.arange(8) % 4]
    moved = {}
    for factor in (1.0, 64.0):
        keras.utils.set_random_seed(0)
        state = State(TfRecipe(optimizer="sgd", lr=1e-3, bias_lr=factor), 4, "fp32", 10)
        before = {variable.path: variable.numpy() for variable in state.model.trainable_variables}
        state.step(images_nhwc, labels)
        moved[factor] = {variable.path: variable.numpy() - before[variable.path] for variable in state.model.trainable_variables}
    for path, by in moved[1.0].items():
        factor = 64.0 if path.endswith("/beta") else 1.0
        np.testing.assert_allclose(moved[64.0][path], by * factor, rtol=1e-3, atol=1e-6)
    assert sum(path.endswith("/beta") for path in moved[1.0]) == 20


def test_a_checkpoint_with_a_damaged_header_is_unreadable_in_a_way_that_is_known(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (((, }\n"  # parsed as Python
    with zipfile.ZipFile(tmp_path / "checkpoint", "w") as archive:
        archive.writestr("progress.npy", np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header)
    with pytest.raises(UNREADABLE):
        read_checkpoint(tmp_path / "checkpoint")


def test_a_whitened_convolution_keeps_its_filters_through_training_and_checkpoint(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images_nhwc = generator.random((8, 32, 32, 3), dtype=np.float32)
    labels = np.eye(4, dtype=np.float32)[np.arange(8) % 4]
    recipe = TfRecipe(whitening=True, ema_decay=0.5, optimizer="sgd")
    state, other = (State(recipe, 4, "fp32", 10, images) for images in (images_nhwc, images_nhwc[::-1] * [1, 2, 3]))
    for _ in range(2):
        state.step(images_nhwc, labels)
        state.follow()
    state.update_judged()
    state.write_checkpoint(tmp_path / "checkpoint", "", state.copy_weights())
    other.restore(read_checkpoint(tmp_path / "checkpoint"))
    other.update_judged()
    expected = whitening_filters(images_nhwc, 7, 64).transpose(1, 2, 3, 0)
    for of_one in (state, other):
        np.testing.assert_allclose(of_one.judged.get_layer("stem").kernel.numpy(), expected, rtol=1e-4, atol=1e-6)
    judged = [np.asarray(state.judged(images_nhwc)), np.asarray(other.judged(images_nhwc))]
    np.testing.assert_array_equal(*judged)


def test_a_network_that_cannot_be_whitened_is_refused() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(UserError, match="--whitening needs a network that begins with a convolution"):
        whiten(model, np.zeros((1, 8, 8, 3), np.float32), fill=True)


@pytest.mark.parametrize("arch", ["resnet18", "resnet34"])
def test_blocks_whose_last_scale_starts_at_0_are_their_shortcuts(arch: str) -> None:
    keras.utils.set_random_seed(0)
    model = build(4, arch=arch, image_size=32)
    start_as_identity(model, arch)
    x = keras.Model(model.input, model.get_layer("stem_pool").output)(np.random.default_rng(0).normal(size=(2, 32, 32, 3)))
    blocks = [layer for layer in model.layers if layer.name.startswith("stage")]
    assert [block for block, _ in residual_blocks(model)] == blocks
    for block in blocks:
        shortcut = x if block.projection is None else block.projection_bn(block.projection(x), training=False)
        x = block(x, training=False)
        np.testing.assert_array_equal(x, tf.nn.relu(shortcut))
        assert np.any(x)


@pytest.mark.parametrize(
    ("arch", "n_blocks", "last"), [("ResNet50", 16, "3_bn"), ("MobileNetV2", 10, "project_BN"), ("EfficientNetB0", 9, "drop")]
)
def test_of_a_block_of_keras_applications_the_change_alone_starts_at_0(arch: str, n_blocks: int, last: str) -> None:
    """Told by the names that Keras gives a block's layers; MobileNetV2's shortcuts come out of normalisations too."""
    keras.utils.set_random_seed(0)
    model = build(4, arch=arch, image_size=32)
    start_as_identity(model, arch)
    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    additions = [layer for layer in backbone.layers if isinstance(layer, keras.layers.Add)]
    assert len(additions) == n_blocks
    network = keras.Model(backbone.input, [addition.input for addition in additions])
    for addition, values in zip(additions, network(np.random.default_rng(0).normal(size=(2, 32, 32, 3))), strict=True):
        names = [tensor._keras_history.operation.name for tensor in addition.input]
        of_zeros = [name for name, value in zip(names, values, strict=True) if not np.any(value)]
        assert of_zeros == [addition.name.removesuffix("add") + last]


def test_a_step_moves_the_scales_that_started_at_0() -> None:
    generator = np.random.default_rng(0)
    images_nhwc = generator.random((8, 32, 32, 3), dtype=np.float32)
    keras.utils.set_random_seed(0)
    state = State(TfRecipe(optimizer="sgd", zero_init_residual=True, ema_decay=0.5), 4, "fp32", 10)
    scales = [last.gamma for _, last in residual_blocks(state.model)]
    assert not any(np.any(scale) for scale in scales)
    state.step(images_nhwc, np.eye(4, dtype=np.float32)[np.arange(8) % 4])
    state.follow()
    state.update_judged()
    assert len(scales) == 8
    assert all(np.any(scale) for scale in [*scales, *(last.gamma for _, last in residual_blocks(state.judged))])


@pytest.mark.parametrize("arch", ["vgg8", "DenseNet121", "ResNet50V2"])
def test_a_network_that_cannot_start_as_the_identity_is_refused(arch: str) -> None:
    with pytest.raises(UserError, match=f"--zero-init-residual: {arch} has no residual block .* or leave it out") as caught:
        start_as_identity(build(4, arch=arch, image_size=32), arch)
    assert "\n" not in str(caught.value)
