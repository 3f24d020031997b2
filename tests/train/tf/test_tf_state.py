"""What a step computes in, and what evaluation does."""

from __future__ import annotations

from models.tf import network as tf_resnet  # isort: skip  # noqa: F401  # first: it keeps TensorFlow's import quiet

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.environment import cpu_flags
from train.recipes import TfRecipe, named
from train.tf import optimisation as tf_optimisation
from train.tf.optimisation import graphs_in_bf16, precision_of
from train.tf.state import State

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
