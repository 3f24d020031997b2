"""Schedules and averages against their formulas and PyTorch's own, and what "auto" precision means."""

from __future__ import annotations

import copy
from typing import Literal

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.regnet import ResBottleneckBlock
from torchvision.models.resnet import BasicBlock, Bottleneck

from core.errors import UserError
from models.torch.network import build
from models.torch.residual import residual_blocks
from train.learning.schedules import ema_decay_at, one_cycle
from train.learning.whitening import whitening_filters
from train.recipe_choice import named
from train.recipes import TorchRecipe
from train.torch import optimisation as torch_optimisation
from train.torch.optimisation import averaged, make_optimizer, make_scheduler, precision_of, start_as_identity, whiten
from train.torch.state import State

CPU = torch.device("cpu")


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))


@pytest.mark.parametrize("n_steps", [*range(1, 13), 21, 1000])
def test_the_shared_one_cycle_is_pytorchs(n_steps: int) -> None:
    recipe = TorchRecipe(schedule="onecycle", epochs=1, optimizer="sgd")
    optimizer = make_optimizer(nn.Linear(1, 1), recipe, 0.4)
    scheduler = make_scheduler(optimizer, recipe, n_steps)
    theirs = []
    for _ in range(n_steps):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert theirs == pytest.approx([one_cycle(step, n_steps, 0.4) for step in range(n_steps)], rel=1e-6)
    assert 0 < max(theirs) <= 0.4 * (1 + 1e-9) or n_steps < 4


def test_the_default_schedule_falls_after_every_seventh_epoch() -> None:
    model = nn.Linear(2, 2)
    optimizer = make_optimizer(model, TorchRecipe(), 1.0)
    scheduler = make_scheduler(optimizer, TorchRecipe(), steps_per_epoch=3)
    rates = []
    for _ in range(20 * 3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[::3] == pytest.approx([1.0] * 7 + [0.1] * 7 + [0.01] * 6)
    assert rates[20] == 1.0


def test_only_matrices_and_kernels_decay() -> None:
    model = _network()
    model(torch.randn(2, 3, 5, 5))
    optimizer = make_optimizer(model, TorchRecipe(weight_decay=0.1), 1.0)
    decays = {id(value): group["weight_decay"] for group in optimizer.param_groups for value in group["params"]}
    assert {name: decays[id(value)] for name, value in model.named_parameters()} == {
        "0.weight": 0.1, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "3.weight": 0.1, "3.bias": 0.0,
    }  # fmt: skip


def test_biases_of_normalisations_move_faster_by_the_factor() -> None:
    torch.manual_seed(0)
    images_nchw = torch.randn(5, 3, 5, 5)
    start, moved = _network(), {}
    start(images_nchw)
    for factor in (1.0, 64.0):
        model = copy.deepcopy(start)
        recipe = TorchRecipe(optimizer="sgd", schedule="onecycle", epochs=2, bias_lr=factor)
        optimizer = make_optimizer(model, recipe, 0.01)
        scheduler = make_scheduler(optimizer, recipe, 3)
        model(images_nchw).square().sum().backward()
        for _ in range(2):  # with the same gradient
            optimizer.step()
            scheduler.step()
        moved[factor] = {name: value.detach() - start.get_parameter(name).detach() for name, value in model.named_parameters()}
    for name, by in moved[1.0].items():
        torch.testing.assert_close(moved[64.0][name], by * (64.0 if name == "1.bias" else 1.0), rtol=1e-3, atol=1e-6)


def test_a_whitened_convolution_keeps_its_filters_and_is_not_optimised() -> None:
    torch.manual_seed(0)
    model, images_nchw = _network(), torch.randn(5, 3, 8, 8)
    own = model[0].weight.clone()
    whiten(model, images_nchw, fill=False)
    assert torch.equal(model[0].weight, own)
    whiten(model, images_nchw, fill=True)
    expected = whitening_filters(images_nchw.permute(0, 2, 3, 1).numpy(), 3, 4)
    torch.testing.assert_close(model[0].weight.detach().permute(0, 2, 3, 1), torch.from_numpy(expected))
    model(images_nchw)
    optimised = [id(value) for group in make_optimizer(model, TorchRecipe(), 1.0).param_groups for value in group["params"]]
    assert set(optimised) == {id(value) for name, value in model.named_parameters() if name != "0.weight"}


def test_where_grey_images_give_no_filter_the_networks_own_stay() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 60, 3))
    own = model[0].weight.detach().clone()
    whiten(model, torch.randn(9, 1, 8, 8).expand(-1, 3, -1, -1), fill=True)
    filled = (model[0].weight != own).flatten(1).any(dim=1)
    assert filled.tolist() == [True] * 18 + [False] * 42  # 9 directions of brightness, twice


