"""What a benchmark found, as one value: the same right after the run and read back from its folder.

Whatever is shown or decided (terminal, plots, gates, answers, comparison of two runs) is made from it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.accuracy.calibration import COLUMNS as ENSEMBLES_COLUMNS
from benchmark.costs.table import COLUMNS as COSTS_COLUMNS
from benchmark.ood.scores import COLUMNS as OOD_COLUMNS
from benchmark.rejects.thresholds import COLUMNS as REJECTS_COLUMNS
from benchmark.report.tables import LOADGEN_COLUMNS, read_csv
from benchmark.robustness import table as robust
from benchmark.robustness.flips import COLUMNS as FLIPS_COLUMNS
from benchmark.settings import table as of_settings
from benchmark.slices.left_out import COLUMNS as EXCLUSION_COLUMNS
from benchmark.slices.quarters import COLUMNS as SLICES_COLUMNS
from benchmark.stored.checks import check_facts, check_predictions, check_table
from core.errors import UserError, one_line
from core.files import is_file, parse_json, read_npz, read_text, require_regular
from core.records import Float32Array, Int64Array
from ensemble.rules.combination import Combination, combination, combine
from ensemble.rules.registry import DEFAULT, RULES

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("comparison.csv", "latency_samples.csv.gz")  # a folder without them is incomplete


class Predicted(NamedTuple):
    """float32 logits, (n_images, n_classes), and the true int64 labels, (n_images,), in the order of the split."""

    logits: Float32Array
    labels: Int64Array


@dataclass(frozen=True)
class Results:
    """A benchmark's results; each table is a pandas DataFrame, read from `folder` when first used and kept.

    The columns are those of the CSV files of the same names, units in the column names (`latency_p50_ms`); names are text,
    what was not measured is missing. Get one from `benchmark.evaluate` or `benchmark.read_results`.

    folder: the run folder; run: all of its run.json (options, environment, providers, data set, model cards, …).
    tables: by file name, those already in memory, as `read_csv` returns them.
    """

    folder: Path
    run: dict[str, Any]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """One row per model, provider and batch size: accuracy in [0, 1], NLL in nats, latency in ms, size in MB."""
        return self._table("comparison.csv")

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """One row per model and class: precision, recall with its interval, F1, number of images."""
        return self._table("per_class.csv")

    @cached_property
    def confusion(self) -> pd.DataFrame:
        """One row per model, true class and predicted class: the number of images, zeros included."""
        return self._table("confusion.csv")

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per pair of models: accuracy difference with interval, McNemar's p, Holm's p, verdict."""
        return self._table("pairs.csv")

    @cached_property
    def latency(self) -> pd.DataFrame:
        """One row per model, provider, batch size and transfer: percentiles in ms with intervals; no rows where not timed."""
        return self._table("latency.csv")

    @cached_property
    def latency_pairs(self) -> pd.DataFrame:
        """One row per pair of models, provider, batch size and transfer: ratio of p50 with interval, p, verdict."""
        return self._table("latency_pairs.csv")

    @cached_property
    def latency_samples(self) -> pd.DataFrame:
        """One row per call that was timed, in ms, in the order of the calls."""
        return self._table("latency_samples.csv.gz")

    @cached_property
    def costs(self) -> pd.DataFrame:
        """A row per model, provider and batch size: parameters, GMACs, MB, ms to load, J and US dollars; none in older runs."""
        return self._table("costs.csv", otherwise=COSTS_COLUMNS)

    @cached_property
    def settings(self) -> pd.DataFrame:
        """A row per model, provider, batch size, instances and threads: latency, throughput, verdicts; none without `instances`."""
        return self._table("settings.csv", otherwise=of_settings.COLUMNS)

    @cached_property
    def settings_pairs(self) -> pd.DataFrame:
        """A row per pair of settings of a model and measure: ratio with interval, p, verdict; no rows without `instances`."""
        return self._table("settings_pairs.csv", otherwise=of_settings.PAIRS_COLUMNS)

    @cached_property
    def rejects(self) -> pd.DataFrame:
        """A row per model: threshold chosen on validation images, coverage and error here; no rows without `max_error`."""
        return self._table("rejects.csv", otherwise=REJECTS_COLUMNS)

    @cached_property
    def slices(self) -> pd.DataFrame:
        """A row per quarter of the images by a property, and model or pair of models; no rows without `slices`."""
        return self._table("slices.csv", otherwise=SLICES_COLUMNS)

    @cached_property
    def robustness(self) -> pd.DataFrame:
        """A row per model, corruption and severity: accuracy with interval; no rows without `corrupt`."""
        return self._table("robustness.csv", otherwise=robust.COLUMNS)

    @cached_property
    def robustness_summary(self) -> pd.DataFrame:
        """A row per model: mean corruption accuracy, drop, errors relative to the baseline's; no rows without `corrupt`."""
        return self._table("robustness_summary.csv", otherwise=robust.SUMMARY_COLUMNS)

    @cached_property
    def robustness_pairs(self) -> pd.DataFrame:
        """A row per pair of models: which is more robust, by a bootstrap over images; no rows without `corrupt`."""
        return self._table("robustness_pairs.csv", otherwise=robust.PAIRS_COLUMNS)

    @cached_property
    def flips(self) -> pd.DataFrame:
        """A row per model and perturbation, and of their mean: how often its answer flips; no rows without `perturbed_from`."""
        return self._table("flips.csv", otherwise=FLIPS_COLUMNS)

    @cached_property
    def flips_pairs(self) -> pd.DataFrame:
        """A row per pair of models: which flips less, by a bootstrap over images; no rows without `perturbed_from`."""
        return self._table("flips_pairs.csv", otherwise=robust.PAIRS_COLUMNS)

    @cached_property
    def exclusions(self) -> pd.DataFrame:
        """A row per model and list of images left out: accuracy with and without them; no rows without `exclude`."""
        return self._table("exclusions.csv", otherwise=EXCLUSION_COLUMNS)

    @cached_property
    def ood(self) -> pd.DataFrame:
        """A row per model and score: AUROC and FPR@95 of its own images against foreign ones; no rows without `ood`."""
        return self._table("ood.csv", otherwise=OOD_COLUMNS)

    @cached_property
    def ensembles(self) -> pd.DataFrame:
        """One row per ensemble and member: weight, temperature, calibration before and after; no rows without ensembles."""
        return self._table("ensembles.csv", otherwise=ENSEMBLES_COLUMNS)

    @cached_property
    def loadgen(self) -> pd.DataFrame:
        """One row per model and scenario of MLPerf LoadGen: its figure beside ours; no rows where it did not run."""
        return self._table("loadgen.csv", otherwise=LOADGEN_COLUMNS)

    @cached_property
    def predictions(self) -> dict[str, Predicted]:
        """Logits and labels of each model by name; an ensemble's are made again from its members', by its rule."""
        with believed(self.folder):
            singles = {name: _read_npz(self.folder / "predictions" / f"{name}.npz") for name in (*self.singles, *self._of_views)}
            check_predictions(singles, len(self.class_names))
            return _with_ensembles(singles, self.comparison, self.run)

    @property
    def _of_views(self) -> list[str]:
        """Names of the ensembles whose predictions cannot be computed from their members' logits."""
        return [one["name"] for one in self.run.get("ensembles", []) if RULES[one["rule"]].is_of_views]

    @property
    def singles(self) -> list[str]:
        """Names of the models that were files, in their order."""
        return [model["name"] for model in self.run["models"]]

    @property
    def members_of(self) -> dict[str, tuple[str, ...]]:
        """Names of the members of each ensemble that the run made, by its name."""
        return {ensemble["name"]: tuple(ensemble["members"]) for ensemble in self.run.get("ensembles", [])}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of their labels."""
        return tuple(self.run["dataset"]["class_names"])

    @property
    def where(self) -> str:
        """Data set and split, as titles name them."""
        return f"{self.run['dataset']['name']} {self.run['dataset']['split']}"

    @property
    def answers(self) -> list[str]:
        """What to deploy, a sentence per provider; with `max_latency_ms` or `min_accuracy`, within these limits."""
        return list(self.run.get("answers", []))

    @property
    def notes(self) -> list[str]:
        """What a reader should know about this run: skipped files, few images, duplicates, …"""
        return list(self.run.get("notes", []))

    @property
    def dataset_sha256(self) -> str:
        """Fingerprint of the images that were predicted."""
        return str(self.run["dataset"]["sha256"])

    @property
    def machine(self) -> dict[str, Any]:
        """What must be equal before two latencies may be compared: processor, cores, devices, threads."""
        environment = self.run["environment"]
        return {
            "processor": environment["cpu"],
            "instruction sets": environment["cpu_flags"],
            "cores": environment["cores_available"],
            "devices": sorted({provider["device_name"] for provider in self.run["providers"]}),
            "threads": self.run["threads"],
        }

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r})"

    def _table(self, name: str, otherwise: Sequence[str] = ()) -> pd.DataFrame:
        """A table, from memory or its file; without that file an empty one with the columns `otherwise`, if these are given."""
        if name in self.tables:
            return self.tables[name]
        if otherwise and not (self.folder / name).exists():
            import pandas as pd

            return pd.DataFrame(columns=list(otherwise))
        with believed(self.folder):
            require_regular(self.folder / name)
            frame = read_csv(self.folder / name)
            check_table(frame, name)
            return frame


def read_results(folder: str | Path) -> Results:
    """The benchmark whose run folder is `folder`; UserError if it is not one, or a file is missing.

    >>> results = read_results("results/OLD")
    >>> results.per_class["class_name"].unique().tolist() == list(results.class_names)
    True
    >>> logits, labels = results.predictions["a"]
    >>> logits.shape == (len(labels), len(results.class_names))
    True
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no run folder {folder}; name one that python -m benchmark made, in results/ or its --out")
    with believed(folder):
        run = parse_json(read_text(folder / "run.json"))
        if isinstance(run, dict) and run.get("what") != "benchmark":
            raise UserError(f"{folder} is a run of another kind ({run.get('what')}); name a folder that python -m benchmark made")
        check_facts(run)
        for name in [*NEEDED, *(f"predictions/{model['name']}.npz" for model in run["models"])]:
            if not is_file(folder / name):
                raise FileNotFoundError(f"there is no {name}")
    return Results(folder, run)


