"""One run, or several on the same images, as one HTML file that needs no network."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.report.compare import compare
from benchmark.report.html.charts import chart_specifications
from benchmark.report.html.contents.galleries import MOST_OF_GALLERY, Gallery, galleries, pool
from benchmark.report.html.contents.pairs import PairShown, pairs_shown
from benchmark.report.html.contents.pictures import kept_pictures, write_names, write_pictures
from benchmark.report.html.contents.shown import Shown, shown
from benchmark.report.html.origin import facts
from benchmark.report.html.payload import payload
from benchmark.report.html.sheets import sheets
from benchmark.results import Results
from core.console import encodable
from core.errors import UserError
from core.files import atomic_path
from core.records import ImageSet, Int64Array, UInt8Array, taken

PAGE_FILE = "report.html"
PixelsOf = Callable[[Int64Array], UInt8Array]
_PARTS = Path(__file__).parent / "page"
# Of every page: what stands before the hashes of its scripts, and hardly on a page of anybody else's.
_BEGINNING = (
    b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" '
    b"content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
)


class Contents(NamedTuple):
    """What a page shows, computed once: models, pairs and galleries."""

    seen: Shown
    pairs: list[PairShown]
    galleries: list[Gallery]


def contents_of(runs: Sequence[Results]) -> Contents:
    """The contents of a page of `runs`; UserError if they did not predict the same images."""
    seen = shown(runs)
    pairs = pairs_shown(seen)
    return Contents(seen, pairs, galleries(seen, pairs))


def write_run_page(folder: Path, results: Results, image_set: ImageSet, pixels_of: PixelsOf | None = None) -> Path:
    """Write `report.html`, and the names and pictures of the images, into a run folder in the making.

    results: of the run, whose final folder may not exist yet. pixels_of: returns the images at some indices, if `image_set`
    does not hold their pixels.
    """
    write_names(folder, image_set)
    contents = contents_of([dataclasses.replace(results, folder=folder)])
    indices = pool(*contents)
    write_pictures(folder, (pixels_of or partial(taken, image_set.images_u8))(np.array(indices, np.int64)), indices)
    named = contents._replace(seen=dataclasses.replace(contents.seen, run_names=(results.folder.name,)))
    return _write(_text(named), folder / PAGE_FILE)


def write_page(runs: Sequence[Results], path: Path, allowed: Callable[[Path], None] | None = None) -> Path:
    """Write the page of `runs` to `path`; UserError if they did not predict the same images.

    allowed: as for `atomic_path`, given the file that holds the new page.
    """
    return _write(page(runs), path, allowed)


def is_page(path: Path) -> bool:
    """Whether a regular file is a page that this module wrote; False if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def page(runs: Sequence[Results]) -> str:
    """The page as text. Names from runs (models, classes, files) are escaped, never markup or script."""
    return _text(contents_of(runs))


def _write(text: str, path: Path, allowed: Callable[[Path], None] | None = None) -> Path:
    with atomic_path(path, allowed=None if allowed is None else lambda: allowed(temporary)) as temporary:
        temporary.write_text(encodable(text), encoding="utf-8")
    return path


def _text(contents: Contents) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    seen, runs = contents.seen, contents.seen.runs
    pictures = kept_pictures(runs)
    images = pool(*contents, list(pictures))
    parts = {"data": payload(*contents, images, pictures), "charts": chart_specifications()}
    scripts = [(_PARTS / name).read_text(encoding="utf-8") for name in ("vega.js", "page.js")]
    environment = Environment(loader=FileSystemLoader(_PARTS), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": True, "separators": (",", ":"), "allow_nan": False}
    return environment.get_template("page.html").render(
        title=_title(seen),
        seen=seen,
        runs=[_run(seen, position) for position in range(len(runs))],
        changes=_changes(runs),
        places=parts["data"]["places"],
        most_of_gallery=MOST_OF_GALLERY,
        n_pictures=sum(bool(image["picture"]) for image in parts["data"]["images"]),
        n_pool=len(images),
        parts=parts,
        style=(_PARTS / "page.css").read_text(encoding="utf-8"),
        scripts=scripts,
        script_hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
    )


def _sha256(script: str) -> str:
    """Hash of an inline script for the content security policy, which lets no other script run in the page."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _title(seen: Shown) -> str:
    names = {model.name for model in seen.models}
    what = f"{len(names)} model{'s' if len(names) != 1 else ''}" if len(seen.runs) == 1 else f"{len(seen.runs)} runs"
    return f"{what} on {seen.runs[0].where}"


def _run(seen: Shown, position: int) -> dict[str, Any]:
    run = seen.runs[position]
    return {
        "name": seen.run_names[position],
        "answers": [answer[:1].upper() + answer[1:] for answer in run.answers],
        "notes": run.notes,
        "n_notes": len(run.notes),
        "facts": facts(run),
        "sheets": sheets(run),
        "curves": _picture(run.folder / "plots" / "robustness.png"),
    }


def _picture(path: Path) -> str:
    """A PNG in base64; empty where there is none."""
    return base64.b64encode(path.read_bytes()).decode() if path.is_file() else ""


def _changes(runs: Sequence[Results]) -> list[dict[str, Any]]:
    """What changed from the first run to each of the others, or why they cannot be compared."""
    changes: list[dict[str, Any]] = []
    for other in runs[1:]:
        try:
            compared = compare(runs[0], other)
        except UserError as error:
            changes.append({"rows": [], "not_compared": [str(error)]})
            continue
        changes.append({"rows": compared.changes.to_dict("records"), "not_compared": list(compared.not_compared)})
    return changes
