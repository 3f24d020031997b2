"""The values that flow between packages; their field names are the vocabulary of the whole project."""

from __future__ import annotations

import hashlib
import json
import mmap
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from core.errors import UserError
from core.files import told_if_temporary_full

_CHUNK_IMAGES = 1024  # bounds the copy made of an array that is not contiguous, or that lies in a file
_CHUNK_CHOSEN = 64  # scattered images in a file: with each, the system maps up to half a megabyte around it
IN_MEMORY_BYTES = 2**28  # an array that is larger lies in a temporary file
PART = 2**13  # rows of a long array that are processed together: no more of one on disk is ever in memory
IN_MEMORY_LABELS_BYTES = 2**20  # so do more than 131,072 labels where nothing else grows with their number

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

UInt8Array = NDArray[np.uint8]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one split, all of one size.

    images_u8: uint8 RGB, (n_images, height, width, 3); labels: int64 class indices, (n_images,);
    sha256: fingerprint of exactly these pixels, labels and class names (`fingerprint`); files: each image's file below the
    data set's folder, or official split and index (`test/12`), empty if not needed (see `image_names`).
    original_sizes: int32 height and width that each image had before it was fitted to this one size, (n_images, 2); None if
    none was resized.
    """

    images_u8: UInt8Array
    labels: Int64Array
    class_names: tuple[str, ...]
    name: str
    split: Split
    sha256: str
    files: tuple[str, ...] = ()
    original_sizes: Int32Array | None = None

    def __post_init__(self) -> None:
        images_u8, labels = self.images_u8, self.labels
        if images_u8.dtype != np.uint8 or images_u8.ndim != 4 or images_u8.shape[3] != 3:
            raise ValueError(f"images_u8 must be uint8 (n_images, height, width, 3), not {images_u8.dtype} {images_u8.shape}")
        if labels.dtype != np.int64 or labels.shape != images_u8.shape[:1]:
            raise ValueError(f"labels must be int64 ({len(images_u8)},), not {labels.dtype} {labels.shape}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise ValueError(f"labels must lie in [0, {len(self.class_names)}), not {labels.min()} to {labels.max()}")
        if self.files and len(self.files) != len(labels):
            raise ValueError(f"files must name {len(labels)} images, not {len(self.files)}")
        if self.original_sizes is not None and self.original_sizes.shape != (len(labels), 2):
            raise ValueError(f"original_sizes must be ({len(labels)}, 2), not {self.original_sizes.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int64Array) -> ImageSet:
        """The images at `indices`, in that order, as a set with a fingerprint of its own."""
        images_u8, labels = taken(self.images_u8, indices), self.labels[indices]
        names, sha256 = self.image_names, fingerprint(images_u8, labels, self.class_names)
        sizes = None if self.original_sizes is None else self.original_sizes[indices]
        files = tuple([names[index] for index in indices])
        return replace(self, images_u8=images_u8, labels=labels, sha256=sha256, files=files, original_sizes=sizes)

    @property
    def image_names(self) -> tuple[str, ...]:
        """A name for each image: of its file below the data set's folder, else official split and index; else its index here."""
        return self.files or tuple(map(str, range(len(self))))

    @property
    def image_height(self) -> int:
        """Rows of every image."""
        return int(self.images_u8.shape[1])

    @property
    def image_width(self) -> int:
        """Columns of every image."""
        return int(self.images_u8.shape[2])

    @property
    def n_classes(self) -> int:
        """Number of classes, present in this split or not."""
        return len(self.class_names)


@dataclass(frozen=True)
class Trained:
    """What a model was trained on, as far as images must match it.

    model: its name; dataset: name of the data set, for a folder the name it was given; dataset_sha256: fingerprint of each
    official split by name; image_height, image_width: of the raw images; split_seed: of the validation images where they
    were taken out of the train split; resize: how a folder's images of other sizes become these (`data.reading`).
    """

    model: str
    dataset: str
    class_names: tuple[str, ...]
    dataset_sha256: dict[str, str]
    image_height: int
    image_width: int
    split_seed: int
    resize: str


@dataclass(frozen=True)
class Predictions:
    """One model's output for every image of a split: float32 logits, (n_images, n_classes), in the split's order."""

    model: str
    split: Split
    dataset_sha256: str
    logits: Float32Array

    def __post_init__(self) -> None:
        if self.logits.dtype != np.float32 or self.logits.ndim != 2:
            raise ValueError(f"logits must be float32 (n_images, n_classes), not {self.logits.dtype} {self.logits.shape}")

    def probabilities(self) -> Float64Array:
        """Softmax of the logits, float64 (n_images, n_classes), rows sum to 1."""
        return softmax(self.logits)

    def predicted(self) -> Int64Array:
        """Class index of the largest logit, (n_images,); the lowest index wins a tie."""
        return np.concatenate([part.argmax(axis=1) for part in in_parts(self.logits)]).astype(np.int64)


@dataclass(frozen=True)
class LatencySamples:
    """Every timed call of one configuration in one fresh process, in order, in milliseconds; nothing is clipped.

    instances: processes of the configuration that called at the same time, including this one.
    """

    model: str
    provider: str
    batch_size: int
    threads: int
    transfer: Literal["host-to-host", "device-only"]
    round: int
    process: int
    session_load_ms: float
    first_run_ms: float
    warmup_ms: Float64Array
    samples_ms: Float64Array
    peak_memory_mb: float = float("nan")  # above that of the process before it opened anything
    energy_j: float = float("nan")  # of the processor packages, during the timed calls
    instances: int = 1


