"""Is a variant faster than its rivals? `python -m benchmark variant-ratio V.onnx A.onnx B.onnx` times them against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli import Parser, positive, run, seed, usable_threads
from models.runtimes.registry import ONNX_RUNTIME, names

if TYPE_CHECKING:
    from benchmark.latency.pairs import LatencyPair

N_IMAGES = 64


def main(arguments: Sequence[str]) -> int:
    """Print the variant's p50 over each rival's at each batch size, with a verdict; every timing in a fresh process."""
    parser = Parser(prog="python -m benchmark variant-ratio", description=main.__doc__)
    parser.add_argument("variant", type=Path, metavar="VARIANT.onnx", help="for example an INT8 ensemble")
    parser.add_argument("rivals", type=Path, nargs="+", metavar="RIVAL.onnx", help="for example its members in fp32")
    parser.add_argument("--batch-sizes", type=positive, nargs="+", default=[1, 32], metavar="N", help="images per call (1 32)")
    parser.add_argument("--rounds", type=positive, default=12, metavar="N", help="each times everything once, in random order (12)")
    parser.add_argument(
        "--threads", type=usable_threads, metavar="N", help="intra-op threads; the cores this process may use by default"
    )
    runtimes = [ONNX_RUNTIME, *names()]
    parser.add_argument("--runtime", choices=runtimes, default=ONNX_RUNTIME, help="what runs the models (onnxruntime: cpu)")
    parser.add_argument("--seed", type=seed, default=0, help="of the order (0)")
    options = parser.parse_args(arguments)
    from benchmark.latency.pairs import MIN_PAIRS

    if options.rounds < MIN_PAIRS:
        parser.error(f"--rounds must be {MIN_PAIRS} or more, with fewer there is no verdict")
    paths = list(dict.fromkeys([options.variant, *options.rivals]))
    if len({path.stem for path in paths}) < len(paths) or len(paths) < 2:
        parser.error("the files must have different names")

    from core.decimals import counted
    from core.environment import available_cores, cpu_name

    threads = options.threads or available_cores()
    p50_ms, pairs = measure(paths, options.batch_sizes, options.rounds, threads, options.runtime, options.seed)
    print(f"{options.runtime} on {cpu_name()}, {counted(threads, 'thread')}, {options.rounds} rounds of fresh processes")
    for batch_size in options.batch_sizes:
        for path in paths:
            print(f"  p50 at batch {batch_size:<4} {path.stem:<48} {p50_ms[path.stem, batch_size]:9.3f} ms")
    for pair in pairs:
        low, high = pair.ratio_ci95
        ratio = f"{pair.ratio:.3f} (95 % {low:.3f}–{high:.3f}): {pair.verdict}"
        print(f"batch {pair.batch_size}: {pair.model_a} ÷ {pair.model_b}: {ratio}")
    for batch_size in options.batch_sizes:
        print(against_slowest(options.variant.stem, batch_size, p50_ms, pairs))
    return 0


def measure(
    paths: Sequence[Path], batch_sizes: Sequence[int], rounds: int, threads: int, runtime: str, seed: int
) -> tuple[dict[tuple[str, int], float], list[LatencyPair]]:
    """p50 in ms by model and batch size, median over processes; and verdicts on the first of `paths` against each other one.

    Raw images are seeded noise: the time of a network does not depend on what it sees.
    """
    import numpy as np

    from benchmark.latency.experiment import configurations, run_experiment
    from benchmark.latency.pairs import compare_latencies
    from benchmark.latency.summary import summarise
    from core.console import progress
    from models.graph.contract import load_model
    from models.runtimes.choose import prove

    card = load_model(paths[0])[1]
    provider = prove("cpu" if runtime == ONNX_RUNTIME else runtime, paths[0], threads)
    noise_u8 = np.random.default_rng(0).integers(0, 256, (N_IMAGES, card.image_height, card.image_width, 3), dtype=np.uint8)
    to_time = configurations([(path.stem, path) for path in paths], [provider], sorted(set(batch_sizes)), threads)
    with progress("doing", ticking=False) as display:
        task = display.add_task("timing", total=rounds * len(to_time), doing="")
        report = _counting(lambda done, doing: display.update(task, completed=done, doing=doing, refresh=True))
        samples = run_experiment(to_time, noise_u8, seed=seed, report=report, n_rounds=rounds).in_order()
    p50_ms = {(summary.model, summary.batch_size): summary.p50_ms for summary in summarise(samples)}
    pairs = compare_latencies(samples, [(paths[0].stem, path.stem) for path in paths[1:]])
    return p50_ms, sorted(pairs, key=lambda pair: pair.batch_size)


def _counting(show: Callable[[int, str], None]) -> Callable[[float, str], None]:
    """A report for `run_experiment` that counts processes instead of seconds."""
    done = -1

    def report(_elapsed_s: float, doing: str) -> None:
        nonlocal done
        done += 1
        show(done, doing)

    return report


def against_slowest(variant: str, batch_size: int, p50_ms: dict[tuple[str, int], float], pairs: Sequence[LatencyPair]) -> str:
    """The sentence that answers whether the variant beats the slowest of its rivals at one batch size."""
    own = [pair for pair in pairs if pair.batch_size == batch_size]
    slowest = max(own, key=lambda pair: p50_ms[pair.model_b, batch_size])
    verdict = slowest.verdict if slowest.verdict in ("faster", "slower") else f"{slowest.verdict} in speed"
    return (
        f"at batch {batch_size}, {variant} against the slowest rival, {slowest.model_b}: {verdict}, {slowest.ratio:.3f} × its p50"
    )


if __name__ == "__main__":
    run(main)
