"""What OpenVINO itself says of every image: its rows show the accuracy of what it computes, not of what ONNX Runtime does.

In float32 the two agree to the last few bits, in bfloat16 and INT8 they do not: INT8 activations are rounded elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.console import progress
from models.runtimes.openvino import PRECISION_HINTS
from models.runtimes.predict import predict

if TYPE_CHECKING:
    from benchmark.findings import Findings


def predict_on_openvino(findings: Findings) -> None:
    """Fill ``findings.own_predictions`` for every model and fused ensemble on each OpenVINO provider."""
    image_set = findings.image_set
    names = [provider.name for provider in findings.providers if provider.name in PRECISION_HINTS]
    with progress() as display:
        for provider in names:
            for model, path in findings.files.items():
                task = display.add_task(f"predicting {model} on {provider}", total=len(image_set))
                run = predict(
                    path,
                    model,
                    image_set,
                    provider,
                    findings.threads,
                    lambda n, task=task: display.advance(task, n),  # type: ignore[misc]
                )
                findings.own_predictions[model, provider] = run.predictions
            findings.notes.append(_difference(findings, provider))


def _difference(findings: Findings, provider: str) -> str:
    """How far the probabilities of `provider` are from those of the provider that the other rows are from."""
    furthest = {
        model: float(abs(own.probabilities() - findings.predictions[model].probabilities()).max())
        for (model, name), own in findings.own_predictions.items()
        if name == provider
    }
    model = max(furthest, key=lambda name: furthest[name])
    return f"{provider}: probabilities differ from {findings.providers[0].name}'s by up to {furthest[model]:.1e} ({model})"
