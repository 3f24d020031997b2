"""`python -m train.torch_resnet`: train ResNet18, or any of torchvision; writes weights, card and run folder."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Parse, train, print where everything is."""
    from train.recipe_choice import from_command_line  # in here, so that a missing tyro is reported in one line
    from train.recipes import TorchRecipe

    recipe = from_command_line(TorchRecipe, arguments, "train.torch_resnet")
    from train.torch.trainer import train  # seconds of imports that --help must not pay

    print(train(recipe).report())


if __name__ == "__main__":
    from core.cli import run

    run(main)
