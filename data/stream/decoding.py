"""Images decoded part by part, in order: a few in threads of this process, many in other processes while the caller works."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from core.console import progress
from core.environment import available_cores
from core.launch.pool import answers
from core.records import Int32Array, Int64Array, UInt8Array, new_array, shortened
from data.decode import DamagedImage, Decoded, decode_here
from data.reading import ImageSize, Resize
from data.stream.parts import Place, as_json

AT_ONCE = 128  # images that a process decodes before it returns them: the batch size of predictions
FEW = 2048  # for fewer, starting a process takes longer than decoding


@dataclass
class Everything:
    """images_u8: uint8 RGB (n_read, height, width, 3), on disk if they are many; sizes: original height and width of each, int32
    (n_read, 2); read: ascending indices of their places, (n_read,); damaged: the other places.
    """

    images_u8: UInt8Array
    read: Int64Array
    sizes: Int32Array
    damaged: list[DamagedImage] = field(default_factory=list)


def decode_all(places: Sequence[Place], size: ImageSize, resize: Resize = "shortest", *, skip_damaged: bool = False) -> Everything:
    """Every image fitted to `size`, in constant memory; raises DamagedImage at the first damaged one, unless they are skipped."""
    n_places = len(places)
    every = Everything(new_array((n_places, *size, 3)), np.empty(n_places, np.int64), np.empty((n_places, 2), np.int32))
    n_read = start = 0
    with progress() as display, closing(decoded(places, size, resize)) as parts:
        task = display.add_task("decoding images", total=n_places)
        for part in parts:
            if part.damaged and not skip_damaged:
                raise part.damaged[0]
            until = n_read + len(part.read)
            every.images_u8[n_read:until] = part.images_u8
            every.read[n_read:until] = start + np.array(part.read, np.int64)
            every.sizes[n_read:until] = np.array(part.sizes, np.int32).reshape(-1, 2)
            every.damaged += part.damaged
            n_read = until
            start += len(part.read) + len(part.damaged)
            display.update(task, completed=start)
    if n_read < n_places:
        every.images_u8, every.read, every.sizes = shortened(every.images_u8, n_read), every.read[:n_read], every.sizes[:n_read]
    return every


def damage_among(
    places: Sequence[Place], size: ImageSize, resize: Resize = "shortest", n_processes: int | None = None
) -> dict[int, str]:
    """Index and reason of each of `places` that cannot be decoded, ascending; decodes them all, in constant memory."""
    found: dict[int, str] = {}
    start = 0
    with progress() as display, closing(decoded(places, size, resize, n_processes)) as parts:
        task = display.add_task("looking for damaged images", total=len(places))
        for part in parts:
            until = start + len(part.read) + len(part.damaged)
            absent = sorted(set(range(start, until)).difference(start + index for index in part.read))
            found |= {index: damage.reason for index, damage in zip(absent, part.damaged, strict=True)}
            start = until
            display.update(task, completed=start)
    return found


def decoded(
    places: Sequence[Place], size: ImageSize, resize: Resize = "shortest", n_processes: int | None = None, at_once: int = AT_ONCE
) -> Generator[Decoded]:
    """Decodes parts of `at_once` places, in order; damaged images are left out and named.

    n_processes: how many decode, if there are many places; by default one per core that this process may use. At most a few
    parts are decoded ahead.
    """
    starts = range(0, len(places), at_once)
    if len(places) <= FEW:
        for start in starts:
            yield decode_here(places[start : start + at_once], size, resize)
        return
    jobs = (
        json.dumps(
            {"places": [as_json(place) for place in places[start : start + at_once]], "size": size, "resize": resize}
        ).encode()
        for start in starts
    )
    found = answers("data.stream.worker", jobs, min(n_processes or available_cores(), len(starts)), "decoding images")
    with closing(found):
        for start, answer in zip(starts, found, strict=True):
            yield _unpacked(answer, places, start, size)


def _unpacked(answer: bytes, places: Sequence[Place], start: int, size: ImageSize) -> Decoded:
    """The answer of `data.stream.worker` for the places from `start` on."""
    head, _, pixels = answer.partition(b"\n")
    said = json.loads(head)
    images_u8 = np.frombuffer(pixels, np.uint8).reshape(-1, *size, 3)
    damaged = [DamagedImage(places[start + index], reason, message) for index, reason, message in said["damaged"]]
    sizes: Iterator[ImageSize] = ((height, width) for height, width in said["sizes"])
    return Decoded(images_u8, list(sizes), said["read"], damaged)
