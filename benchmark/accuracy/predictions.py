"""What every model says of every image, kept: the first runtime's word on each split, and that of runtimes that round otherwise.

In float32 OpenVINO and ONNX Runtime agree to the last few bits, in bfloat16 and INT8 they do not: INT8 activations are rounded
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.accuracy.metrics import measure
from benchmark.report.tables import Entry
from core.records import ImageSet, Predictions
from models.runtimes.opening import predict_files
from models.runtimes.predict import Prediction
from models.runtimes.registry import runtime_of

if TYPE_CHECKING:
    from benchmark.candidates import Candidate
    from benchmark.findings import Findings


def predict_singles(findings: Findings, profile: bool) -> None:
    """Predict the split once per model, keep the predictions and measure their accuracy."""
    image_set, files = findings.image_set, {candidate.name: candidate.path for candidate in findings.candidates}
    found, runs = _predicted(findings, files, image_set, lambda name: f"predicting {name}")
    for candidate in findings.candidates:
        card, accuracy = candidate.card, measure(found[candidate.name], image_set.labels)
        kind, members = ("ensemble", tuple(m.name for m in card.members)) if card.rule else ("single", ())
        findings.entries.append(Entry(candidate.name, kind, members, card.backend, card.precision, candidate.size_mb, accuracy))
    findings.predictions |= found
    findings.files |= files
    if profile:
        inside_s, total_s = sum(run.inside_s for run in runs), sum(run.total_s for run in runs)
        findings.notes.append(
            f"predictions took {total_s:.2f} s, {inside_s:.2f} s of it inside session.run: ratio {total_s / inside_s:.4f}"
        )


def predict_validation(findings: Findings, members: Sequence[Candidate]) -> None:
    """Predict the images that ensembles are tuned on, once a member, and keep the predictions."""
    if findings.tuned_on is not None:
        files = {member.name: member.path for member in members}
        findings.validation |= _predicted(findings, files, findings.tuned_on, lambda name: f"{name} on validation images")[0]


def predict_own_numerics(findings: Findings) -> None:
    """Fill ``findings.own_predictions`` for every model and fused ensemble on each runtime that rounds in its own way."""
    for provider in (p.name for p in findings.providers[1:] if runtime_of(p.name).has_own_numerics):

        def doing(name: str, provider: str = provider) -> str:
            return f"predicting {name} on {provider}"

        found, _ = _predicted(findings, findings.files, findings.image_set, doing, provider)
        findings.own_predictions |= {(name, provider): predictions for name, predictions in found.items()}
        findings.notes.append(_difference(findings, provider))


def _predicted(
    findings: Findings, files: Mapping[str, Path], image_set: ImageSet, doing: Callable[[str], str], provider: str | None = None
) -> tuple[dict[str, Predictions], list[Prediction]]:
    """Predictions by name, and the runs behind them; of the first runtime unless `provider` names another."""
    runs = predict_files(
        list(files.items()), image_set.images_u8, doing, provider=provider or findings.providers[0].name,
        threads=findings.threads, n_classes=image_set.n_classes,
    )  # fmt: skip
    kept = {
        name: Predictions(name, image_set.split, image_set.sha256, run.outputs.logits)
        for name, run in zip(files, runs, strict=True)
    }
    return kept, runs


def _difference(findings: Findings, provider: str) -> str:
    """How far the probabilities of `provider` are from those of the provider that the other rows are from."""
    furthest = {
        model: float(abs(own.probabilities() - findings.predictions[model].probabilities()).max())
        for (model, name), own in findings.own_predictions.items()
        if name == provider
    }
    model = max(furthest, key=lambda name: furthest[name])
    return f"{provider}: probabilities differ from {findings.providers[0].name}'s by up to {furthest[model]:.1e} ({model})"
