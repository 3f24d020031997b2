"""The kept predictions of every model: by the first runtime on each split, and by each runtime that rounds differently.

In float32 OpenVINO and ONNX Runtime agree to the last few bits, in bfloat16 and INT8 they do not: INT8 activations are rounded
at other places.
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
from models.runtimes.registry import runtime_of, takes

if TYPE_CHECKING:
    from benchmark.candidates import Candidate
    from benchmark.findings import Findings


def predict_singles(findings: Findings, profile: bool) -> None:
    """Predict the split once per model, keep the predictions and measure their accuracy."""
    image_set, files = findings.image_set, {c.name: c.file for c in findings.candidates if c.given is None}
    predictions, runs = _predicted(findings, files, image_set, lambda name: f"predicting {name}")
    predictions |= {c.name: said_of(c, image_set, findings.predictions) for c in findings.candidates if c.given is not None}
    add_singles(findings, predictions)
    if profile and runs:
        inside_s, total_s = sum(run.inside_s for run in runs), sum(run.total_s for run in runs)
        findings.notes.append(
            f"predictions took {total_s:.2f} s, {inside_s:.2f} s of it inside session.run: ratio {total_s / inside_s:.4f}"
        )


def add_singles(findings: Findings, predictions: Mapping[str, Predictions]) -> None:
    """Keep the predictions of every candidate, by name, and measure their accuracy."""
    for candidate in findings.candidates:
        card, accuracy = candidate.card, measure(predictions[candidate.name], findings.image_set.labels)
        kind, members = ("ensemble", tuple(m.name for m in card.members)) if card.rule else ("single", ())
        precision = card.precision if candidate.given is None else ""
        findings.entries.append(Entry(candidate.name, kind, members, card.backend, precision, candidate.size_mb, accuracy))
    findings.predictions |= {candidate.name: predictions[candidate.name] for candidate in findings.candidates}
    findings.files |= {c.name: c.file for c in findings.candidates if c.given is None}


def predict_validation(findings: Findings, members: Sequence[Candidate]) -> None:
    """Predict the images that ensembles are tuned on, once per member, and keep the predictions."""
    if findings.tuned_on is not None:
        files = {member.name: member.file for member in members if member.given is None}
        predictions, _ = _predicted(findings, files, findings.tuned_on, lambda name: f"{name} on validation images")
        predictions |= {m.name: said_of(m, findings.tuned_on, findings.validation) for m in members if m.given is not None}
        findings.validation |= {member.name: predictions[member.name] for member in members}


def read_supplied_predictions(findings: Findings, members: Sequence[Candidate]) -> None:
    """Keep the predictions given as files, of the split and of the images that `members` are tuned on.

    UserError if some are missing or contradict the images; called before any model is run.
    """
    for candidate in findings.candidates:
        if candidate.given is not None and candidate.given.classifier is None:
            findings.predictions[candidate.name] = said_of(candidate, findings.image_set, {})
            if findings.tuned_on is not None and candidate in members:
                findings.validation[candidate.name] = said_of(candidate, findings.tuned_on, {})


def said_of(candidate: Candidate, image_set: ImageSet, known: Mapping[str, Predictions]) -> Predictions:
    """The predictions for `image_set` of a model that is not an ONNX file; those in `known` are not made again."""
    if candidate.given is None:
        raise ValueError(f"{candidate.name} is an ONNX file")
    return known[candidate.name] if candidate.name in known else candidate.given.predictions(candidate.name, image_set)


def predict_own_numerics(findings: Findings) -> None:
    """Fill ``findings.own_predictions`` for every model and fused ensemble on each runtime that rounds in its own way."""
    others = [runtime_of(provider.name) for provider in findings.providers[1:]]
    for runtime in (runtime for runtime in others if runtime.runs and runtime.has_own_numerics):
        provider = runtime.provider

        def doing(name: str, provider: str = provider) -> str:
            return f"predicting {name} on {provider}"

        files = {name: path for name, path in findings.files.items() if takes(runtime, path)}
        found, _ = _predicted(findings, files, findings.image_set, doing, provider)
        findings.own_predictions |= {(name, provider): predictions for name, predictions in found.items()}
        findings.notes.append(_difference(findings, provider))


def _predicted(
    findings: Findings, files: Mapping[str, Path], image_set: ImageSet, doing: Callable[[str], str], provider: str | None = None
) -> tuple[dict[str, Predictions], list[Prediction]]:
    """Predictions by name, and the runs behind them; of the first runtime unless `provider` names another."""
    if not files:
        return {}, []
    runs = predict_files(
        list(files.items()), image_set.images_u8, doing, provider=provider or findings.predictions_provider,
        threads=findings.threads, n_classes=image_set.n_classes,
    )  # fmt: skip
    predictions = {
        name: Predictions(name, image_set.split, image_set.sha256, run.outputs.logits)
        for name, run in zip(files, runs, strict=True)
    }
    return predictions, runs


def _difference(findings: Findings, provider: str) -> str:
    """A note: how far the probabilities of `provider` are from those of the provider behind the other rows."""
    furthest = {
        model: float(abs(own.probabilities() - findings.predictions[model].probabilities()).max())
        for (model, name), own in findings.own_predictions.items()
        if name == provider
    }
    model = max(furthest, key=lambda name: furthest[name])
    return f"{provider}: probabilities differ from {findings.predictions_provider}'s by up to {furthest[model]:.1e} ({model})"
