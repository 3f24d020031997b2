"""Tar files in webdataset's layout: `KEY.jpg` beside `KEY.cls`, or `KEY.json` with a label. Nothing is ever unpacked to disk."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from core.console import progress
from core.errors import UserError, one_line
from data.scan import EXTENSIONS
from data.sets.labelled import LABEL_COLUMNS
from data.stream.parts import RECORD
from data.stream.tables import Indexed

_MOST_LABEL_BYTES = 2**20
_LABELS = (".cls", ".json")


def index_tars(paths: Sequence[Path]) -> Indexed:
    """Where every image of some tar files lies, in their order, and its label; UserError for a broken file or no label."""
    indexed = Indexed()
    skipped: Counter[str] = Counter()
    with progress() as display:
        for number, path in enumerate(display.track(paths, description="reading tar files")):
            indexed.add(*_index(path, number, skipped))
    if skipped:
        counts = ", ".join(f"{count:,} {what}" for what, count in skipped.most_common())
        indexed.notes.append(f"members of tar files passed over: {counts}")
    return indexed


def _index(path: Path, number: int, skipped: Counter[str]) -> tuple[np.ndarray, list[str]]:
    images: dict[str, tuple[int, int, int, int]] = {}
    labels: dict[str, str] = {}
    for archive, member in _members(path):
        key, ending = _split_name(member.name)
        if not member.isreg():
            skipped["links or devices"] += not member.isdir()
        elif ending in EXTENSIONS:
            if key in images:
                raise UserError(f"{path} has two images called {key!r}; give each sample a key of its own")
            images[key] = (number, member.offset, member.offset_data, member.size)
        elif ending in _LABELS:
            label = _label(path, archive, member, ending)
            if label is not None and labels.setdefault(key, label) != label:
                raise UserError(f"{path} gives {key!r} two labels, {labels[key]!r} and {label!r}; keep one of .cls and .json")
        else:
            skipped[ending or "without ending"] += 1
    without = [key for key in images if key not in labels]
    if without:
        raise UserError(
            f"{path} has {len(without):,} of {len(images):,} images without a label, the first is {without[0]!r}; it needs a .cls, "
            f"or a .json with one of {', '.join(LABEL_COLUMNS)}, of the same key"
        )
    return np.array(list(images.values()), RECORD), [labels[key] for key in images]


def _members(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Every member of a tar file; the archive keeps none of them, else memory would grow with their number."""
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                yield archive, member
                archive.members.clear()  # type: ignore[attr-defined]
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} is not a valid tar file ({one_line(error, 120)}); copy it again, uncompressed") from error


def _split_name(name: str) -> tuple[str, str]:
    """Key and ending of a member as webdataset parts them, at the first dot of its last name."""
    path = PurePosixPath(name)
    stem, _, _ = path.name.partition(".")
    return (path.parent / stem).as_posix(), path.suffix.lower()


def _label(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> str | None:
    """The label that a member states; None for JSON that states none."""
    name = member.name
    if member.size > _MOST_LABEL_BYTES:
        raise UserError(f"{path}: the label {name!r} takes {member.size:,} bytes; a label is a word or a number")
    file = archive.extractfile(member)
    data = file.read() if file else b""
    try:
        text = data.decode().strip()
        if ending == ".cls":
            found: object = text
        else:
            value = json.loads(text)
            found = next((value[column] for column in (*LABEL_COLUMNS, "cls") if column in value), None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: the label {name!r} cannot be read ({one_line(error, 80)}); write it as text or JSON") from error
    if found == "" or isinstance(found, list | dict | bool | float):
        raise UserError(f"{path}: {name!r} holds no label but {found!r}; a label is a word or a whole number")
    return None if found is None else str(found)
