"""What a model's outputs are called: by a file, by what lies beside the model, or, of 1000 or 1001 outputs, ImageNet's classes."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.errors import UserError, one_line
from core.files import parse_json, read_text

IMAGENET_SIZE = 1000
BACKGROUND = "background"
IN_DATA_ORDER = "data"  # instead of a file: the outputs are the data's classes, in their order
_PLACEHOLDER = re.compile(r"(label|class)[_ ]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class OutputClass:
    """One output of a model: its name, and other names of the same class."""

    name: str
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, then the others."""
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class OutputClasses:
    """The classes of a model's outputs in their order, and where the names come from, in words."""

    classes: tuple[OutputClass, ...]
    source: str

    def __len__(self) -> int:
        return len(self.classes)


def from_names(names: Sequence[str], source: str) -> OutputClasses | None:
    """The classes of a list of names; None if they say nothing (LABEL_0, LABEL_1, …).

    A name with commas, such as "tench, Tinca tinca", is also called by each of its parts.
    """
    if all(_PLACEHOLDER.fullmatch(name.strip()) for name in names):
        return None
    if tuple(name.split(",")[0].strip() for name in names) == tuple(one.aliases[1] for one in imagenet()):
        return OutputClasses(imagenet(), f"{source}, which is ImageNet-1k's")
    return OutputClasses(tuple(OutputClass(name.strip(), _parts(name)) for name in names), source)


def from_file(path: Path, n_outputs: int) -> OutputClasses:
    """The classes of a text file, a line each, or of JSON: a list, or an object index → name (or index → [synset, name]).

    UserError if the file is of neither form or has not `n_outputs` names.
    """
    try:
        text = read_text(path, "utf-8-sig")
    except OSError as error:
        raise UserError(f"--class-names {path} cannot be read ({error.strerror}); pass a file with a name per line") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--class-names {path} is not text in UTF-8; save it as such") from error
    classes = _json_classes(text, path) if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "[") else None
    if classes is None:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        classes = tuple(OutputClass(line, _parts(line)) for line in lines)
    if len(classes) != n_outputs:
        raise UserError(f"--class-names {path} has {len(classes)} names, the model {n_outputs} outputs; pass one name per output")
    return OutputClasses(classes, str(path))


def imagenet_for(n_outputs: int) -> OutputClasses | None:
    """ImageNet-1k's classes for a model of 1000 outputs, or 1001 of which the first is background; None for any other."""
    if n_outputs == IMAGENET_SIZE:
        return OutputClasses(imagenet(), "ImageNet-1k, as for every model of 1000 outputs without names")
    if n_outputs == IMAGENET_SIZE + 1:
        first = OutputClass(BACKGROUND)
        return OutputClasses((first, *imagenet()), "ImageNet-1k after a background class, as for 1001 outputs without names")
    return None


@cache
def imagenet() -> tuple[OutputClass, ...]:
    """The 1000 classes in the order of their WordNet synsets; aliases: the synset, WordNet's first word, its other words."""
    with open(Path(__file__).with_name("imagenet_1k.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple(OutputClass(row["name"], (row["synset"], *(word.strip() for word in row["lemmas"].split(",")))) for row in rows)


def in_order(names: Mapping[object, object]) -> list[str] | None:
    """The names of an object index → name, by index; None if the indices are not 0, 1, …"""
    try:
        by_index = {int(str(index)): str(name) for index, name in names.items()}
    except ValueError:
        return None
    return [by_index[index] for index in range(len(by_index))] if set(by_index) == set(range(len(by_index))) else None


def _json_classes(text: str, path: Path) -> tuple[OutputClass, ...] | None:
    try:
        parsed = parse_json(text)
    except ValueError as error:
        if path.suffix.lower() != ".json":
            return None
        raise UserError(f"--class-names {path} is not JSON ({one_line(error, 80)}); correct it, or pass a name per line") from error
    if isinstance(parsed, dict) and isinstance(parsed.get("id2label"), dict):
        parsed = parsed["id2label"]
    if isinstance(parsed, list):
        parsed = dict(enumerate(parsed))
    if not isinstance(parsed, dict):
        raise UserError(f"--class-names {path} holds neither a list nor an object index → name; correct it")
    if parsed and all(isinstance(value, int) for value in parsed.values()):  # name → index, as torchvision's class_to_idx is kept
        parsed = {value: name for name, value in parsed.items()}
    lists = {index: [str(part) for part in value] if isinstance(value, list) else [str(value)] for index, value in parsed.items()}
    order = in_order({index: index for index in lists})
    if order is None or not all(lists.values()):
        raise UserError(f"--class-names {path} does not number its names 0, 1, … to {max(len(lists) - 1, 0)}; correct it")
    in_turn = [lists.get(index, lists.get(_int(index))) for index in order]
    return tuple(OutputClass(parts[-1], (*parts[:-1], *_parts(parts[-1]))) for parts in in_turn if parts)


def _int(index: str) -> object:
    return int(index)


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in name.split(","))
    return parts if len(parts) > 1 else ()
