"""Which of a model's outputs mean which class of the data: by name, by a file, never by index without being told to."""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.decimals import whole_number
from core.errors import UserError, few, shortened
from core.files import atomic_path, read_text
from export.adopt.classes.names import OutputClasses

COLUMNS = ("model_class", "data_class")
Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ClassMatch:
    """groups: per class of the data, the outputs that mean it; how: in words; respelled: pairs of unequal names, model and data."""

    groups: Groups
    how: str
    respelled: tuple[tuple[str, str], ...] = ()

    def is_identity(self, n_outputs: int) -> bool:
        """Whether the outputs are the data's classes in the same order."""
        return self.groups == tuple((index,) for index in range(n_outputs))


def match_by_name(model: OutputClasses, data_classes: Sequence[str]) -> tuple[ClassMatch | None, dict[str, list[int]]]:
    """The match if each class of the data is one output by name; and for each class the outputs that may mean it.

    Names that are equal count first; then those that differ in case, accents, spaces, underscores or hyphens only. None if
    a class has no such output, or several; the second value is then a proposal for a person to judge.
    """
    exact, loose = _index(model, str), _index(model, normalised)
    proposal: dict[str, list[int]] = {}
    respelled = []
    complete = True
    for name in data_classes:
        indices = exact.get(name) or loose.get(normalised(name)) or []
        if len(indices) == 1:
            proposal[name] = indices
            if name not in model.classes[indices[0]].names:
                respelled.append((model.classes[indices[0]].name, name))
            continue
        complete = False
        proposal[name] = indices or _resembling(name, loose)
    if len({indices[0] for indices in proposal.values() if indices}) < len(data_classes):
        complete = False
    if not complete:
        return None, proposal
    how = "matched by name" if not respelled else "matched by name, spelling aside"
    return ClassMatch(tuple(tuple(proposal[name]) for name in data_classes), how, tuple(respelled)), proposal


def read_map(path: Path, model: OutputClasses | None, n_outputs: int, data_classes: Sequence[str]) -> ClassMatch:
    """The match that a CSV file with the columns `model_class` (a name, or an index of the outputs) and `data_class` states.

    UserError if it names an unknown class, gives an output to two classes, or leaves a class of the data without any.
    """
    rows = _rows(path)
    known = _index(model, normalised) if model is not None else {}
    exact = _index(model, str) if model is not None else {}
    members: dict[str, list[int]] = {name: [] for name in data_classes}
    loose_data = {normalised(name): name for name in data_classes}
    given: dict[int, str] = {}
    for number, row in enumerate(rows, 2):
        model_class, data_class = ((row.get(column) or "").strip() for column in COLUMNS)
        if not model_class or not data_class:
            continue
        where = f"line {number} of --class-map {path}"
        name = data_class if data_class in members else loose_data.get(normalised(data_class))
        if name is None:
            raise UserError(f"{where}: the data have no class {shortened(data_class)!r}; they have {few(data_classes, 8)}")
        index = _output(model_class, exact, known, n_outputs, where)
        if given.setdefault(index, name) != name:
            raise UserError(f"{where}: {model_class!r} is given to {given[index]!r} already; an output means one class")
        if index not in members[name]:
            members[name].append(index)
    without = [name for name, indices in members.items() if not indices]
    if without:
        raise UserError(
            f"--class-map {path} gives no output to {few(without)}; add lines for {'them' if len(without) > 1 else 'it'}, or take "
            f"the folder{'s' * (len(without) > 1)} out of the data"
        )
    return ClassMatch(tuple(tuple(sorted(members[name])) for name in data_classes), f"matched by {path}")


def without_repeats(proposal: Mapping[str, Sequence[int]], second: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """`proposal`, and `second` for classes left without outputs, with each output used once: certain matches keep theirs."""
    certain = {found[0]: name for name, found in proposal.items() if len(found) == 1}
    taken: set[int] = set(certain)
    result: dict[str, list[int]] = {}
    for name, found in proposal.items():
        if len(found) == 1 and certain[found[0]] == name:
            result[name] = list(found)
            continue
        free = [index for index in found if index not in taken] or [index for index in second[name] if index not in taken]
        taken.update(free)
        result[name] = free
    return result


def write_proposal(path: Path, model: OutputClasses, proposal: Mapping[str, Sequence[int]]) -> str:
    """Write a class map to be corrected, atomically; returns its text. A class that nothing resembles has no `model_class`."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, indices in proposal.items():
        # where the names are not unique, an index says which is meant
        table.writerows([(_unique(model, index), name) for index in indices] or [("", name)])
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return text.getvalue()


def normalised(name: str) -> str:
    """A name without case, accents, or anything between its words."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return re.sub(r"[\W_]+", "", plain.casefold()) or name


def _words(name: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", name.casefold()))


def _index(model: OutputClasses, spelling: type[str] | object) -> dict[str, list[int]]:
    """Every spelling of a class → the outputs that have it; a class's own name takes precedence over others' aliases."""
    assert callable(spelling)
    indices_of: dict[str, list[int]] = {}
    for index, one in enumerate(model.classes):
        indices_of.setdefault(spelling(one.name), []).append(index)
    own = set(indices_of)
    for index, one in enumerate(model.classes):
        for alias in {spelling(alias) for alias in one.aliases} - own:
            indices_of.setdefault(alias, []).append(index)
    return indices_of


def _resembling(name: str, loose: Mapping[str, list[int]]) -> list[int]:
    """Outputs with a spelling close to `name`."""
    near = difflib.get_close_matches(normalised(name), loose, n=3, cutoff=0.8)
    return sorted({index for spelling in near for index in loose[spelling]})


def proposal_by_words(model: OutputClasses, data_classes: Iterable[str]) -> dict[str, list[int]]:
    """For each class of the data the outputs one of whose names has all of its words: "cat" has "Persian cat"."""
    return {
        name: [i for i, one in enumerate(model.classes) if any(_words(name) <= _words(alias) for alias in one.names)]
        for name in data_classes
    }


def _unique(model: OutputClasses, index: int) -> str:
    name = model.classes[index].name
    return name if sum(one.name == name for one in model.classes) == 1 else str(index)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        table = csv.DictReader(io.StringIO(read_text(path, "utf-8-sig"), newline=""))
        rows = list(table)
    except OSError as error:
        raise UserError(f"--class-map {path} cannot be read ({error.strerror}); pass a CSV with {' and '.join(COLUMNS)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--class-map {path} is no CSV in UTF-8; pass one with the columns {' and '.join(COLUMNS)}") from error
    absent = [column for column in COLUMNS if column not in (table.fieldnames or [])]
    if absent:
        raise UserError(f"--class-map {path} lacks the column {' and '.join(absent)}; it needs {' and '.join(COLUMNS)}")
    return rows


def _output(text: str, exact: Mapping[str, list[int]], loose: Mapping[str, list[int]], n_outputs: int, where: str) -> int:
    """The output that `text` names: by name first, because a class may be called "7"; else by index."""
    indices = exact.get(text) or loose.get(normalised(text)) or []
    if len(indices) == 1:
        return indices[0]
    if len(indices) > 1:
        raise UserError(f"{where}: {len(indices)} outputs are called {text!r} ({few([str(i) for i in indices])}); give the index")
    index = whole_number(text)
    if index is not None and index < n_outputs:
        return index
    near = difflib.get_close_matches(normalised(text), loose, n=3, cutoff=0.6)
    hint = f"; near are {few(near)}" if near else f"; give a name or an index from 0 to {n_outputs - 1}"
    raise UserError(f"{where}: the model has no output {shortened(text)!r}{hint}")
