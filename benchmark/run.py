"""One benchmark from candidates to a run folder: predictions, accuracy, ensembles, latency, tables, plots."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from benchmark.accuracy.given import card_of_data, given_candidates, require_models
from benchmark.accuracy.judging import add_ensembles_and_judge
from benchmark.accuracy.predictions import (
    predict_own_numerics,
    predict_singles,
    predict_validation,
    read_supplied_predictions,
)
from benchmark.candidates import Candidate, check_names, find_candidates
from benchmark.ensembles import Plan, plans, tuned_images
from benchmark.findings import Findings
from benchmark.gates import FAILED, failures, parse_gate
from benchmark.images import Choice, images_for
from benchmark.latency import experiment as timing
from benchmark.latency.loadgen import cross_check, require_loadgen
from benchmark.latency.pairs import compare_latencies
from benchmark.latency.schedule import WHOLE
from benchmark.latency.summary import stability_notes, summarise
from benchmark.ood.foreign import foreign_images, predict_foreign
from benchmark.options import CORRUPTED, Options, from_values
from benchmark.report.advice import limits_of
from benchmark.report.html.page import PAGE_FILE, PixelsOf, write_run_page
from benchmark.report.run_files import write_run
from benchmark.report.tables import comparison_columns
from benchmark.report.terminal import print_report
from benchmark.results import Results
from benchmark.robustness.follow import predict_sequences
from benchmark.robustness.predict import can_speak, predict_versions
from benchmark.robustness.wanted import wanted_sequences, wanted_versions
from benchmark.settings.grid import threads_of_run, wanted_settings
from benchmark.settings.measure import SHARE, measure_settings
from benchmark.slices.left_out import predict_left_out
from core.console import print_line, print_lines, progress
from core.environment import available_cores
from core.errors import UserError, few, one_line
from core.files import final_run_folder, run_folder
from data import open_dataset
from data.matching import name_on_cards
from data.reading import Reading, Resize
from models.card import NoCard
from models.runtimes.base import Classifier, Provider
from models.runtimes.choose import choose_providers
from models.runtimes.registry import asked_for, runtime_of, spoken


def evaluate(
    models: Sequence[str | Path | Classifier] | str | Path | Classifier | None = None,
    *,
    data: str | Path = "cifar10",
    ensemble: Sequence[str] | str = (),
    time_budget_s: float = 60.0,
    batch_sizes: Sequence[int] = (1, 32, 256),
    out: str | Path | None = "results",
    **others: Any,
) -> Results:
    """Measure accuracy and latency of ONNX classifiers and their ensembles; prints nothing but progress, on stderr.

    models: contract files, as the exporter makes them, and functions wrapped by `open_model`; None for all of the
    folder `models_dir`, if there are no `predictions` either.
    data: "cifar10", "digits", or a folder with test/<class>/ images.
    ensemble: rules: "mean" adds the averaged softmax of every subset; "weighted", "geometric" and "greedy" are of all models
    at once, tuned on validation images.
    time_budget_s: seconds for latency, 0 to leave it out; batch_sizes: images per call that are timed.
    out: the folder in which the run's own folder is made; None for a temporary one, deleted with the last reference to
    the results.
    others: any other field of `benchmark.options.Options`, such as `split`, `limit`, `threads`, `runtimes`, `max_latency_ms`.

    Raises UserError, as the command does, for what cannot be measured.

    >>> results = evaluate(["models/a.onnx", "models/b.onnx"], data="digits", ensemble=["mean"], time_budget_s=0)
    >>> results.comparison["model"].tolist()  # the oracle is right if any member is
    ['a', 'b', 'a+b', 'oracle']
    >>> results.pairs[["model_a", "model_b"]].to_numpy().tolist()[0]
    ['a', 'b']
    """
    every = [models] if isinstance(models, str | Path | Classifier) else list(models or ())
    if models is not None and not every:
        raise UserError("models is an empty list; name some, or leave it out for all of models_dir")
    functions = [model for model in every if isinstance(model, Classifier)]
    require_models(every)
    paths = [model for model in every if isinstance(model, str | Path)]
    asked = {"models": paths, "data": str(data), "ensemble": ensemble, "time_budget_s": time_budget_s, "batch_sizes": batch_sizes}
    if out is not None:
        return _measured(from_values({**asked, "out": out, **others}), functions)
    temporary = Path(tempfile.mkdtemp(prefix="netassay-"))
    try:
        results = _measured(from_values({**asked, "out": temporary, **others}), functions)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    weakref.finalize(results, shutil.rmtree, temporary, ignore_errors=True)
    return results


def run_benchmark(options: Options) -> int:
    """Run what `options` ask for, print the comparison and where the files are; 3 if a gate fails, otherwise 0."""
    gates = [parse_gate(text, comparison_columns()) for text in options.fail_if]
    results = _measured(options)
    print_report(results)
    failed = failures(results, gates)
    for line in failed:
        print_lines([f"gate failed: {line}"])
    print_lines([f"results: {results.folder}"])
    page = results.folder / PAGE_FILE
    print_lines([f"report: {page}"] if page.is_file() else [])
    for line in results.answers:
        print_lines([line])
    return FAILED if failed else 0


def _measured(options: Options, functions: Sequence[Classifier] = ()) -> Results:
    """Run what `options` ask for, beside the `functions`, into a run folder."""
    if options.loadgen:
        require_loadgen()
    check_limits(options)
    findings, planned = prepare(options, functions)
    with run_folder("benchmark", options.out) as folder, tempfile.TemporaryDirectory() as fused_folder:
        predict_singles(findings, options.profile)
        predict_validation(findings, asked_on_validation(findings, planned))
        add_ensembles_and_judge(findings, planned, Path(fused_folder))
        if findings.to_corrupt is not None:
            findings.robustness = predict_versions(findings, findings.to_corrupt)
        if findings.to_perturb is not None:
            findings.flips = predict_sequences(findings, findings.to_perturb)
        if findings.left_out is not None:
            findings.right_of_left_out = predict_left_out(findings, findings.left_out)
        if findings.foreign is not None:
            findings.foreign_logits = predict_foreign(findings, findings.foreign)
        if options.time_budget_s > 0:
            predict_own_numerics(findings)
            measure_latency(findings, options, functions)
        if options.loadgen:
            check_against_loadgen(findings, options)
        results = write_run(folder, findings, options)
        if options.report:
            write_report(folder, results, findings)
        return results


def write_report(folder: Path, results: Results, findings: Findings, pixels_of: PixelsOf | None = None) -> None:
    """Write report.html; a failure only prints a note, because every figure is in the folder by now."""
    with progress() as display:
        display.add_task("writing report.html", total=None)
        try:
            write_run_page(folder, results, findings.image_set, pixels_of)
        except Exception as error:
            again = f"python -m benchmark report {shlex.quote(str(final_run_folder(folder)))} makes it once that is mended"
            print_line(
                display, f"note: report.html could not be made ({one_line(error)}); every figure is in the tables, and {again}"
            )


def check_limits(options: Options) -> None:
    """UserError if the answer would need a latency that is not measured."""
    limits = limits_of(dataclasses.asdict(options))
    if limits.batch_size not in options.batch_sizes:
        raise UserError(f"--at-batch {limits.batch_size} is not timed; add it to --batch-sizes")
    if limits.max_latency_ms is not None and options.time_budget_s == 0:
        raise UserError("--max-latency-ms needs latencies, which --time-budget 0 leaves out; give it some seconds")


def prepare(options: Options, functions: Sequence[Classifier] = ()) -> tuple[Findings, list[Plan]]:
    """What a run starts from, and the ensembles to make; raises UserError for invalid options before anything is run or written."""
    threads = threads_of_run(options.thread_counts, available_cores())
    files, notes = _files(options, functions)
    settings, settings_notes = wanted_settings(options, available_cores(), bool(files))
    like = files[0].card if files else card_of_data(name_on_cards(options.data), _class_names(options))
    candidates = [*files, *given_candidates(options.predictions, functions, like)]
    check_names(candidates)
    wanted, plan_notes = plans(candidates, options.ensemble)
    cards = [candidate.card for candidate in files]
    dataset, image_set, data_notes, left_out = images_for(
        options.data,
        options.data_dir,
        options.split,
        Choice(options.limit, options.seed, tuple(options.exclude), options.labels),
        cards,
        resize=options.resize,
        skip_damaged=options.skip_damaged,
    )
    providers, provider_notes = _providers(options, functions, files, threads)
    tuned_on, tuned_notes = tuned_images(dataset, candidates, wanted, options)
    notes = [*notes, *plan_notes, *data_notes, *provider_notes, *_without_latency(candidates, options.time_budget_s), *tuned_notes]
    notes += settings_notes
    findings = Findings(image_set, candidates, providers, threads, tuned_on=tuned_on, max_error=options.max_error, notes=notes)
    findings.left_out, findings.settings = left_out, settings
    _add_wanted_versions(findings, options, wanted)
    if options.ood is not None:
        reading = Reading(options.resize or cast(Resize, cards[0].resize) if cards else "shortest", options.skip_damaged)
        findings.foreign = foreign_images(options.ood, options.data_dir, image_set, reading, options.limit, options.seed)
    read_supplied_predictions(findings, asked_on_validation(findings, wanted))
    return findings, wanted


def _add_wanted_versions(findings: Findings, options: Options, planned: Sequence[Plan]) -> None:
    """The corrupted versions and perturbed sequences that were asked for."""
    models = [candidate.name for candidate in findings.candidates if can_speak(candidate)]
    models += [plan.name for plan in planned if all(map(can_speak, plan.members))]
    image_set, seed, baseline = findings.image_set, options.seed, options.baseline
    if options.corrupt is not None or options.corrupt_from is not None or options.corrupt_heavy:
        n_images, folder, heavy = options.corrupt or CORRUPTED, options.corrupt_from, options.corrupt_heavy
        findings.to_corrupt = wanted_versions(image_set, n_images, seed, folder, models, baseline, heavy=heavy)
    if options.perturbed_from is not None:
        n_images = options.perturbed or CORRUPTED
        findings.to_perturb = wanted_sequences(image_set, n_images, seed, options.perturbed_from, models, baseline)
    elif options.perturbed is not None:
        raise UserError("--perturbed needs the folder of the sequences; add --perturbed-from DIR")


def asked_on_validation(findings: Findings, wanted: Sequence[Plan]) -> Sequence[Candidate]:
    """The models that must predict the validation images: all for thresholds, else the members of what is tuned."""
    return findings.candidates if findings.max_error is not None else wanted[-1].members if wanted else ()


def _files(options: Options, functions: Sequence[Classifier]) -> tuple[list[Candidate], list[str]]:
    """The ONNX files named, or those of the models folder unless predictions or functions were given, and notes."""
    if not options.models and (options.predictions or functions):
        if options.loadgen:
            raise UserError("--loadgen drives ONNX files, and there are none; name some with --models, or leave it out")
        return [], []
    try:
        return find_candidates(options.models, options.models_dir, name_on_cards(options.data))
    except NoCard as error:
        raise NoCard(error.where, options.data) from error


def _class_names(options: Options) -> tuple[str, ...]:
    return open_dataset(options.data, options.data_dir).class_names


def _providers(
    options: Options, functions: Sequence[Classifier], files: Sequence[Candidate], threads: int
) -> tuple[list[Provider], list[str]]:
    """The providers of the files, proved on the first file, that of functions, and notes."""
    providers: list[Provider] = []
    notes: list[str] = []
    if files:
        runtimes = asked_for(options.device, ["openvino"] if options.openvino else [], options.runtimes)
        providers, notes = choose_providers(runtimes, files[0].file, threads, [one.file for one in files[1:]])
    own = list(dict.fromkeys(timing.provider_of(function) for function in functions))
    if own and options.time_budget_s > 0:
        notes = [*notes, "functions are timed in this process, files each in fresh ones: no verdict compares the two"]
    return [*providers, *own], notes


def _without_latency(candidates: Sequence[Candidate], time_budget_s: float) -> list[str]:
    """A line for the models whose rows have no latency, and that the answer therefore leaves out."""
    supplied = [candidate.name for candidate in candidates if candidate.given is not None and candidate.given.classifier is None]
    if not supplied or not time_budget_s:
        return []
    return [f"{few(supplied)}: predictions of a file, without latency; the answer leaves out these and ensembles with them"]


def measure_latency(findings: Findings, options: Options, functions: Sequence[Classifier] = ()) -> None:
    """Time every single model and fused ensemble on every provider at every batch size, and the functions."""
    of_files = [provider for provider in findings.providers if runtime_of(provider.name).runs]
    configurations = timing.configurations(list(findings.files.items()), of_files, options.batch_sizes, findings.threads)
    configurations += timing.of_functions(functions, options.batch_sizes, findings.threads)
    if not configurations:
        return
    share = SHARE if findings.settings else WHOLE
    images_u8, budget_s = findings.image_set.images_u8, share.of_budget * options.time_budget_s
    run = timing.run_shown(configurations, images_u8, budget_s, options.seed, options.at_batch, share)
    findings.latency_run = run
    findings.latencies = summarise(run.in_order())
    asked = [(pair.model_a, pair.model_b) for pair in findings.pairs]
    findings.latency_pairs = compare_latencies(run.in_order(), asked)
    findings.notes += [*run.notes, *cascade_notes(findings), *stability_notes(findings.latencies)]
    if findings.settings:
        findings.settings_run = measure_settings(configurations, findings.settings, images_u8, options)
        findings.notes += findings.settings_run.notes


def cascade_notes(findings: Findings) -> list[str]:
    """One line per cascade: its p50 alone describes only the images that stop early."""
    cascades = {c.name for c in findings.candidates if (c.card.rule or "").startswith("cascade")}
    smallest = min((s.batch_size for s in findings.latencies), default=0)
    return [
        f"{s.model} is a cascade, whose time depends on the image: p50 {s.p50_ms:.3g} ms, "
        f"mean {1000 * s.batch_size / s.throughput_images_per_s:.3g} ms at batch {s.batch_size} on {spoken(s.provider)}"
        for s in findings.latencies
        if s.model in cascades and s.batch_size == smallest and s.transfer == "host-to-host"
    ]


def check_against_loadgen(findings: Findings, options: Options) -> None:
    """Drive every model by MLPerf LoadGen as well, Offline at the batch size nearest to 32."""
    batch_size = min(options.batch_sizes, key=lambda size: abs(size - 32))
    with progress("doing", ticking=False) as display:
        task = display.add_task("LoadGen", total=None, doing="")
        findings.cross_checks = cross_check(
            list(findings.files.items()),
            findings.image_set.images_u8,
            batch_size,
            findings.threads,
            lambda doing: display.update(task, doing=doing, refresh=True),
        )
