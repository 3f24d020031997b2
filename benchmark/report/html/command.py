"""`python -m benchmark report`: the page of an old run, or of several runs beside each other."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from pathlib import Path

from core.cli import Parser


def main(arguments: Sequence[str]) -> int:
    """Write the page of the runs that `arguments` name, and print where it is."""
    options = parser().parse_args(arguments)
    runs = list(dict.fromkeys(options.runs))

    from benchmark.report.html.page import PAGE_FILE, is_page, write_page
    from benchmark.results import believed, read_results
    from core.console import print_lines
    from core.errors import UserError
    from models.provenance import require_free

    if options.out is None and len(runs) > 1:
        raise UserError("a page of several runs belongs to none of their folders; say where it goes with --out FILE")
    out = options.out or runs[0] / PAGE_FILE
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file with --out, such as {out / PAGE_FILE}")

    def why_not(made: Path | None) -> str | None:
        if not is_page(out):
            return "is no page of this program"
        if made is None or options.out is None:  # what stands in the run's own folder is always that run's page
            return None
        return None if filecmp.cmp(made, out, shallow=False) else "is the page of other runs, or of another version"

    def allowed(made: Path | None = None) -> None:
        require_free(out, lambda: why_not(made), "name another file with --out", force=options.force)

    allowed()  # before the work, and again when the page is written: what is there then must be the same page
    with believed(*runs):
        written = write_page([read_results(run) for run in runs], out, allowed)
    print_lines([f"report: {written}"])
    return 0


def parser() -> Parser:
    """Every flag with its help."""
    command = Parser(
        prog="python -m benchmark report",
        description="The page of one benchmark, made again, or of several on the same images: one HTML file, without network.",
    )
    command.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders of python -m benchmark")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="the file to write; report.html in the folder of a single run if not given"
    )
    command.add_argument("--force", action="store_true", help="replace FILE even if it is anything but the same page")
    return command
