"""The ensembles of a benchmark: which to make, tuning on validation images, accuracy from kept predictions, one fused file each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.accuracy.metrics import measure
from benchmark.candidates import Candidate
from benchmark.findings import Ensemble, Findings
from benchmark.images import drawn
from benchmark.options import Options
from benchmark.rejects.thresholds import too_few_note
from benchmark.report.tables import Entry
from core.errors import UserError
from core.records import Float32Array, Float64Array, ImageSet, Predictions
from ensemble.fuse import fuse, load_member, load_members, require_fused
from ensemble.rules.combination import combination, combine
from ensemble.rules.fit import tune
from ensemble.rules.registry import DEFAULT, RULES, is_tuned, view_rules
from ensemble.validation import few_images_note, validation_images
from ensemble.views import VIEWS, view_logits, view_members
from models import parity
from models.graph.contract import save_model
from models.runtimes.opening import open_file, predict_files

if TYPE_CHECKING:
    from data import Dataset

MOST_MEMBERS = 6  # 57 ensembles by a rule that is not tuned; each more member doubles them
N_FUSION_IMAGES = 256


@dataclass(frozen=True)
class Plan:
    """An ensemble to be made: its rule and its members."""

    rule: str
    members: tuple[Candidate, ...]

    @property
    def name(self) -> str:
        """How it is called in the tables: its members' names joined by +, and the rule if it is not the plain mean."""
        joined = "+".join(member.name for member in self.members)
        return joined if self.rule == DEFAULT else f"{joined} ({self.rule})"


def plans(candidates: Sequence[Candidate], rules: Sequence[str]) -> tuple[list[Plan], list[str]]:
    """For an untuned rule every subset of two or more, small ones first; for a tuned one all models at once, as it weights them.

    Files that are ensembles already are not combined again, nor variants of other precision where their fp32 originals
    are there; the notes say so. UserError for fewer than two members, or more than six with an untuned rule.
    """
    if not rules:
        return [], []
    members, notes = _combinable(candidates)
    if len(members) < 2 and not set(rules) <= set(view_rules()):
        raise UserError(
            f"--ensemble needs at least two models to combine, and of this data set there is only "
            f"{members[0].path or members[0].name}; leave it out, or "
            "train and export another (python -m train.torch_resnet, python -m train.tf_resnet, python -m export.to_onnx)"
        )
    planned: list[Plan] = []
    for rule in (rule for rule in RULES if rule in rules):
        if RULES[rule].is_of_views:
            planned += [Plan(rule, (member,)) for member in members if member.given is None]
            continue
        if is_tuned(rule):
            planned.append(Plan(rule, tuple(members)))
            continue
        if len(members) > MOST_MEMBERS:
            raise UserError(
                f"--ensemble with {len(members)} models would be {2 ** len(members) - len(members) - 1} ensembles; "
                f"name at most {MOST_MEMBERS} with --models, or pass --ensemble weighted greedy"
            )
        planned += [Plan(rule, subset) for size in range(2, len(members) + 1) for subset in combinations(members, size)]
    taken = {candidate.name: candidate.path or "a function" for candidate in candidates}
    for plan in planned:
        if plan.name in taken:
            raise UserError(
                f"the ensemble {plan.name} would have the same name as {taken[plan.name]}; rename the file, or leave out --ensemble"
            )
    return planned, notes


def _combinable(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[str]]:
    singles = [candidate for candidate in candidates if candidate.card.rule is None]
    if not singles:
        return list(candidates), []
    full = [candidate for candidate in singles if candidate.card.precision == "fp32"] or singles
    left_out = [candidate.name for candidate in candidates if candidate not in full]
    return full, [f"not combined again: {', '.join(left_out)} (python -m ensemble fuses any files)"] if left_out else []


def tuned_images(
    dataset: Dataset, candidates: Sequence[Candidate], wanted: Sequence[Plan], options: Options
) -> tuple[ImageSet | None, list[str]]:
    """The validation images that tuned plans in `wanted` and thresholds need, None if neither needs any, and notes on them."""
    if options.max_error is not None and options.split == "validation":
        raise UserError("--max-error chooses thresholds on validation images and must judge them on others; use --split test")
    asked_by = candidates if options.max_error is not None else []
    tuned_on = tuning_images(dataset, wanted, options.limit, options.seed, asked_by)
    notes = [] if tuned_on is None else few_images_note(len(tuned_on))
    if tuned_on is not None and options.max_error is not None:
        notes += too_few_note(len(tuned_on), options.max_error)
    if tuned_on is not None and options.split == "validation":
        notes.append("the tuned ensembles are measured on the images they were tuned on, so they look too good: use --split test")
    return tuned_on, notes


