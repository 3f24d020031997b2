"""How often are speed verdicts wrong on this machine? `python -m benchmark selfcheck MODEL.onnx` tests it on known answers.

A model is compared with an identical copy of itself, where every verdict but "no credible difference" is false, and with
a copy slowed by a tenth, where every verdict but "slower" is a miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli import Parser, add_run_flag, not_negative, run, usable_threads
from core.console import print_lines

if TYPE_CHECKING:
    from onnx import ModelProto

    from benchmark.latency.pairs import LatencyPair
    from core.records import UInt8Array
    from models.card import ModelCard

COPY, SLOWED = "copy", "slowed"
MATRIX = 64  # side of the planted matrix products
PROBE = 60  # products of the first try at the number that makes up the slowdown
CALIBRATION_ROUNDS = (12, 24, 36)  # of each try
MOST_GROWTH = 8.0  # of that number from one try to the next, should noise hide the slowdown of a try


def main(arguments: Sequence[str]) -> int:
    """Run the comparisons, print the ratios and counts, write selfcheck.csv; the status is 1 if the verdicts cannot be believed."""
    parser = Parser(prog="python -m benchmark selfcheck", description=__doc__)
    add = parser.add_argument
    add("model", type=Path, help="a contract ONNX file")
    add("--same", type=not_negative, default=40, metavar="N", help="comparisons with an identical copy (default: 40)")
    add("--slowed", type=not_negative, default=20, metavar="N", help="comparisons with a slowed copy (default: 20)")
    add("--by", type=float, default=0.10, metavar="SHARE", help="how much slower the slowed copy is (default: 0.10)")
    add("--rounds", type=int, default=20, metavar="N", help="rounds of each comparison (default: 20)")
    add("--threads", type=usable_threads, default=1, metavar="N", help="intra-op threads (default: 1, the steadiest)")
    add_run_flag(parser)
    options = parser.parse_args(arguments)
    from benchmark.latency.pairs import MIN_PAIRS

    if options.rounds < MIN_PAIRS or options.by <= 0:
        parser.error(f"--rounds must be {MIN_PAIRS} or more, --by above 0")
    return selfcheck(options.model, options.same, options.slowed, options.by, options.rounds, options.out, options.threads)


def selfcheck(path: Path, n_same: int, n_slowed: int, by: float, n_rounds: int, out: Path, threads: int) -> int:
    """`main` on parsed options; exit status 1 if the verdicts cannot be believed (see `believable`), otherwise 0."""
    from benchmark.report.tables import latency_pair_rows, write_csv
    from core.environment import environment
    from core.files import final_run_folder, run_folder, write_json

    with run_folder("selfcheck", out) as folder:
        pairs, n_products = compare_with_copies(path, n_same, n_slowed, by, n_rounds, threads)
        write_csv(latency_pair_rows(pairs), folder / "selfcheck.csv")
        facts = {
            "model": path.name,
            "slowed_by": by,
            "products": n_products,
            "rounds": n_rounds,
            "threads": threads,
            "environment": environment(),
        }
        write_json(folder / "run.json", facts)
    status = _report(pairs, by)
    print_lines([f"results: {final_run_folder(folder)}"])
    return status


def compare_with_copies(
    path: Path, n_same: int, n_slowed: int, by: float, n_rounds: int, threads: int = 1
) -> tuple[list[LatencyPair], int]:
    """The comparisons, named `copy` and `slowed` against `model`, and the number of matrix products in the slowed copy."""
    import tempfile

    import numpy as np

    from core.console import progress
    from models.graph.contract import load_model, save_model

    model, card = load_model(path)
    images_u8 = np.random.default_rng(0).integers(0, 256, (1, card.image_height, card.image_width, 3), dtype=np.uint8)
    pairs: list[LatencyPair] = []
    with tempfile.TemporaryDirectory() as scratch, progress(ticking=False) as display:
        task = display.add_task("calibrating the slowed copy", total=n_same + n_slowed)
        files = {name: Path(scratch) / f"{name}.onnx" for name in ("model", COPY, SLOWED)}
        n_products = _calibrate(model, card, by, images_u8, Path(scratch), threads) if n_slowed else 0
        save_model(model, card, files["model"])
        save_model(model, card, files[COPY])
        save_model(slowed(model, n_products), card, files[SLOWED])
        for index, other in enumerate([*[COPY] * n_same, *[SLOWED] * n_slowed]):
            display.update(task, description=f"comparing with {other}" if not pairs else None, refresh=True)
            pairs.append(compare_files((other, files[other]), ("model", files["model"]), images_u8, n_rounds, index, threads))
            display.update(task, advance=1, description=f"{other}: ratio {pairs[-1].ratio:.3f}, {pairs[-1].verdict}", refresh=True)
    return pairs, n_products


def _report(pairs: Sequence[LatencyPair], by: float) -> int:
    """Print how often the verdicts were right; 1 if they cannot be believed."""
    from statistics import median

    from benchmark.latency.pairs import NO_DIFFERENCE, SLOWER

    verdicts = {name: [pair.verdict for pair in pairs if pair.model_a == name] for name in (COPY, SLOWED)}
    for name in (name for name in verdicts if verdicts[name]):
        ratios = [pair.ratio for pair in pairs if pair.model_a == name]
        print(f"{name}: p50 ratio {median(ratios):.3f} (median), {min(ratios):.3f} to {max(ratios):.3f}")
    false_calls = sum(verdict != NO_DIFFERENCE for verdict in verdicts[COPY])
    hits = verdicts[SLOWED].count(SLOWER)
    if verdicts[COPY]:
        print(f"identical copy: {false_calls} of {len(verdicts[COPY])} comparisons gave a verdict other than '{NO_DIFFERENCE}'")
    if verdicts[SLOWED]:
        print(f"copy slowed by {by:.0%}: {hits} of {len(verdicts[SLOWED])} comparisons said '{SLOWER}'")
    return int(not believable(false_calls, len(verdicts[COPY]), hits, len(verdicts[SLOWED])))


def believable(n_false: int, n_copies: int, n_hits: int, n_slowed: int) -> bool:
    """Whether no more verdicts are false than a rate of 1 % explains, and 95 % or more of the slowed copies were found.

    Exact binomial test: at a rate of 1 %, that of the verdicts' own test, so many or more have a probability of 1 % or more.
    """
    from scipy.stats import binom

    from benchmark.latency.pairs import ALPHA

    return float(binom.sf(n_false - 1, n_copies, ALPHA)) >= ALPHA and n_hits >= 0.95 * n_slowed


def compare_files(
    a: tuple[str, Path], b: tuple[str, Path], images_u8: UInt8Array, n_rounds: int, seed: int, threads: int
) -> LatencyPair:
    """The latency verdict on file a against file b at batch 1 on the CPU, from an experiment of its own."""
    from benchmark.latency.experiment import configurations, run_experiment
    from benchmark.latency.pairs import compare_latencies
    from models.runtimes.base import Provider
    from models.runtimes.registry import CPU

    to_time = configurations([a, b], [Provider(CPU, "")], [1], threads)
    samples = run_experiment(to_time, images_u8, seed=seed, n_rounds=n_rounds).samples
    (pair,) = compare_latencies(samples, [(a[0], b[0])])
    return pair


def _calibrate(model: ModelProto, card: ModelCard, by: float, images_u8: UInt8Array, scratch: Path, threads: int) -> int:
    """How many matrix products make `model` slower by the share `by`, from the time that a known number adds.

    The first number is a guess that slows by a few per cent, within the noise; so each next number is measured and corrected, too.
    The work that comes with any number of products, such as summing the image, counts as part of the slowdown.
    """
    from models.graph.contract import save_model

    plain, probe = scratch / "plain.onnx", scratch / "probe.onnx"
    save_model(model, card, plain)
    n_products = PROBE
    for n_rounds in CALIBRATION_ROUNDS:
        save_model(slowed(model, n_products), card, probe)
        ratio = compare_files(("probe", probe), ("plain", plain), images_u8, n_rounds, seed=0, threads=threads).ratio
        growth = by / (ratio - 1) if ratio > 1 else MOST_GROWTH
        n_products = max(1, round(n_products * min(growth, MOST_GROWTH)))
    return n_products


def slowed(model: ModelProto, n_products: int) -> ModelProto:
    """`model` with `n_products` matrix products more, whose result is multiplied by 0 and added to the logits.

    They depend on the input, so that no optimiser can compute them beforehand; the outputs stay the same.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from models.graph.contract import IMAGES, LOGITS

    planted = onnx.ModelProto()
    planted.CopyFrom(model)
    graph = planted.graph
    for node in graph.node:
        node.output[:] = ["planted_logits" if name == LOGITS else name for name in node.output]
        node.input[:] = ["planted_logits" if name == LOGITS else name for name in node.input]
    constants = {
        "planted_matrix": np.random.default_rng(0).normal(0, 1 / np.sqrt(MATRIX), (MATRIX, MATRIX)).astype(np.float32),
        "planted_zero": np.array(0, np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    nodes = [
        helper.make_node("Cast", [IMAGES], ["planted_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["planted_float"], ["planted_mean"], keepdims=0),
        helper.make_node("Add", ["planted_matrix", "planted_mean"], ["planted_0"]),
    ]
    nodes += [
        helper.make_node("MatMul", [f"planted_{step}", "planted_matrix"], [f"planted_{step + 1}"]) for step in range(n_products)
    ]
    nodes += [
        helper.make_node("ReduceMean", [f"planted_{n_products}"], ["planted_sum"], keepdims=0),
        helper.make_node("Mul", ["planted_sum", "planted_zero"], ["planted_nothing"]),
        helper.make_node("Add", ["planted_logits", "planted_nothing"], [LOGITS]),
    ]
    graph.node.extend(nodes)
    return planted


if __name__ == "__main__":
    run(main)
