"""Any labelled image files: a folder in the ImageFolder layout (`train/<class>/*.jpg`, `val/<class>/*.jpg`, `test/<class>/*.png`),
class folders alone, a table of files and labels, or images packed into tar, Parquet or Arrow files (`data.stream.packed`).

`ImageFolder` documents how images of differing sizes become one array, `data.scan` what is read and what is skipped.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.console import readable
from core.decimals import whole_number
from core.errors import UserError, few
from core.files import real_path
from core.records import Int32Array, Int64Array, Split, UInt8Array, in_parts
from data.reading import ImageSize, Reading
from data.scan import Classes, all_readable, scan
from data.sets.common_size import cap_note, common_size, cut_note
from data.sets.labelled import TABLES, metadata_files, read_tables
from data.stream.packed import is_packed_file, open_packed
from data.stream.parts import Part, Parts, Place

if TYPE_CHECKING:
    from data.decode import DamagedImage

_NAMED_DAMAGE = 10  # damaged files that an error names; `data show --skip-damaged` lists them all
# Up to this much a whole split may be read though fewer images are needed: about a second of decoding on one core.
_QUICK_FILES, _QUICK_BYTES = 3000, 30e6


class ImageFolder:
    """The images under a folder's `train/`, `val/` (or `valid/`, `validation/`) and `test/`; some of them may be absent.

    If all images of all splits share one size, that is the resolution of the data set and no pixel is changed.
    Otherwise every image is fitted to S×S as `reading.resize` says (`data.decode.fit`): by default resized, aspect kept, so
    that its shorter side is S, then centre-cropped. S is the median shorter side over all splits (for pad: the longer
    side), at most `reading.max_side`. The sizes come from the files' headers, so the resolution does not depend on which
    split is read. `image_size` (height, width) overrides it.

    class_names: a model's classes in the order of its labels, of which the folder may have only some; else the
    folder's own names, sorted. Images become RGB, with EXIF orientation applied; transparency is dropped, as
    in torchvision. Files are sorted within their class, packed images in the order of their files.
    """

    def __init__(
        self,
        root: Path,
        image_size: ImageSize | None = None,
        class_names: Sequence[str] | None = None,
        reading: Reading | None = None,
    ) -> None:
        if image_size is not None and min(image_size) < 1:
            raise UserError(f"image height and width must be 1 or more, not {image_size[0]} and {image_size[1]}")
        self._root = root.parent if root.is_file() else root
        self._image_size, self._reading = image_size, reading or Reading()
        least_classes = 2 if class_names is None else 1
        packed = open_packed(root, least_classes) if root.is_dir() or is_packed_file(root) else None
        if packed is None:
            files, notes = _files_of(root, least_classes)
            self._own_names = tuple(next(iter(files.values())))
            codes: dict[Split, Int64Array] = {}
        else:
            files, notes, self._own_names, codes = {}, packed.notes, packed.names, packed.labels
            if class_names is not None and set(self._own_names) - set(class_names):
                self._own_names = _by_number(self._own_names, class_names)
        self._scan_notes = notes
        self.class_names = self._own_names if class_names is None else self._matched(tuple(class_names))
        place_of = {name: place for place, name in enumerate(self.class_names)}
        into = np.array([place_of[name] for name in self._own_names], np.int64)
        self._places: dict[Split, Sequence[Place]] = dict(packed.parts) if packed else {}
        self._of_code: dict[Split, Int64Array] = {split: into[own] for split, own in codes.items()}
        self._labels: dict[Split, Int64Array] = {}
        for split, classes in files.items():
            self._places[split] = [path for name in self.class_names for path in classes.get(name, ())]
            counts = [len(classes.get(name, ())) for name in self.class_names]
            self._labels[split] = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
        self._sizes: dict[Split, Counter[ImageSize]] = {}
        self._damaged: dict[Place, DamagedImage] = {}
        self._whole_identity: dict[Split, str] = {}  # identity, with damaged files, of the splits from which they were left out

    @property
    def available(self) -> tuple[Split, ...]:
        """The splits that have a folder."""
        return tuple(self._places)

    def can_choose(self, split: Split) -> bool:
        """Whether `labels` are known before any image is read: not if some of the files may turn out to be damaged."""
        return not self._reading.skip_damaged or split in self._whole_identity

    def find_damaged(self, split: Split, n_processes: int | None = None) -> dict[int, str]:
        """Index and reason of each file of a split that cannot be decoded; decodes them all in `n_processes`."""
        from data.stream.decoding import damage_among

        return damage_among(self._places[split], self.image_size, self._reading.resize, n_processes)

    def leave_out(self, split: Split, damaged: Mapping[int, str]) -> None:
        """Remove the files that `find_damaged` found from a split; the others keep their order.

        Its `identity` stays that of all files. UserError if nothing is left.
        """
        from data.decode import DamagedImage

        places, indices = self._places[split], np.array(sorted(damaged), np.int64)
        if len(indices) == len(places):
            raise self._nothing_left(split, len(places))
        self._whole_identity[split] = self.identity(split)
        for index in indices:
            self._damaged[places[index]] = DamagedImage(places[index], damaged[int(index)], str(places[index]))
        if isinstance(places, Parts):
            self._places[split] = places.without(indices)
        else:
            left_out = set(indices.tolist())
            self._places[split] = [place for index, place in enumerate(places) if index not in left_out]
            self._labels[split] = np.delete(self._labels[split], indices)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on what was read so far, and what was not."""
        sizes = self._every_size()
        shrunk = cap_note(sizes, self._reading) if self._image_size is None else []
        cut = cut_note(sizes, self.image_size, self._reading.resize) if sizes else []
        return (*self._scan_notes, *self._matching_note(), *self._damage_note(), *shrunk, *cut)

    @property
    def damaged(self) -> tuple[tuple[Place, str], ...]:
        """Files that were skipped so far, and why."""
        return tuple((path, self._damaged[path].reason) for path in sorted(self._damaged))

    @cached_property
    def image_size(self) -> ImageSize:
        """Height and width of every image of all splits."""
        from data.decode import DamagedImage, read_sizes

        if self._image_size is not None:
            return self._image_size
        for split, paths in self._places.items():
            self._sizes[split] = Counter()
            for path, size in zip(paths, read_sizes(paths), strict=True):
                if not isinstance(size, DamagedImage):
                    self._sizes[split][size] += 1
                elif self._reading.skip_damaged:
                    self._damaged[path] = size
                else:
                    raise self._all_damage()
        sizes = self._every_size()
        if not sizes:
            raise UserError(f"none of the {self._n_images()} images in {self._root} can be decoded; replace them")
        return common_size(sizes, self._reading)

    def labels(self, split: Split) -> Int64Array:
        """Label of each file of a split, (n_files,), without reading any."""
        places = self._places[split]
        return places.labels(self._of_code[split]) if isinstance(places, Parts) else self._labels[split]

    def names(self, split: Split) -> list[str]:
        """Each file of a split as a path below the folder, in the order of `labels`, as every file and terminal can hold it."""
        return all_readable([self._name(path) for path in self._places[split]])

    def is_quick(self, split: Split) -> bool:
        """Whether a whole split is decoded in about a second, estimated from the number and size of its files."""
        places = self._places[split]
        if len(places) > _QUICK_FILES:
            return False
        return sum(place.stat().st_size if isinstance(place, Path) else len(place.read()) for place in places) <= _QUICK_BYTES

    def read(self, split: Split, chosen: Int64Array | None = None) -> tuple[UInt8Array, Int64Array, Int64Array, Int32Array]:
        """Images, uint8 RGB (n_images, height, width, 3), labels, (n_images,), indices of their files, (n_images,), and the
        original height and width of each, (n_images, 2).

        chosen: ascending indices of the files to read; all if None. UserError naming the damaged files, unless they are skipped.
        """
        from data.decode import DamagedImage
        from data.stream.decoding import decode_all

        places = self._chosen(split, chosen)
        try:
            found = decode_all(places, self.image_size, self._reading.resize, skip_damaged=self._reading.skip_damaged)
        except DamagedImage as damage:
            raise self._all_damage() from damage
        if self._image_size is not None:  # else the sizes are known from the headers
            heights_and_widths, counts = np.unique(found.sizes, axis=0, return_counts=True)
            self._sizes[split] = Counter({(int(h), int(w)): int(n) for (h, w), n in zip(heights_and_widths, counts, strict=True)})
        self._damaged |= {damage.path: damage for damage in found.damaged}
        if not len(found.read):
            raise self._nothing_left(split, len(places))
        files = found.read if chosen is None else chosen[found.read].astype(np.int64)
        return found.images_u8, self.labels(split)[files], files, found.sizes

    def stream(
        self,
        split: Split,
        chosen: Int64Array | range,
        at_once: int,
        n_processes: int | None = None,
        sizes: Int32Array | None = None,
    ) -> Generator[UInt8Array]:
        """The images of the files `chosen`, in that order, `at_once` per part, decoded a little ahead of their use.

        sizes: filled, as images are read, with the original height and width of each, (n_images, 2).
        UserError for the first damaged image: skipping it here would shift the batches that follow; call `leave_out` before.
        """
        from data.stream.decoding import decoded

        places = self._chosen(split, chosen)
        with closing(decoded(places, self.image_size, self._reading.resize, n_processes, at_once)) as parts:
            for number, part in enumerate(parts):
                if part.damaged:
                    listed = f"python -m data show {self._root} --skip-damaged lists every such file"
                    raise UserError(f"{part.damaged[0]}, or pass --skip-damaged; {listed}")
                if sizes is not None:
                    sizes[number * at_once :][: len(part.sizes)] = part.sizes
                yield part.images_u8

    def identity(self, split: Split) -> str:
        """SHA-256 that identifies a split without decoding: of file names and sizes, labels, class names, image size and resize."""
        if split in self._whole_identity:
            return self._whole_identity[split]
        digest = hashlib.sha256(repr((self.class_names, self.image_size, self._reading.resize)).encode())
        for labels in in_parts(self.labels(split)):
            digest.update(labels.tobytes())
        places = self._places[split]
        if isinstance(places, Parts):
            for container in places.containers:
                digest.update(f"{container.name} {container.stat().st_size}\n".encode("utf-8", "surrogateescape"))
            return digest.hexdigest()
        for place in places:
            assert isinstance(place, Path)
            digest.update(f"{self._name(place)} {place.stat().st_size}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _chosen(self, split: Split, chosen: Int64Array | range | None) -> Sequence[Place]:
        places = self._places[split]
        if chosen is None:
            return places
        if isinstance(places, Parts):
            return places.of(chosen)
        return [places[index] for index in chosen]

    def _name(self, place: Place) -> str:
        path, inside = (place.container, f"/{place.name}") if isinstance(place, Part) else (place, "")
        return (path.relative_to(self._root) if path.is_relative_to(self._root) else path).as_posix() + inside

    def _n_images(self) -> int:
        return sum(map(len, self._places.values()))

    def _every_size(self) -> Counter[ImageSize]:
        return sum(self._sizes.values(), Counter())

    def _matched(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """`wanted`, if every class of the folder is among them."""
        unknown = [name for name in self._own_names if name not in set(wanted)]
        if unknown:
            raise UserError(
                f"{self._root} has classes that the model does not know: {few(unknown)} (it knows {few(wanted)}, "
                f"{len(wanted)} in all); pass the data set that it was trained for with --data, or "
                "rename these folders or move them away"
            )
        return wanted

    def _matching_note(self) -> list[str]:
        if self.class_names == self._own_names:
            return []
        others = len(self.class_names) - len(self._own_names)
        if not others:
            return ["labels are matched by name: the model has the classes in another order than the folder"]
        return [
            f"{self._root.name or self._root} has {len(self._own_names)} of the model's {len(self.class_names)} classes; labels "
            f"are matched by name, and predictions of the other {others} count as mistakes"
        ]

    def _nothing_left(self, split: Split, n_images: int) -> UserError:
        return UserError(f"none of the {n_images} {split} images in {self._root} can be decoded; replace them")

    def _all_damage(self) -> UserError:
        """The error that names every damaged file of every split, so that all can be repaired at once."""
        from data.decode import find_damaged

        damaged = [damage for places in self._places.values() for damage in find_damaged(places)]
        if len(damaged) == 1:
            return UserError(f"{damaged[0]}, or pass --skip-damaged")
        named = ", ".join(f"{damage.path} ({damage.reason})" for damage in damaged[:_NAMED_DAMAGE])
        more = f" and {len(damaged) - _NAMED_DAMAGE} more" if len(damaged) > _NAMED_DAMAGE else ""
        return UserError(
            f"{len(damaged)} of {self._n_images():,} images cannot be decoded: {named}{more}; replace or remove them, or pass "
            "--skip-damaged (python -m data show with it lists them in damaged.csv)"
        )

    def _damage_note(self) -> list[str]:
        if not self._damaged:
            return []
        named = few([readable(self._name(path)) for path in sorted(self._damaged)], 3)
        return [f"{len(self._damaged)} damaged images left out (--skip-damaged): {named}"]


def _files_of(source: Path, least_classes: int) -> tuple[dict[Split, Classes], list[str]]:
    """Files by split and class, and notes: of a table of labels, of a folder that holds such tables, or of class folders."""
    tables = [source] if source.is_file() else metadata_files(source)
    return read_tables(tables) if tables else scan(source, least_classes)


def _by_number(own: Sequence[str], class_names: Sequence[str]) -> tuple[str, ...]:
    """The model's class names for labels that are all indices, as in most packed files; else `own`."""
    indices = [index for name in own if (index := whole_number(name)) is not None and index < len(class_names)]
    return tuple(class_names[index] for index in indices) if len(indices) == len(own) else tuple(own)


def slug(folder: Path, reserved: Collection[str] = ()) -> str:
    """The base name of a folder, or of a table without its extension: lower-case letters, digits, '_', '-'; never in `reserved`."""
    path = real_path(folder)
    base = path.stem if (path.suffix.lower() in TABLES or is_packed_file(path)) and path.is_file() else path.name
    name = re.sub(r"[^a-z0-9_-]+", "-", base.lower()).strip("-") or "folder"
    return f"{name}-folder" if name in reserved else name
