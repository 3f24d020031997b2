"""CIFAR-10N: labels of CIFAR-10's 50,000 training images by people on Amazon's Mechanical Turk.

Source: Wei et al. 2022, "Learning with noisy labels revisited", arXiv 2110.12088;
CIFAR-10_human.pt of github.com/UCSC-REAL/cifar-10-100n.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from core.errors import UserError, few, one_line, reason
from core.files import require_regular
from core.records import Int64Array
from data.sets.arrays_only import ForbiddenNameError, unpickle

CLEAN = "clean_label"  # CIFAR-10's own
USUAL = "aggre_label"  # the majority of three
MOST_BYTES = 2**26
_BEFORE_THE_VALUE = 3  # pickles of torch.save's older format: a magic number, a version, the machine's sizes


def split_choice(path: Path) -> tuple[Path, str]:
    """Splits `FILE.pt` (the majority's labels) or `FILE.pt:NAME` into the file and the name of the labels in it."""
    file, colon, name = path.name.rpartition(":")
    return (path.with_name(file), name) if colon and file.endswith(".pt") else (path, USUAL)


def read_human_labels(path: Path, name: str) -> tuple[Int64Array, Int64Array]:
    """CIFAR-10's own and the human labels, each int64 (n_images,), in the official order of the training images.

    UserError for a file that is not CIFAR-10N's, or has no labels of that name.
    """
    held = _load(path)
    sets = {key: value for key, value in held.items() if isinstance(key, str) and isinstance(value, np.ndarray)}
    if CLEAN not in sets:
        raise UserError(f"--labels {path} has no {CLEAN}, so it is not CIFAR-10N's; pass its CIFAR-10_human.pt")
    if name not in sets:
        others = sorted(key for key in sets if key != CLEAN)
        wrong = f"has no {name}" if name else "is followed by a colon and no name"
        raise UserError(f"--labels {path} {wrong}; write {path.name}:NAME with one of {few(others, 8)}")
    return _labels(sets, CLEAN, path), _labels(sets, name, path)


def _labels(sets: dict[str, Any], name: str, path: Path) -> Int64Array:
    labels = sets[name]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(sets[CLEAN]):
        raise UserError(
            f"--labels {path}: {name} is {labels.dtype} of shape {labels.shape}, not a whole number for each image; copy "
            "CIFAR-10_human.pt again"
        )
    return np.asarray(labels, dtype=np.int64)


def _load(path: Path) -> dict[Any, Any]:
    try:
        require_regular(path, MOST_BYTES)
        with open(path, "rb") as file:
            value = _value(file)
    except ForbiddenNameError as error:
        raise UserError(
            f"--labels {path} was refused and not executed: it holds more than arrays ({one_line(error, 90)}), as files of tensors "
            "do; pass CIFAR-10N's CIFAR-10_human.pt, or write the labels to a CSV with the columns file and label"
        ) from error
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises almost anything
        raise UserError(f"--labels {path} cannot be read ({reason(error)}); pass CIFAR-10N's CIFAR-10_human.pt") from error
    if not isinstance(value, dict):
        raise UserError(f"--labels {path} holds a {type(value).__name__}, not labels by name; pass CIFAR-10N's CIFAR-10_human.pt")
    return value


def _value(file: BinaryIO) -> Any:
    """What torch.save wrote, in its zip or older format; only builtin values and numpy arrays are accepted."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        if file.read(2) == b"PK":  # in a pickle, a request for something stored elsewhere
            raise ValueError("its archive is damaged or was cut off")
        file.seek(0)
        for _ in range(_BEFORE_THE_VALUE):
            unpickle(file)
        return unpickle(file)
    with zipfile.ZipFile(file) as archive:
        pickled = next((info for info in archive.infolist() if info.filename.endswith("/data.pkl")), None)
        if pickled is None or pickled.file_size > MOST_BYTES:
            raise ValueError("no data.pkl of torch.save in it" if pickled is None else "its data.pkl is too large")
        return unpickle(io.BytesIO(archive.read(pickled)))
