"""Tar files in webdataset's layout: `KEY.jpg` beside `KEY.cls`, or `KEY.json` with a label. Nothing is ever unpacked to disk."""

from __future__ import annotations

import mmap
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from core.console import progress
from core.errors import UserError, one_line
from core.files import parse_json
from data.scan import EXTENSIONS
from data.sets.labelled import LABEL_COLUMNS
from data.stream.parts import RECORD
from data.stream.tables import Indexed

_MOST_LABEL_BYTES = 2**20
_LABELS = (".cls", ".json")
_BLOCK = 512
_KINDS: dict[bytes, Literal["file", "folder"]] = {b"0": "file", b"\0": "file", b"5": "folder"}


def index_tars(paths: Sequence[Path]) -> Indexed:
    """Position and label of every image of some tar files, in their order; UserError for a damaged file or a missing label."""
    indexed = Indexed()
    skipped: Counter[str] = Counter()
    with progress() as display:
        for number, path in enumerate(display.track(paths, description="reading tar files")):
            indexed.add(*_index(path, number, skipped))
    if skipped:
        counts = ", ".join(f"{count:,} {what}" for what, count in skipped.most_common())
        indexed.notes.append(f"members of tar files skipped: {counts}")
    return indexed


class Member(NamedTuple):
    """A member of a tar file. header, start: offsets of its header and its bytes; kind: None for links, devices and the like."""

    name: str
    kind: Literal["file", "folder"] | None
    header: int
    start: int
    size: int


def _index(path: Path, number: int, skipped: Counter[str]) -> tuple[np.ndarray, list[str]]:
    images: dict[str, tuple[int, int, int, int, int]] = {}
    labels: dict[str, str] = {}
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for member in members(path, data):
                key, ending = _split_name(member.name)
                if member.kind != "file":
                    skipped["links or devices"] += member.kind is None
                elif ending in EXTENSIONS:
                    if key in images:
                        raise UserError(f"{path} has two images called {key!r}; give each sample a key of its own")
                    images[key] = (number, member.header, member.start, member.size, 0)
                elif ending in _LABELS:
                    label = _label(path, member, data[member.start : member.start + min(member.size, _MOST_LABEL_BYTES)])
                    if label is not None and labels.setdefault(key, label) != label:
                        raise UserError(
                            f"{path} gives {key!r} two labels, {labels[key]!r} and {label!r}; keep one of .cls and .json"
                        )
                else:
                    skipped[ending or "without ending"] += 1
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} is not a valid tar file ({one_line(error, 120)}); copy it again, uncompressed") from error
    without = [key for key in images if key not in labels]
    if without:
        raise UserError(
            f"{path} has {len(without):,} of {len(images):,} images without a label, the first is {without[0]!r}; it needs a .cls, "
            f"or a .json with one of {', '.join(LABEL_COLUMNS)}, of the same key"
        )
    return np.array(list(images.values()), RECORD), [labels[key] for key in images]


def members(path: Path, data: mmap.mmap) -> list[Member]:
    """Every member of the tar file with the bytes `data`.

    Plain headers, which most files consist of, are read here: tarfile takes six times as long, a minute per million images.
    """
    found: list[Member] = []
    at = 0
    while at < len(data) and data[at]:
        header = data[at : at + _BLOCK]
        kind = _KINDS.get(header[156:157])
        if kind is None or len(header) < _BLOCK or header[124] >= 128:  # links, long names, sizes in binary, damage
            return _by_tarfile(path)
        if int(header[148:154], 8) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            raise ValueError(f"the header at byte {at} is damaged")
        name = header[: header.index(0, 0, 101)] if 0 in header[:100] else header[:100]
        if header[257:263] == b"ustar\0" and header[345]:
            name = header[345:500].partition(b"\0")[0] + b"/" + name
        size = int(header[124:136].strip(b" \0") or b"0", 8)
        found.append(Member(name.decode("utf-8", "surrogateescape"), kind, at, at + _BLOCK, size))
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    if found and found[-1].start + found[-1].size > len(data):
        raise EOFError("unexpected end of data")
    return found or _by_tarfile(path)


def _by_tarfile(path: Path) -> list[Member]:
    with tarfile.open(path, "r:") as archive:
        return [
            Member(one.name, "file" if one.isreg() else "folder" if one.isdir() else None, one.offset, one.offset_data, one.size)
            for one in archive
        ]


def _split_name(name: str) -> tuple[str, str]:
    """Key and extension of a member as webdataset splits them: the key ends at the first dot of the base name."""
    folder, slash, last = name.rpartition("/")
    stem, _, rest = last.partition(".")
    return folder + slash + stem, f".{rest.rpartition('.')[2].lower()}" if rest else ""


def _label(path: Path, member: Member, data: bytes) -> str | None:
    """The label that a member states; None for JSON that states none."""
    name = member.name
    if member.size > _MOST_LABEL_BYTES:
        raise UserError(f"{path}: the label {name!r} takes {member.size:,} bytes; a label is a word or a number")
    try:
        text = data.decode().strip()
        if name.lower().endswith(".cls"):
            found: object = text
        else:
            value = parse_json(text)
            found = next((value[column] for column in (*LABEL_COLUMNS, "cls") if column in value), None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: the label {name!r} cannot be read ({one_line(error, 80)}); write it as text or JSON") from error
    if found == "" or isinstance(found, list | dict | bool | float):
        raise UserError(f"{path}: {name!r} holds no label but {found!r}; a label is a word or a whole number")
    return None if found is None else str(found)