@contextmanager
def believed(*folders: Path) -> Iterator[None]:
    """UserError that names `folders` for any exception in the block: a stored run may hold anything, and is read lazily."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        named = " or ".join(map(str, dict.fromkeys(folders)))
        what = f"is not a valid benchmark run ({type(error).__name__}: {one_line(error, 120)})"
        raise UserError(f"{named} {what}; name a folder that python -m benchmark made") from error


def _read_npz(path: Path) -> Predicted:
    kept = read_npz(path)
    return Predicted(kept["logits"], kept["labels"])


def _with_ensembles(singles: dict[str, Predicted], comparison: pd.DataFrame, run: dict[str, Any]) -> dict[str, Predicted]:
    """Add the ensembles that the run made, by the rule it made them with; the plain mean in older runs."""
    recorded = {e["name"]: Combination(e["rule"], tuple(e["weights"]), tuple(e["temperatures"])) for e in run.get("ensembles", [])}
    members_of = {e["name"]: list(e["members"]) for e in run.get("ensembles", [])}
    predictions = dict(singles)
    ensembles = comparison[comparison["kind"] == "ensemble"].drop_duplicates("model")
    for name, members in zip(ensembles["model"], ensembles["members"], strict=True):
        if name not in singles:  # one that was a file has predictions of its own
            names = members_of.get(name) or str(members).split()
            how = recorded.get(name, combination(DEFAULT, len(names)))
            logits, _ = combine(how, [singles[member].logits for member in names])
            predictions[name] = Predicted(logits, singles[names[0]].labels)
    return predictions
