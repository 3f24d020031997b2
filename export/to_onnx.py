"""Export every trained model to an ONNX file that keeps the project's contract and gives the native model's outputs.

python -m export.to_onnx                      # every .pth and .keras in models/
python -m export.to_onnx models/resnet18_digits.pth

Nothing is downloaded: if a model's own images are not on this machine, it is compared with its export on made-up ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from core.cli import Parser, add_run_flag, positive
from core.console import print_note
from export.options import Options


def main(arguments: Sequence[str]) -> int:
    """Export, print the table, keep it as a run; 1 if a file failed."""
    given = _parser().parse_args(arguments)
    # core.cli takes --traceback out of the arguments, and the children must know of it too.
    options = Options(given.images, given.data, given.data_dir, given.force, "--traceback" in sys.argv)
    from core.files import final_run_folder, run_folder
    from export import report
    from export.pipeline import export_all, find_weights, without_built_in

    sources = find_weights(given.paths, given.models_dir)
    if given.data is not None and not given.paths:
        sources, passed_over = without_built_in(sources)
        for source in passed_over:
            print_note(f"note: {source} was trained on other images than --data's; name it to export it")
    # The run folder is made first: if that fails, it should not be after a minute of work.
    with run_folder("export", given.results_dir, "--results-dir") as partial:
        outcomes = export_all(sources, given.out or given.models_dir, options)
        exported = [outcome for outcome in outcomes if isinstance(outcome, report.Exported)]
        if exported:
            report.fill_run(partial, outcomes, arguments)
            report.print_table(exported, final_run_folder(partial))
    return 1 if report.print_failures(outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m export.to_onnx",
        description="Export trained models to ONNX. Each graph is checked, run at batches 1, 2 and 7, and compared with its "
        "native model on raw images of its data set, on made-up ones where those are not on this machine; a file whose logits "
        "differ by more than 1e-3 (or 1e-5 of the largest, where that is more), or that changes a label, is not kept.",
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help=".pth or .keras file (default: all in --models-dir)")
    parser.add_argument(
        "--models-dir", type=Path, default=Path("models"), metavar="DIR", help="where weights lie (default: models)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where ONNX files go (default: --models-dir)")
    parser.add_argument("--data", type=Path, metavar="PATH", help="folder of images: exports the models trained on one")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where CIFAR-10 lies (default: $CIFAR10_DIR, then data/)")
    parser.add_argument(
        "--images", type=positive, default=Options.n_images, metavar="N", help="images to compare on (default: 256)"
    )
    parser.add_argument("--force", action="store_true", help="replace an ONNX file that was made of other weights")
    add_run_flag(parser, "--results-dir")
    parser.add_argument("--traceback", action="store_true", help="show causes of errors and what the exporters print")
    return parser


if __name__ == "__main__":
    from core.cli import run

    run(main)
