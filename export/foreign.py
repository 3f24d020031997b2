"""What to say of a file that export cannot take, and which command can."""

from __future__ import annotations

import shlex
from pathlib import Path

from core.errors import UserError

TRAINERS = {".pth": "train.torch_resnet", ".keras": "train.tf_resnet"}
HOW_TO_WRAP = "'A network from elsewhere' in CONTRIBUTING.md shows how to make one of it"


def without_card(source: Path) -> UserError:
    """The exception for weights with no model card beside them: of a training here, or from elsewhere."""
    trainer = TRAINERS[source.suffix]
    return UserError(
        f"{source} has no model card ({source.name}.json), which says its classes and what its pixels become: copy the card that "
        f"training left beside it, or, for weights from elsewhere, train on from them on your images: "
        f"python -m {trainer} --weights {shlex.quote(str(source))} --data FOLDER --arch NAME"
    )


def not_weights(source: Path) -> UserError:
    """The exception for an existing file that is no .pth or .keras, as its ending says."""
    if source.suffix == ".onnx":
        return _already_onnx(source)
    kind = f"its name ends in '{source.suffix}'" if source.suffix else "its name has no ending"
    return UserError(
        f"not a weights file: {kind}, not in .pth (a state dict of PyTorch: torch.save(model.state_dict(), PATH)) "
        "or .keras (Keras: model.save(PATH)), each with its card"
    )


def _already_onnx(source: Path) -> UserError:
    from models.graph.contract import load_model

    try:
        load_model(source)
    except UserError as error:
        # what that error says last is to export the file, which is what brought it here
        fault = str(error).removeprefix(f"{source} ").rpartition("; ")[0] or str(error)
        return UserError(f"an ONNX file already, but not one that can be benchmarked as it is: {fault}; {HOW_TO_WRAP}")
    return UserError(
        f"an ONNX file already, with nothing to export; python -m benchmark --models {shlex.quote(str(source))} measures it"
    )
