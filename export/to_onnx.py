"""Export every trained model to an ONNX file that keeps the project's contract and says what the native model says.

python -m export.to_onnx                      # every .pth and .keras in models/
python -m export.to_onnx models/resnet18_digits.pth

Nothing is downloaded: where a model's own images are not on this machine, it is compared with its export on made-up ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.cli import Parser, add_run_flag, positive

PARITY_IMAGES = 256


def main(arguments: Sequence[str]) -> int:
    """Export, print the table, keep it as a run; 1 where a file failed."""
    options = _parser().parse_args(arguments)
    from core.files import final_run_folder, run_folder
    from export import report
    from export.pipeline import How, export_all, find_weights, without_built_in
    from export.report import Exported, Failed

    sources = find_weights(options.paths, options.models_dir)
    if options.data is not None and not options.paths:
        sources, passed_over = without_built_in(sources)
        for source in passed_over:
            print(f"note: {source} was trained on other images than --data's; name it to export it", file=sys.stderr)
    out = options.out or options.models_dir
    outcomes: list[Exported | Failed] = []
    # The run folder is made first, so that one which cannot be made stops nobody after a minute of work.
    with suppress(_NothingExported), run_folder("export", options.results_dir) as partial:
        # core.cli takes --traceback out of the arguments, and the children must know of it too.
        show_noise = "--traceback" in sys.argv
        how = How(options.images, options.data, options.data_dir, options.force, show_noise)
        outcomes = export_all(sources, out, how)
        exported = [outcome for outcome in outcomes if isinstance(outcome, Exported)]
        if not exported:
            raise _NothingExported
        report.fill_run(partial, outcomes, arguments)
        report.print_table(exported, final_run_folder(partial))
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    for failure in failed:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failed else 0


class _NothingExported(Exception):  # noqa: N818  # not an error: it takes the empty run folder away
    pass


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m export.to_onnx",
        description="Export trained models to ONNX. Each graph is checked, run at batches 1, 2 and 7, and compared with its "
        "native model on raw images of its data set, on made-up ones where those are not on this machine; a file whose logits "
        "differ by more than 1e-3 (or 1e-5 of the largest, where that is more), or a label of which differs, is not kept.",
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help=".pth or .keras file (default: all in --models-dir)")
    parser.add_argument(
        "--models-dir", type=Path, default=Path("models"), metavar="DIR", help="where weights lie (default: models)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where ONNX files go (default: --models-dir)")
    parser.add_argument("--data", type=Path, metavar="PATH", help="folder of images: exports the models trained on one")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where CIFAR-10 lies (default: $CIFAR10_DIR, then data/)")
    parser.add_argument("--images", type=positive, default=PARITY_IMAGES, metavar="N", help="images to compare on (default: 256)")
    parser.add_argument("--force", action="store_true", help="replace an ONNX file that was made of other weights")
    add_run_flag(parser, "--results-dir")
    parser.add_argument("--traceback", action="store_true", help="show causes of errors and what the exporters print")
    return parser


if __name__ == "__main__":
    from core.cli import run

    run(main)
