"""Images packed as other tools pack them: webdataset's tar files, Parquet and Hugging Face's `save_to_disk`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASS_NAMES = ("cat", "dog", "owl")


def pictures(n_images: int, side: int = 8, seed: int = 0) -> list[bytes]:
    """PNG files of noise, which every decoder gives back to the bit."""
    random = np.random.default_rng(seed)
    return [encoded(random.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(n_images)]


def encoded(image_u8: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_u8).save(buffer, kind)
    return buffer.getvalue()


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_tars(folder: Path, images: Sequence[bytes], labels: Sequence[str], n_tars: int = 2) -> Path:
    """A shard after the other, each sample a picture and its label, as JSON in every second tar file."""
    for number in range(n_tars):
        members: list[tuple[str, bytes]] = []
        for index in range(number * len(images) // n_tars, (number + 1) * len(images) // n_tars):
            label = (".json", json.dumps({"label": labels[index]})) if number % 2 else (".cls", labels[index])
            members += [(f"{index:06d}.png", images[index]), (f"{index:06d}{label[0]}", label[1].encode())]
        write_tar(folder / f"test-{number:05d}.tar", members)
    return folder


def write_folder(folder: Path, images: Sequence[bytes], labels: Sequence[str]) -> Path:
    """The same images in class folders, under which they are in another order."""
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / label / f"{index:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    return folder


def hugging_face_table(images: Sequence[bytes], codes: Sequence[int]):
    """A pyarrow table as `datasets` writes it: images as structs, labels as numbers, their names in the schema's metadata."""
    import pyarrow as pa

    features = {"image": {"_type": "Image"}, "label": {"names": list(CLASS_NAMES), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    cells = pa.array([{"bytes": image, "path": None} for image in images], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    schema = pa.schema({"image": cells.type, "label": pa.int64()}, metadata=metadata)
    return pa.table([cells, pa.array(codes, pa.int64())], schema=schema)
