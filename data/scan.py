"""What lies in a folder of images: files by split and class, and a note for whatever is not read."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.console import readable
from core.errors import UserError, few
from core.files import real_path
from core.records import SPLITS, Split

# Each split's folder; the first name is the one that messages use.
SPLIT_FOLDERS: dict[Split, tuple[str, ...]] = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
# Folder names that are unlikely to be classes, if a data set has no folder of the right name.
_MISSPELT = frozenset("train training trainset val valid validation dev eval test testing testset images labels".split())
EXTENSIONS = frozenset(".avif .bmp .gif .jfif .jpe .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split())
# Files that systems and people put beside images: nobody mistakes these for images, so no note counts them.
_SIDE_EXTENSIONS = frozenset(".txt .md .csv .tsv .json .xml .yaml .yml .html .log .ini .db .py .pdf".split())
_SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"))

Classes = dict[str, list[Path]]


@dataclass
class Passed:
    """Counts of skipped files: by extension, dead links, and what is not a regular file."""

    endings: Counter[str] = field(default_factory=Counter)
    dead_links: int = 0
    irregular: int = 0

    def notes(self) -> list[str]:
        """One line per kind that occurred."""
        notes = []
        if self.endings:
            counts = few([f"{count} {ending}" for ending, count in self.endings.most_common()], 8)
            heif = "; .heic and .heif must be converted first" if {".heic", ".heif"} & set(self.endings) else ""
            total = self.endings.total()
            notes.append(f"{_files(total)} skipped, extension not supported: {counts}{heif}")
        if self.dead_links:
            notes.append(f"{_files(self.dead_links)} skipped: symbolic links that lead nowhere")
        if self.irregular:
            notes.append(f"{_files(self.irregular)} skipped: pipes, sockets or devices, not regular files")
        return notes


def scan(root: Path, least_classes: int = 2) -> tuple[dict[Split, Classes], list[str]]:
    """Image files by split and class, sorted, and notes on what is not read.

    The classes are those of train/ if there is one; the other splits may lack some of them, but have no others. A folder
    of class folders without train/ and test/ is a test split. Raises UserError for any other layout.
    """
    folders = _split_folders(root)
    if not folders:
        return _scan_flat(root, least_classes)
    passed = Passed()
    files = {split: _scan_split(folder, passed) for split, folder in folders.items()}
    if "train" in files:
        empty = [name for name, paths in files["train"].items() if not paths]
        if empty:
            raise UserError(
                f"{root}/train/{empty[0]} holds no images ({' '.join(sorted(EXTENSIONS))}); add some or move the folder away"
                + (f" (so do {few(empty[1:])})" if empty[1:] else "")
            )
    names = list(files["train"]) if "train" in files else _names_with_images(list(files.values()))
    if len(names) < least_classes:
        where = "/ and ".join(folder.name for folder in folders.values())
        raise UserError(f"{root}/{where} holds {len(names)} class folders ({few(names)}); a classifier needs two or more")
    notes = passed.notes() + _unread_folders(root)
    complete: dict[Split, Classes] = {}
    for split, classes in files.items():
        unknown = [name for name, paths in classes.items() if paths and name not in names]
        if unknown:
            lacking = [name for name in names if not classes.get(name)]
            differences = f"train/ lacks {few(unknown)}" + f"; {folders[split].name}/ lacks {few(lacking)}" * bool(lacking)
            raise UserError(
                f"the classes of train/ and {folders[split].name}/ in {root} differ: {differences}; rename the folders that "
                "train/ lacks, move them away, or add training images"
            )
        complete[split] = {name: classes.get(name, []) for name in names}
        absent = [name for name in names if not complete[split][name]]
        if len(absent) == len(names):
            raise UserError(f"{folders[split]} holds no images ({' '.join(sorted(EXTENSIONS))}); add some or move the folder away")
        if absent:
            which = f"{few(absent)} ({len(absent)} of {len(names)} classes)"
            notes.append(f"{folders[split].name}/ has no images of {which}: no recall for them")
    return complete, notes


def visible(folder: Path) -> list[Path]:
    """Entries that are neither hidden nor made by the operating system, sorted."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name not in _SYSTEM_FOLDERS)


def _split_folders(root: Path) -> dict[Split, Path]:
    folders: dict[Split, Path] = {}
    for split in SPLITS:
        present = [root / name for name in SPLIT_FOLDERS[split] if (root / name).is_dir()]
        if len(present) > 1:
            both = " and ".join(f"{folder.name}/" for folder in present)
            raise UserError(f"{root} holds {both}, and only one can be the validation split; merge them or move one away")
        if present:
            folders[split] = present[0]
    return folders