def softmax(logits: NDArray[np.floating]) -> Float64Array:
    """exp(logits) / sum of exp(logits) along the last axis, in float64, shifted by the maximum so that nothing overflows."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), dtype=np.float64)


class OnDisk(np.memmap[Any, np.dtype[Any]]):
    """An array in a temporary file that is deleted with it. Indexing copies, so that nothing else stays in memory."""

    def __getitem__(self, index: Any) -> Any:
        """A copy of what numpy gives; its pages are released, but stay in the system's cache while there is room."""
        copied = np.array(super().__getitem__(index))
        self.release()
        return copied if copied.ndim else copied[()]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.view(np.ndarray)[index] = value  # numpy itself would assign to the copy that `__getitem__` gives
        self.release()

    def first(self, n: int) -> OnDisk:
        """The first `n` rows, not copied."""
        return cast(OnDisk, super().__getitem__(slice(n)))

    def release(self) -> None:
        """Release the pages in memory; the file keeps their content."""
        mapped = getattr(self, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def new_array(
    shape: tuple[int, ...], dtype: DTypeLike = np.uint8, *, sparse: bool = False, in_memory_bytes: int | None = None
) -> NDArray[Any]:
    """An array to fill: in memory, or `OnDisk` if it is larger than `in_memory_bytes`, `IN_MEMORY_BYTES` if not given.

    sparse: little of it will be filled, so free space is not checked. UserError if the disk has too little space.
    """
    n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if n_bytes <= (IN_MEMORY_BYTES if in_memory_bytes is None else in_memory_bytes):
        return np.zeros(shape, dtype)
    folder = tempfile.gettempdir()
    free_bytes = shutil.disk_usage(folder).free
    if n_bytes > free_bytes and not sparse:
        raise UserError(
            f"{shape[0]:,} images take {n_bytes / 2**30:.1f} GiB when decoded, and {folder} has {free_bytes / 2**30:.1f} GiB free; "
            "set TMPDIR to a folder with more, or use python -m benchmark predict, which keeps none"
        )
    # The file has no name: it is gone with the last reference to the array.
    with told_if_temporary_full(), tempfile.TemporaryFile() as file:
        return OnDisk(file, dtype, "w+", shape=shape)


def in_parts(array: NDArray[Any], size: int = PART) -> Iterator[NDArray[Any]]:
    """`array` in parts of `size` along its first axis; one empty part for an empty array."""
    for start in range(0, max(1, len(array)), size):
        yield array[start : start + size]


def shortened(array: NDArray[Any], n: int) -> NDArray[Any]:
    """The first `n` rows of an array, not copied."""
    return array.first(n) if isinstance(array, OnDisk) else array[:n]


def taken(images_u8: UInt8Array, indices: Int64Array) -> UInt8Array:
    """The images at `indices`, in that order; on disk if they are many."""
    if not isinstance(images_u8, OnDisk) and len(indices) * images_u8[:1].nbytes <= IN_MEMORY_BYTES:
        return images_u8[indices]
    chosen = new_array((len(indices), *images_u8.shape[1:]))
    for start in range(0, len(indices), _CHUNK_CHOSEN):
        chosen[start : start + _CHUNK_CHOSEN] = images_u8[indices[start : start + _CHUNK_CHOSEN]]
    return chosen


def fingerprint(images_u8: UInt8Array, labels: Int64Array, class_names: Sequence[str]) -> str:
    """SHA-256, hexadecimal, of an image set: equal exactly for equal shape, pixels, labels and class names in order.

    Hashed are the length of a JSON header in 8 bytes, the header (shape and class names), the pixels in C order, the
    labels as little-endian int64. The header fixes every length that follows it, so no two image sets share an encoding.
    """
    if images_u8.dtype != np.uint8 or len(labels) != len(images_u8):
        raise ValueError(f"needs uint8 images and a label for each, not {images_u8.dtype} {images_u8.shape} and {labels.shape}")
    growing = Fingerprint(images_u8.shape, class_names)
    for images in in_parts(images_u8, _CHUNK_IMAGES):
        growing.update(images)
    return growing.hexdigest(labels)


class Fingerprint:
    """`fingerprint` of images that come one part after another; `shape` is of all of them."""

    def __init__(self, shape: Sequence[int], class_names: Sequence[str]) -> None:
        header = json.dumps({"shape": list(shape), "class_names": list(class_names)}, ensure_ascii=True).encode()
        self._digest = hashlib.sha256(len(header).to_bytes(8, "little") + header)

    def update(self, images_u8: UInt8Array) -> None:
        """The next images."""
        self._digest.update(np.ascontiguousarray(images_u8).data)

    def hexdigest(self, labels: Int64Array) -> str:
        """The fingerprint of all images passed to `update` and their `labels`."""
        digest = self._digest.copy()
        for part in in_parts(labels):
            digest.update(np.ascontiguousarray(part, dtype="<i8").data)
        return digest.hexdigest()
