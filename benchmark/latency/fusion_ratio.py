"""What fusing saves: `python -m benchmark fusion-ratio A.onnx B.onnx` times members alone, fused, and one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli import Parser, positive, run, seed, usable_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.records import Float64Array

FUSED, SEQUENTIAL = "fused", "one after the other"
FEWEST_ROUNDS = 3
N_IMAGES = 64


@dataclass(frozen=True)
class Ratio:
    """Median over the rounds of a ratio of p50 latencies, with the 95 % bootstrap interval of that median."""

    what: str
    value: float
    ci95: tuple[float, float]


def main(arguments: Sequence[str]) -> int:
    """Print the p50 of each way to run the members, and the two ratios; every timing in a fresh process."""
    parser = Parser(prog="python -m benchmark fusion-ratio", description=main.__doc__)
    parser.add_argument("members", type=Path, nargs="+", metavar="MEMBER.onnx")
    parser.add_argument("--rounds", type=positive, default=12, metavar="N", help="each times everything once, in random order (12)")
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N", help="images per call (1)")
    parser.add_argument(
        "--threads", type=usable_threads, metavar="N", help="intra-op threads; the cores this process may use by default"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the order (0)")
    options = parser.parse_args(arguments)
    if options.rounds < FEWEST_ROUNDS:
        parser.error(f"--rounds must be {FEWEST_ROUNDS} or more")

    from core.console import progress
    from core.decimals import counted
    from core.environment import available_cores, cpu_name

    threads = options.threads or available_cores()
    with progress(ticking=False) as display:
        task = display.add_task("rounds timed", total=options.rounds)

        def advance() -> None:
            display.update(task, advance=1, refresh=True)

        p50_ms = measure(options.members, options.rounds, options.batch_size, threads, options.seed, advance)
    on = f"{cpu_name()}, {counted(threads, 'thread')}"
    print(f"p50 at batch {options.batch_size} on {on}, median of {options.rounds} fresh processes each")
    for name, values_ms in p50_ms.items():
        print(f"  {name:<40} {_median(values_ms):8.3f} ms")
    for ratio in ratios(p50_ms):
        print(f"{ratio.what}: {ratio.value:.3f} (95 % {ratio.ci95[0]:.3f}–{ratio.ci95[1]:.3f})")
    return 0


def measure(
    members: Sequence[Path], rounds: int, batch_size: int, threads: int, seed: int, advance: Callable[[], None] = lambda: None
) -> dict[str, Float64Array]:
    """p50 in ms by round, (rounds,), of each member alone, of the members fused, and of their sessions one after the other.

    Raw images are seeded noise: the time of a network does not depend on what it sees. Names begin with the member's number.
    """
    import random
    import tempfile

    import numpy as np

    from benchmark.latency.experiment import SAMPLE_S, write_images
    from core.launch import ask_child
    from ensemble.fuse import fuse, load_members
    from models.graph.contract import save_model
    from models.runtimes.registry import CPU

    loaded = load_members(members)
    card = loaded[0].card
    with tempfile.TemporaryDirectory() as folder:
        fused_path = Path(folder) / "fused.onnx"
        model, fused_card = fuse(loaded, FUSED)
        save_model(model, fused_card, fused_path)
        noise_u8 = np.random.default_rng(0).integers(0, 256, (N_IMAGES, card.image_height, card.image_width, 3), dtype=np.uint8)
        common: dict[str, Any] = {"threads": threads, "batch_size": batch_size, "sample_s": SAMPLE_S}
        common["images"] = str(write_images(noise_u8, batch_size, Path(folder)))
        alone = {"provider": CPU, "transfer": "host-to-host", **common}
        jobs = {
            f"{index + 1} {path.stem}": ("benchmark.latency.worker", {"path": str(path.resolve()), **alone})
            for index, path in enumerate(members)
        }
        jobs[FUSED] = ("benchmark.latency.worker", {"path": str(fused_path), **alone})
        paths = [str(path.resolve()) for path in members]
        jobs[SEQUENTIAL] = ("benchmark.latency.sequential_worker", {"paths": paths, **common})
        order = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        p50_ms: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(rounds):
            for name in order.sample(list(jobs), len(jobs)):
                answer = ask_child(*jobs[name], f"timing {name}")
                p50_ms[name].append(float(np.median(answer["samples_ms"])))
            advance()
    return {name: np.array(values_ms) for name, values_ms in p50_ms.items()}


def ratios(p50_ms: dict[str, Float64Array]) -> list[Ratio]:
    """Fused ÷ sum of the members' own p50, and one after the other ÷ fused, each within rounds."""
    import numpy as np

    from core.statistics import bootstrap_ci95

    own = np.sum([values for name, values in p50_ms.items() if name not in (FUSED, SEQUENTIAL)], axis=0)
    to_time = (
        ("fused ÷ sum of the members' own p50", p50_ms[FUSED] / own),
        ("the members' sessions one after the other ÷ fused", p50_ms[SEQUENTIAL] / p50_ms[FUSED]),
    )
    return [Ratio(what, float(np.median(values)), bootstrap_ci95(values)) for what, values in to_time]


def _median(values_ms: Float64Array) -> float:
    import numpy as np

    return float(np.median(values_ms))


if __name__ == "__main__":
    run(main)