def _scan_flat(root: Path, least_classes: int) -> tuple[dict[Split, Classes], list[str]]:
    """A folder of class folders as the test split, unless it looks like another layout."""
    passed = Passed()
    entries = visible(root)
    inside = [entry for entry in entries if entry.is_dir()]
    misspelt = [entry.name for entry in inside if entry.name.lower() in _MISSPELT]
    nested = [entry.name for entry in inside if any((entry / name).is_dir() for names in SPLIT_FOLDERS.values() for name in names)]
    if nested and not misspelt:
        raise UserError(f"{root} holds neither train/ nor test/, but {root / nested[0]} does; pass that folder")
    classes = {} if misspelt else {entry.name: _images_under(entry, passed) for entry in inside}
    named = {name: paths for name, paths in classes.items() if paths}
    if len(named) < least_classes or any(entry.is_file() and is_image(entry) for entry in entries):
        found_names = ", ".join([entry.name + "/" * entry.is_dir() for entry in entries][:8]) or "nothing"
        rename = f"; rename {misspelt[0]}/ if it is one of them" if misspelt else ""
        raise UserError(
            f"{root} holds neither train/ nor test/ (found: {found_names}); arrange the images as train/<class>/ and "
            f"test/<class>/, or, only to benchmark, as <class>/{rename}"
        )
    _check_printable(root, named)
    empty = [f"{name}/" for name in classes if name not in named]
    without = [f"no images in {few(empty)}: not taken for classes"] if empty else []
    n_images = sum(map(len, named.values()))
    note = f"{root} has no train/ and no test/: its {len(named)} class folders ({n_images:,} images) are taken as the test split"
    return {"test": named}, [note, *without, *passed.notes()]


def _unread_folders(root: Path) -> list[str]:
    read = {name for names in SPLIT_FOLDERS.values() for name in names}
    others = [f"{entry.name}/" for entry in visible(root) if entry.is_dir() and entry.name not in read]
    return [f"not read: {few(others)}; only train/, val/ (or valid/, validation/) and test/ are"] if others else []


def _scan_split(folder: Path, passed: Passed) -> Classes:
    entries = visible(folder)
    loose = [entry.name for entry in entries if entry.is_file() and is_image(entry)]
    if loose:
        raise UserError(f"{folder / loose[0]} lies outside any class; move it into {folder}/<class>/")
    for entry in entries:
        if not entry.is_dir():
            _tell(entry, passed)
    classes = {entry.name: _images_under(entry, passed) for entry in entries if entry.is_dir()}
    _check_printable(folder, classes)
    return classes


def _check_printable(folder: Path, classes: Classes) -> None:
    for name in classes:
        if readable(name) != name:
            raise UserError(f"the class folder {str(folder / name)!r} has a name that cannot be printed; rename it")


def _images_under(folder: Path, passed: Passed) -> list[Path]:
    """Every image in `folder` and below, links followed, sorted."""
    paths: list[Path] = []
    seen = {real_path(folder)}
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        files = []
        for name in sorted(folders):
            if name.startswith(".") or name in _SYSTEM_FOLDERS:
                continue
            target = real_path(Path(parent, name))
            if target not in seen:  # a link to a folder that holds it would be walked for ever
                seen.add(target)
                files.append(name)
        folders[:] = files
        for name in names:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if is_image(path) and _is_regular(path):
                paths.append(path)
            else:
                _tell(path, passed)
    return sorted(paths)


def is_image(path: Path) -> bool:
    """Whether a name has the extension of a supported image format."""
    return path.suffix.lower() in EXTENSIONS


def _is_regular(path: Path) -> bool:
    """Whether it is a regular file: reading a pipe would block for ever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _tell(path: Path, passed: Passed) -> None:
    """Count a file that is not read, by its kind."""
    if path.is_symlink() and not path.exists():
        passed.dead_links += 1
    elif not _is_regular(path):
        passed.irregular += 1
    elif path.suffix.lower() not in _SIDE_EXTENSIONS:
        passed.endings[path.suffix.lower() or "without ending"] += 1


def _names_with_images(splits: Sequence[Classes]) -> list[str]:
    return sorted({name for classes in splits for name, paths in classes.items() if paths})


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _raise(error: OSError) -> None:
    raise UserError(f"cannot read {error.filename}: {error.strerror}; make it readable") from error


def all_readable(names: list[str]) -> list[str]:
    """The names of images as `core.console.readable` gives them, so that every table, page and list of images has the same.

    Of names that would be one then, odd bytes and control characters are written as numbers, such as `\\xe9`.
    """
    if all(map(str.isprintable, names)):
        return names
    shown = list(map(readable, names))
    times = Counter(shown)
    return [name if times[name] == 1 else _numbered(own) for own, name in zip(names, shown, strict=True)]


def _numbered(name: str) -> str:
    return "".join(sign if readable(sign) == sign else f"\\x{ord(sign) & 0xFF:02x}" for sign in name)