def tuning_images(
    dataset: Dataset, wanted: Sequence[Plan], limit: int | None, seed: int, asked_by: Sequence[Candidate] = ()
) -> ImageSet | None:
    """The validation images, at most `limit`, that tuned plans in `wanted` or the models `asked_by` need; None if none do."""
    tuned = [plan for plan in wanted if is_tuned(plan.rule)]
    if asked_by and dataset.source("validation") not in dataset.available:
        raise UserError(
            f"--max-error needs validation images to choose thresholds on, and {dataset.name} has only "
            f"{' and '.join(dataset.available)} images; leave it out, or add a val/ or train/ folder"
        )
    if not tuned and not asked_by:
        return None
    if dataset.source("validation") not in dataset.available:
        rules = " ".join(dict.fromkeys(plan.rule for plan in tuned))
        raise UserError(
            f"--ensemble {rules} needs validation images to tune on, and {dataset.name} has only {' and '.join(dataset.available)} "
            f"images; use --ensemble {DEFAULT}, which is not tuned, or add a val/ or train/ folder"
        )
    image_set = validation_images(dataset, [member.card for member in asked_by or tuned[0].members])
    return image_set if limit is None or limit >= len(image_set) else drawn(image_set, limit, seed)


def add_ensemble(findings: Findings, plan: Plan, fused_folder: Path) -> None:
    """Accuracy from the members' kept predictions; one fused file, checked against these, for latency, if all members are files."""
    if RULES[plan.rule].is_of_views:
        _add_views(findings, plan, fused_folder)
        return
    names = tuple(member.name for member in plan.members)
    if is_tuned(plan.rule) and findings.tuned_on is not None:
        how = tune(plan.rule, [findings.validation[name].logits for name in names], findings.tuned_on.labels)
    else:
        how = combination(plan.rule, len(names))
    logits, probabilities = combine(how, [findings.predictions[name].logits for name in names])
    image_set = findings.image_set
    predictions = Predictions(plan.name, image_set.split, image_set.sha256, logits)
    entry = Entry(plan.name, "ensemble", names, "ensemble", "", float("nan"), measure(predictions, image_set.labels))
    if all(member.given is None for member in plan.members):
        fused, card = fuse(load_members([member.file for member in plan.members]), plan.name, how)
        path = fused_folder / f"ensemble_{len(findings.ensembles)}.onnx"
        save_model(fused, card, path)
        _check_fusion(path, plan.name, image_set, (logits, probabilities), findings)
        entry = replace(entry, backend=card.backend, precision=card.precision, size_mb=path.stat().st_size / 1e6)
        findings.files[plan.name] = path
    findings.entries.append(entry)
    findings.predictions[plan.name] = predictions
    findings.ensembles[plan.name] = Ensemble(names, how)


def _add_views(findings: Findings, plan: Plan, fused_folder: Path) -> None:
    """One network on several views as one file that predicts the split, checked on some images against each view run alone."""
    (member,), image_set = plan.members, findings.image_set
    how = combination(plan.rule, len(VIEWS))
    fused, card = fuse(view_members(load_member(member.file)), plan.name, how)
    path = fused_folder / f"ensemble_{len(findings.ensembles)}.onnx"
    save_model(fused, card, path)
    few = image_set.images_u8[:N_FUSION_IMAGES]
    wanted = combine(how, view_logits(member.file, few, findings.predictions_provider, findings.threads))
    _check_fusion(path, plan.name, image_set, wanted, findings)
    asked = [(image_set, findings.predictions)]
    if findings.tuned_on is not None and findings.max_error is not None:
        asked.append((findings.tuned_on, findings.validation))
    for images, kept in asked:
        (run,) = predict_files(
            [(plan.name, path)], images.images_u8, lambda name: f"predicting {name}", provider=findings.predictions_provider,
            threads=findings.threads, n_classes=images.n_classes,
        )  # fmt: skip
        kept[plan.name] = Predictions(plan.name, images.split, images.sha256, run.outputs.logits)
    accuracy, size_mb = measure(findings.predictions[plan.name], image_set.labels), path.stat().st_size / 1e6
    findings.entries.append(Entry(plan.name, "ensemble", (member.name,), card.backend, card.precision, size_mb, accuracy))
    findings.files[plan.name] = path
    findings.ensembles[plan.name] = Ensemble((member.name,), how)


def _check_fusion(
    path: Path, name: str, image_set: ImageSet, wanted: tuple[Float32Array, Float64Array], findings: Findings
) -> None:
    """UserError unless the fused graph outputs what the rule computes from the members' kept predictions."""
    few = image_set.take(np.arange(min(N_FUSION_IMAGES, len(image_set))))
    logits, probabilities = (values[: len(few)] for values in wanted)
    outputs = open_file(path, findings.predictions_provider, findings.threads).predicted(few.images_u8, few.n_classes).outputs
    agreement = parity.measure(logits, outputs.logits, few.split, (probabilities, outputs.probabilities))
    require_fused(agreement, f"the fused graph of {name}")
