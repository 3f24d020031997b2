"""Reads a recipe from the command line: by name or file, with flags that override its values.

Imports neither numpy nor a framework, because `--help` imports it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import itertools
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import tyro

from core.cli import USAGE, require_values
from core.console import own_colours
from core.errors import UserError
from core.fields import wrong_fields
from core.files import parse_json, read_text
from train.recipes import PLACES, RECIPES, AnyRecipe, Recipe

Kind = TypeVar("Kind", bound=Recipe)


def named(kind: type[Kind], name: str) -> Kind:
    """The recipe of that name, or in the .json file of that name; UserError if there is none."""
    if Path(name).suffix == ".json":
        return from_file(kind, Path(name))
    if name not in RECIPES[kind]:
        known = ", ".join(RECIPES[kind])
        raise UserError(f"--recipe must be one of {known}, not {name}, or a .json file; see --help", exit_code=USAGE)
    return cast(Kind, RECIPES[kind][name])


NOT_IN_FILES = (*PLACES, "recipe", "limit", "device", "precision")  # specific to one machine or to a quick try


def recipe_record(recipe: AnyRecipe, found: dict[str, Any]) -> dict[str, Any]:
    """The content of a recipe's file, ready for JSON; found: results for information only, which `from_file` ignores."""
    fields = {name: value for name, value in recipe.as_dict().items() if name not in NOT_IN_FILES}
    return {"kind": type(recipe).__name__, "fields": fields, "found": found}


def from_file(kind: type[Kind], path: Path) -> Kind:
    """The recipe that `recipe_record` stored; UserError for an invalid file, or one of the other framework."""
    try:
        record = parse_json(read_text(path))
        of_kind, fields = record["kind"], dict(record["fields"])
    except OSError as error:
        raise UserError(f"--recipe {path} cannot be read: {error.strerror}; see --help for the recipes by name") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--recipe {path} is not a recipe file; python -m train.search writes one") from error
    if of_kind != kind.__name__:
        raise UserError(f"--recipe {path} is a {of_kind}, not a {kind.__name__}; train by it with the other framework's command")
    hints = {name: hint for name, hint in typing.get_type_hints(kind).items() if name not in NOT_IN_FILES}
    wrong = wrong_fields(fields, hints)
    if wrong:
        raise UserError(f"--recipe {path} has no valid {', '.join(wrong)}; python -m train.search writes such files")
    return kind(**fields, recipe=str(path))


def flags_of(kind: type[Recipe], arguments: Sequence[str]) -> list[str]:
    """The fields whose flags are among `arguments`, as `from_command_line` takes them."""
    words = [word.partition("=")[0][2:].replace("-", "_") for word in arguments if word.startswith("--")]
    fields = [field.name for field in dataclasses.fields(kind)]
    return [name for name in fields if name in words or f"no_{name}" in words]


def from_command_line(kind: type[Kind], arguments: Sequence[str], command: str) -> Kind:
    """The recipe that `arguments` describe; ends the process after --help; UserError for arguments that cannot be read."""
    require_values(arguments)
    base = named(kind, _recipe_asked_for(arguments))
    said = io.StringIO()
    try:
        with own_colours(), contextlib.redirect_stderr(said):  # those of --help
            return tyro.cli(kind, args=arguments, default=base, prog=f"python -m {command}", description=inspect.getdoc(kind))
    except SystemExit as ended:
        if not ended.code:
            raise
        wrong = _in_plain_words(_out_of_the_box(said.getvalue()))
        raise UserError(f"{wrong}; see python -m {command} --help", exit_code=USAGE) from ended
    except UserError as refused:  # a value that the recipe cannot have
        raise UserError(str(refused), exit_code=USAGE) from refused


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of tyro on a terminal


def _in_plain_words(wrong: str) -> str:
    """What tyro says of a value that is no number, without the names of Python's functions; anything else as it is."""
    found = re.search(r"Error parsing (--\S+): .*(int\(\) with base 10|string to float): (.+)", wrong)
    if not found:
        return wrong
    return f"{found[1]} must be {'a whole number' if found[2].startswith('int') else 'a number'}, not {found[3]}"


def _out_of_the_box(said: str) -> str:
    """The error in tyro's box, which holds it, a rule, and hints; if stdout is ASCII, a title and a rule come first."""
    lines = [line.strip("│ ") for line in _COLOUR.sub("", said).splitlines()]
    boxed = bool(lines) and lines[0].startswith("╭")
    parts: list[list[str]] = [[]]
    for line in lines[1:] if boxed else lines:
        if line.startswith(("──", "---")):
            parts.append([])
        elif not line.startswith("╰"):
            parts[-1].append(line)
    what, following = [*(parts if boxed else parts[1:]), [], []][:2]
    wrong = " ".join(" ".join(what).split()).rstrip(".") or "the arguments cannot be read"
    meant = following[1].split()[:1] if following[:1] == ["Perhaps you meant:"] else []
    return f"{wrong}; perhaps {meant[0]} was meant" if meant else wrong


def _recipe_asked_for(arguments: Sequence[str]) -> str:
    """The value of --recipe, which sets the default of every other flag."""
    asked_for = "default"
    for argument, following in itertools.pairwise([*arguments, asked_for]):
        if argument == "--recipe":
            asked_for = following
        elif argument.startswith("--recipe="):
            asked_for = argument.partition("=")[2]
    return asked_for
