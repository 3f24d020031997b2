"""Runs each framework's timing in a child process, and writes the results as a table and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from core.console import print_lines, progress
from core.environment import cpu_class, cpu_flags, cpu_name, environment, import_switches, machine_line
from core.files import final_run_folder, run_folder, write_csv, write_json
from core.launch import converse

WORKERS = {"torch": "train.bench.torch_step", "tensorflow": "train.bench.tf_step"}


@dataclass(frozen=True)
class Turn:
    """One loop's share of a round: whole steps, timed from the first request for data to the end of the last update."""

    framework: str
    loop: str  # "plain" or "ours"
    round: int
    n_steps: int
    n_images: int
    elapsed_s: float
    data_s: float

    @property
    def images_per_s(self) -> float:
        """Images ÷ seconds."""
        return self.n_images / self.elapsed_s


@dataclass(frozen=True)
class Summary:
    """Summary of one framework: medians over rounds; ratio: ours ÷ plain within each round, with its least and largest."""

    framework: str
    device: str
    precision: str
    image_size: int
    batch_size: int
    n_rounds: int
    plain_images_per_s: float
    ours_images_per_s: float
    ratio: float
    ratio_least: float
    ratio_largest: float
    plain_data_share: float
    ours_data_share: float
    cpu_class: str
    cpu_name: str
    cpu_flags: str
    onednn: str  # of TensorFlow, in both loops: its TF_ENABLE_ONEDNN_OPTS; empty for other frameworks


def run_bench(frameworks: Sequence[str], wanted: dict[str, Any], out: Path) -> None:
    """Time each framework, write rounds.csv, train_bench.csv and run.json into a new run folder, print the table."""
    turns: list[Turn] = []
    summaries: list[Summary] = []
    with run_folder("train-bench", out) as folder:
        for framework in frameworks:
            told, own = _run_child(framework, wanted)
            turns += own
            summaries.append(summarise(told, own))
        _write_csv(folder / "rounds.csv", turns, Turn)
        _write_csv(folder / "train_bench.csv", summaries, Summary)
        write_json(folder / "run.json", {"what": "train bench", "options": wanted, "environment": environment()})
    print("; ".join([machine_line(), *(f"{name} with {_switches(name)}" for name in frameworks if import_switches(name))]))
    print(table(summaries))
    print_lines([f"run  {final_run_folder(folder)}"])


def _switches(framework: str) -> str:
    return ", ".join(f"{name}={value}" for name, value in import_switches(framework).items())


def summarise(told: dict[str, Any], turns: Sequence[Turn]) -> Summary:
    """The figures of one framework; told: the child's actual device, precision, image_size and batch_size."""
    plain, ours = ([turn for turn in turns if turn.loop == loop] for loop in ("plain", "ours"))
    ratios = [b.images_per_s / a.images_per_s for a, b in zip(plain, ours, strict=True)]
    shares = [sum(turn.data_s for turn in loop) / sum(turn.elapsed_s for turn in loop) for loop in (plain, ours)]
    rates = [median(turn.images_per_s for turn in loop) for loop in (plain, ours)]
    framework = turns[0].framework
    return Summary(
        framework=framework, n_rounds=len(ratios), plain_images_per_s=rates[0], ours_images_per_s=rates[1],
        ratio=median(ratios), ratio_least=min(ratios), ratio_largest=max(ratios),
        plain_data_share=shares[0], ours_data_share=shares[1],
        cpu_class=cpu_class(), cpu_name=cpu_name(), cpu_flags=" ".join(cpu_flags()),
        onednn=import_switches("tensorflow")["TF_ENABLE_ONEDNN_OPTS"] if framework == "tensorflow" else "", **told,
    )  # fmt: skip


def table(summaries: Sequence[Summary]) -> str:
    """The summaries as a printed table."""
    lines = [f"{'':<11}{'size':>7}{'batch':>7}  {'where':<11}{'plain/s':>9}{'ours/s':>9}  {'ratio (rounds)':<22}waiting for data"]
    for row in summaries:
        ratio = f"{row.ratio:.2f} × ({row.ratio_least:.2f} to {row.ratio_largest:.2f})"
        lines.append(
            f"{row.framework:<11}{row.image_size:>4} px{row.batch_size:>7}  {row.device + ' ' + row.precision:<11}"
            f"{row.plain_images_per_s:>9,.1f}{row.ours_images_per_s:>9,.1f}  {ratio:<22}"
            f"{row.plain_data_share:.1%} plain, {row.ours_data_share:.1%} ours"
        )
    return "\n".join(lines)


def _run_child(framework: str, wanted: dict[str, Any]) -> tuple[dict[str, Any], list[Turn]]:
    turns: list[Turn] = []
    results: dict[str, Any] = {}
    with progress("loop") as display:
        bar = display.add_task(framework, total=2 * wanted["rounds"], loop="warming up")

        def heard(message: dict[str, Any]) -> None:
            if "loop" not in message:
                results.update(message)
                return
            turns.append(Turn(framework=framework, **message))
            display.update(bar, advance=1, loop=turns[-1].loop)

        converse(WORKERS[framework], wanted, heard, what=f"timing {framework}")
    return results, turns


def _write_csv(path: Path, rows: Sequence[Any], kind: Any) -> None:
    plain = ([f"{value:.6f}" if isinstance(value, float) else value for value in astuple(row)] for row in rows)
    write_csv(path, [field.name for field in fields(kind)], plain)
