"""Images packed into large files: finds those of a path, by split, and their labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.console import readable
from core.decimals import in_order
from core.errors import UserError, few, one_line
from core.files import parse_json, read_text
from core.records import SPLITS, Int64Array, Split
from data.scan import SPLIT_FOLDERS, visible
from data.stream.parts import ARROW, PARQUET, TAR, Parts
from data.stream.tables import Indexed, index_arrow, index_parquet
from data.stream.tars import index_tars

ENDINGS = {".tar": TAR, ".parquet": PARQUET}
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_INDEX: dict[str, Callable[[Sequence[Path]], Indexed]] = {TAR: index_tars, PARQUET: index_parquet, ARROW: index_arrow}
_SPLIT_NAMES = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}


@dataclass(frozen=True)
class Packed:
    """Images by split in the order of their files. names: of the classes; labels: the class index for each label code."""

    names: tuple[str, ...]
    parts: dict[Split, Parts]
    labels: dict[Split, Int64Array]
    notes: list[str]


def open_packed(root: Path, least_classes: int = 2) -> Packed | None:
    """The images of tar, Parquet or Arrow files in `root`, a file or a folder; None if it has no such files.

    A file's split is that of its folder (`train/`, `val/`, `test/`) or of its name's prefix (`train-00000.tar`); else test.
    """
    kind, files = _files(root)
    if not files:
        return None
    indexed = {split: _INDEX[kind](paths) for split, paths in files.items()}
    stated = {found.names for found in indexed.values() if found.names is not None}
    if len(stated) > 1:
        raise UserError(f"the files of {root} state different classes for their splits; write them again with the same ones")
    names = stated.pop() if stated else tuple(in_order({text for found in indexed.values() for text in found.texts}))
    if len(names) < least_classes and any(found.texts for found in indexed.values()):
        raise UserError(f"{root} holds images of {len(names)} class ({few(names)}); a classifier needs two or more")
    unprintable = next((name for name in names if readable(name) != name), None)
    if unprintable is not None:
        raise UserError(f"{root}: the class {unprintable!r} has a name that cannot be printed; rename it")
    place_of = {name: place for place, name in enumerate(names)}
    parts: dict[Split, Parts] = {}
    labels: dict[Split, Int64Array] = {}
    for split, found in indexed.items():
        parts[split] = Parts(files[split], kind, found.column, found.finished())
        labels[split] = np.array([place_of[text] for text in found.texts], np.int64)
        if not len(parts[split]):
            raise UserError(f"{few(list(map(str, files[split])))} hold no images; name files that do")
    counts = ", ".join(f"{len(found):,} {split}" for split, found in parts.items())
    note = f"{root} holds {counts} images of {len(names)} classes in {sum(map(len, files.values()))} {kind} files"
    return Packed(names, parts, labels, [note, *(line for found in indexed.values() for line in found.notes)])


def is_packed_file(path: Path) -> bool:
    """Whether a path has the extension of a tar or Parquet file."""
    return path.suffix.lower() in ENDINGS


def _files(root: Path) -> tuple[str, dict[Split, list[Path]]]:
    """The kind of the files, and the files of each split; both empty if there are none."""
    if root.is_file():
        return ENDINGS[root.suffix.lower()], {_split_of(root, root.parent): [root]}
    if (root / "dataset_dict.json").is_file() or (root / "state.json").is_file():
        return ARROW, _saved_to_disk(root)
    folders = [root, *(root / name for name in ("data", *_SPLIT_NAMES) if (root / name).is_dir())]
    entries = [entry for folder in folders for entry in visible(folder) if entry.is_file()]
    found = {ending: [entry for entry in entries if entry.name.lower().endswith(ending)] for ending in ENDINGS}
    present = [ending for ending, paths in found.items() if paths]
    compressed = [entry for entry in entries if entry.name.lower().endswith(_COMPRESSED)]
    if compressed and not present:
        raise UserError(f"{few(list(map(str, compressed)))}: images are read in place, so uncompress the tar files")
    if len(present) > 1:
        raise UserError(f"{root} holds files of both {' and '.join(present)}; keep one kind")
    if not present:
        return "", {}
    by_split: dict[Split, list[Path]] = {}
    for path in found[present[0]]:
        by_split.setdefault(_split_of(path, root), []).append(path)
    return ENDINGS[present[0]], {split: by_split[split] for split in SPLITS if split in by_split}


def _split_of(path: Path, root: Path) -> Split:
    folder = path.parent.name.lower() if path.parent != root else ""
    begins = re.match(rf"({'|'.join(_SPLIT_NAMES)})(?![a-z])", path.name.lower())
    return _SPLIT_NAMES.get(folder) or (_SPLIT_NAMES[begins[1]] if begins else "test")


def _saved_to_disk(root: Path) -> dict[Split, list[Path]]:
    """The Arrow files of a saved `Dataset`, or of each split of a saved `DatasetDict`."""
    if (root / "state.json").is_file():
        found = {_split_in(root): sorted(root.glob("*.arrow"))}
    else:
        found = {_SPLIT_NAMES[e.name.lower()]: sorted(e.glob("*.arrow")) for e in visible(root) if e.name.lower() in _SPLIT_NAMES}
    if not any(found.values()):
        raise UserError(f"{root} was saved by datasets, but holds no .arrow files in {', '.join(_SPLIT_NAMES)}; save it again")
    return {split: found[split] for split in SPLITS if found.get(split)}


def _split_in(root: Path) -> Split:
    """The split that `state.json` names, without a slice of it (`train[:10%]`)."""
    path = root / "state.json"
    try:
        named = str(parse_json(read_text(path)).get("_split") or "")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not valid ({one_line(error, 120)}); save the data set again") from error
    return _SPLIT_NAMES.get(re.split(r"\W", named.lower())[0], "test")
