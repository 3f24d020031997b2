"""Why is it slow? `python -m benchmark explain MODEL.onnx` profiles a model and says in words where its time goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.cli import Parser, add_run_flag, positive, usable_threads


def main(arguments: Sequence[str]) -> int:
    """Profile the model in a fresh process, print what it means, keep explain.csv; the status is 0."""
    parser = Parser(prog="python -m benchmark explain", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="a contract file, single, ensemble or variant")
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N", help="images per call (default: 1)")
    parser.add_argument(
        "--threads", type=usable_threads, metavar="N", help="intra-op threads; the cores this process may use by default"
    )
    parser.add_argument("--calls", type=positive, default=30, metavar="N", help="calls to profile after warming up (default: 30)")
    parser.add_argument("--data", metavar="NAME|PATH", help="images on which a quantised file's rounding is measured")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where CIFAR-10 lies (default: $CIFAR10_DIR, then data/)")
    add_run_flag(parser)
    given = parser.parse_args(arguments)
    from core.console import print_lines
    from core.environment import available_cores

    threads = given.threads or available_cores()
    folder, lines = explain(given.model, given.batch_size, threads, given.calls, given.out, given.data, given.data_dir)
    print_lines([*lines, f"results: {folder}"])
    return 0


def explain(
    path: Path, batch_size: int, threads: int, n_calls: int, out: Path, data: str | None = None, data_dir: Path | None = None
) -> tuple[Path, list[str]]:
    """The run folder with explain.csv and run.json, and what to print; UserError if the model cannot be run.

    data, data_dir: where the images are on which the rounding of a quantised file is measured, into rounding.csv.
    """
    from benchmark.explain.rounding import images_for_rounding, is_rounded, rounding_rows, rounding_sentences
    from benchmark.explain.words import explain_rows, sentences
    from benchmark.explain.worker import operators
    from benchmark.report.tables import write_csv
    from core.console import progress
    from core.decimals import counted
    from core.environment import cpu_flags, cpu_name, environment
    from core.files import final_run_folder, run_folder, write_json
    from core.launch import ask_child
    from models.graph.contract import load_model
    from models.graph.external_data import sha256_of_model
    from models.runtimes.registry import CPU, libraries

    model, card = load_model(path)
    images = images_for_rounding(card, data, data_dir) if is_rounded(model) else None
    job: dict[str, Any] = {"path": str(path), "provider": CPU, "threads": threads, "batch_size": batch_size, "n_calls": n_calls}
    job |= {"image_height": card.image_height, "image_width": card.image_width}
    with run_folder("explain", out) as folder:
        with progress() as display:
            display.add_task(f"profiling {path.stem}", total=None)
            profile = ask_child("benchmark.explain.worker", job, f"profiling {path}")
        rows = explain_rows(profile)
        write_csv(rows, folder / "explain.csv")
        where = f"{path.stem} at batch {batch_size}, {counted(threads, 'thread')}, {cpu_name()}"
        lines = [where, *sentences(rows, profile, operators(path), cpu_flags())]
        if images is not None:
            images_u8, notes = images
            rounding = rounding_rows(path, model, images_u8)
            write_csv(rounding, folder / "rounding.csv")
            lines += [*rounding_sentences(rounding), *notes]
        run = {"what": "explain", "job": {**job, "sha256": sha256_of_model(path)}, "environment": environment(libraries())}
        write_json(folder / "run.json", {**run, "calls_us": profile["calls_us"], "said": lines})
        return final_run_folder(folder), lines
