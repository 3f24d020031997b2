"""Errors for files that export cannot take, with the command that can."""

from __future__ import annotations

import shlex
from pathlib import Path

from core.errors import UserError

TRAINERS = {".pth": "train.torch_resnet", ".keras": "train.tf_resnet"}


def without_card(source: Path) -> UserError:
    """The exception for weights with no model card beside them: of a training here, or from elsewhere."""
    trainer, path = TRAINERS[source.suffix], shlex.quote(str(source))
    arch = " --arch NAME" if source.suffix == ".pth" else ""
    return UserError(
        f"{source} has no model card ({source.name}.json), which states its classes and preprocessing: copy the card that "
        f"training left beside it; adopt weights from elsewhere by python -m export.adopt {path} --data FOLDER{arch}, or "
        f"train on from them with python -m {trainer} --weights {path} --data FOLDER --arch NAME"
    )


def not_weights(source: Path) -> UserError:
    """The exception for an existing file whose name does not end in .pth or .keras."""
    if source.suffix == ".onnx":
        return _already_onnx(source)
    kind = f"its name ends in '{source.suffix}'" if source.suffix else "its name has no ending"
    return UserError(
        f"not a weights file: {kind}, not in .pth (a state dict of PyTorch: torch.save(model.state_dict(), PATH)) "
        "or .keras (Keras: model.save(PATH)), each with its card"
    )


def _already_onnx(source: Path) -> UserError:
    from models.card import NoCard
    from models.graph.contract import load_model

    path = shlex.quote(str(source))
    try:
        load_model(source)
    except NoCard:
        return UserError(
            f"an ONNX file already, from elsewhere; python -m export.adopt {path} --data FOLDER makes from it one that "
            "can be benchmarked"
        )
    except UserError as error:
        return UserError(f"an ONNX file already, but not one that can be benchmarked as it is: {error}")
    return UserError(f"an ONNX file already, with nothing to export; python -m benchmark --models {path} measures it")