@pytest.mark.parametrize("first", [nn.Linear(3, 4), nn.Conv2d(3, 4, (3, 5)), nn.Conv2d(1, 4, 3)])
def test_a_network_that_cannot_be_whitened_is_refused(first: nn.Module) -> None:
    with pytest.raises(UserError, match="--whitening needs a network that begins with a convolution"):
        whiten(nn.Sequential(first), torch.zeros(1, 3, 8, 8), fill=True)


def _shortcut(block: nn.Module, features_nchw: Tensor) -> Tensor:
    """What a block gives whose change is 0: its input, or that projected, through the ReLU of those that end with one."""
    if isinstance(block, ResBottleneckBlock):
        return F.relu(features_nchw if block.proj is None else block.proj(features_nchw))
    if isinstance(block, BasicBlock | Bottleneck):
        return F.relu(features_nchw if block.downsample is None else block.downsample(features_nchw))
    return features_nchw


@pytest.mark.parametrize(
    ("arch", "n_blocks"),
    [("resnet18", 8), ("resnet50", 16), ("regnet_y_400mf", 16), ("mobilenet_v2", 10), ("mobilenet_v3_small", 6), ("mnasnet0_5", 10),
     ("efficientnet_lite0", 9), ("efficientnet_v2_s", 35)],
)  # fmt: skip
def test_blocks_whose_last_scale_starts_at_0_are_their_shortcuts(arch: str, n_blocks: int) -> None:
    """Those counted are all: of each stage the blocks whose input is added, which in a ResNet and a RegNet is every one."""
    torch.manual_seed(0)
    model, met = build(4, arch=arch, image_size=32), []
    start_as_identity(model, arch)

    def compare(block: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        torch.testing.assert_close(output, _shortcut(block, *given), rtol=0, atol=0)
        assert output.any()
        met.append(block)

    for block, _ in residual_blocks(model):
        block.register_forward_hook(compare)
    with torch.inference_mode():
        model.eval()(torch.randn(2, 3, 32, 32))
    assert len(met) == n_blocks


def test_a_resnet_starts_as_torchvisions_own_does_with_that_argument() -> None:
    torch.manual_seed(0)
    model = build(4, arch="resnet50", image_size=32)
    start_as_identity(model, "resnet50")
    torch.manual_seed(0)
    expected = torchvision.models.resnet50(num_classes=4, zero_init_residual=True).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_step_moves_the_scales_that_started_at_0(optimizer: Literal["sgd", "adam"]) -> None:
    torch.manual_seed(0)
    recipe = TorchRecipe(weights="none", image_size=32, optimizer=optimizer, zero_init_residual=True, ema_decay=0.5)
    state = State(recipe, 4, "fp32", 10)
    of_both = [[last.weight for _, last in residual_blocks(network)] for network in (state.model, state.judged)]
    assert not any(scale.any() for scales in of_both for scale in scales)
    state.step(torch.randn(8, 3, 32, 32), torch.arange(8) % 4)
    state.follow()
    assert [len(scales) for scales in of_both] == [8, 8]
    assert all(scale.any() for scales in of_both for scale in scales)  # not each number: some channels are off in so few images


@pytest.mark.parametrize("arch", ["vgg8", "vgg8_wide", "densenet121", "vit_b_16", "convnext_tiny"])
def test_a_network_that_cannot_start_as_the_identity_is_refused(arch: str) -> None:
    with pytest.raises(UserError, match=f"--zero-init-residual: {arch} has no residual block .* or leave it out") as caught:
        start_as_identity(build(4, arch=arch, image_size=32), arch)
    assert "\n" not in str(caught.value)


def test_the_average_follows_weights_and_statistics() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    average = averaged(model, TorchRecipe(ema_decay=0.5))
    assert average is not None
    expected = copy.deepcopy(model.state_dict())
    for step in range(12):
        with torch.no_grad():
            model[0].weight.fill_(step)
        model(torch.full((4, 1), float(step)) + torch.randn(4, 1))
        average.update_parameters(model)
        decay = ema_decay_at(step, 0.5)
        for name, value in model.state_dict().items():
            counter, first = not value.is_floating_point(), step == 0  # the first update copies, as PyTorch's class does
            expected[name] = value.clone() if counter or first else decay * expected[name] + (1 - decay) * value
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert averaged(model, TorchRecipe()) is None


@pytest.mark.parametrize(
    ("flags", "found"), [(["avx512_bf16"], "bf16"), (["amx_bf16"], "bf16"), (["avx512f"], "fp32"), ([], "fp32")]
)
def test_auto_precision_is_what_the_hardware_computes_in(flags: list[str], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_optimisation, "cpu_flags", lambda: flags)
    assert precision_of(TorchRecipe(), CPU) == precision_of(named(TorchRecipe, "fast"), CPU) == found
    assert precision_of(TorchRecipe(precision="fp32"), CPU) == "fp32"
    assert precision_of(TorchRecipe(precision="bf16"), CPU) == "bf16"
