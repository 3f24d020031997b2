"""How the house is built: what may import what is import-linter's (`pyproject.toml`); this is what it cannot say."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from core.environment import REPOSITORY

ROOMS = ("core", "data", "models", "train", "export", "ensemble", "benchmark", "serve")
MOST_MODULES = 12  # of a folder, its `__init__` among them: more is not seen at a glance


def modules(root: Path) -> dict[str, Path]:
    """Every module of the rooms in `root` by its dotted name; a package is its `__init__`."""
    paths = [path for room in ROOMS for path in (root / room).rglob("*.py")]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(path: Path, known: set[str]) -> set[str]:
    """Those of `known` that a file imports, anywhere in it and for types alone too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return found & known


def circle(root: Path) -> list[str]:
    """The modules of one circle of imports in `root`; empty where there is none."""
    found = modules(root)
    try:
        TopologicalSorter({name: imports(path, set(found)) - {name} for name, path in found.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_of_imports() -> None:
    assert circle(REPOSITORY) == []


@pytest.mark.parametrize("closing", ["from core import a", "import core.a", "def f():\n    from core.a import x"])
def test_a_circle_is_found(closing: str, tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").touch()
    (tmp_path / "core" / "a.py").write_text("from core.b import y\n")
    (tmp_path / "core" / "b.py").write_text("y = 1\n")
    assert circle(tmp_path) == []
    (tmp_path / "core" / "b.py").write_text(f"{closing}\ny = 1\n")
    assert {"core.a", "core.b"} <= set(circle(tmp_path))


@pytest.mark.parametrize("room", ROOMS)
def test_no_folder_has_more_modules_than_are_seen_at_a_glance(room: str) -> None:
    folders = [path for path in [REPOSITORY / room, *(REPOSITORY / room).rglob("*")] if path.is_dir()]
    assert {str(folder): n for folder in folders if (n := len(list(folder.glob("*.py")))) > MOST_MODULES} == {}


def has_logic(path: Path) -> bool:
    """Whether a module defines a function; one of types and constants alone has nothing that could be wrong."""
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def test_every_module_of_the_benchmark_has_tests_where_they_are_looked_for() -> None:
    """`tests/<room>/test_<file>.py`, for what has functions; a package's own door and its `__main__` are tried by its commands."""
    modules_with_logic = [
        path.relative_to(REPOSITORY)
        for path in (REPOSITORY / "benchmark").rglob("*.py")
        if not path.stem.startswith("__") and has_logic(path)
    ]
    wanted = {path: REPOSITORY / "tests" / path.with_name(f"test_{path.name}") for path in modules_with_logic}
    assert [str(path) for path, test in wanted.items() if not test.is_file()] == []
