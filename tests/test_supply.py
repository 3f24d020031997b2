"""What could run somebody else's code is in no file of ours, read from their syntax; the one unpickler refuses all but arrays."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from core.environment import REPOSITORY
from tests.test_house import ROOMS

# Calls that run, or may run, what they are given: by their whole name, or by the end of their dotted one.
BUILT_IN = ("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec")
FORBIDDEN = (
    "register_custom_ops_library yaml.load os.system os.popen marshal.loads joblib.load pickle.load pickle.loads read_pickle "
    "extractall shelve.open enable_unsafe_deserialization"
).split()
# Calls that are safe with one argument alone.
NEEDED = {"torch.load": ("weights_only", True), "load_model": ("safe_mode", True), "np.load": ("allow_pickle", False)}
NEVER = {("allow_pickle", True), ("weights_only", False), ("safe_mode", False), ("shell", True)}
OWN_LOADERS = ("models.graph.contract",)  # whose `load_model` reads ONNX files
UNPICKLER = REPOSITORY / "data" / "sets" / "arrays_only.py"


def unsafe(text: str) -> Iterator[str]:
    """Each call in a module's text that may run what a file holds, and each import of pickle's readers."""
    nodes = list(ast.walk(ast.parse(text)))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module in OWN_LOADERS]
    own = {alias.name for node in imports for alias in node.names}
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        given = {word.arg: word.value.value for word in call.keywords if word.arg and isinstance(word.value, ast.Constant)}
        if name in BUILT_IN or any(name == one or name.endswith(f".{one}") for one in FORBIDDEN):
            yield f"line {call.lineno}: {name}"
        for loader, (argument, value) in NEEDED.items():
            if (name == loader or name.endswith(f".{loader}")) and name not in own and given.get(argument) is not value:
                yield f"line {call.lineno}: {name} without {argument}={value}"
        if NEVER & {(argument, value) for argument, value in given.items() if isinstance(value, bool)}:
            yield f"line {call.lineno}: {name} with {given}"
    for node in nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("pickle.Unpickler", "pickle.load", "pickle.loads"):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_no_code_of_ours_runs_what_a_file_holds() -> None:
    found = {
        str(path.relative_to(REPOSITORY)): list(unsafe(path.read_text(encoding="utf-8")))
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*.py")
        if path != UNPICKLER
    }
    assert {path: calls for path, calls in found.items() if calls} == {}
    assert len(list(unsafe(UNPICKLER.read_text(encoding="utf-8")))) == 1


@pytest.mark.parametrize(
    "text",
    (
        "torch.load(p)|torch.load(p, weights_only=False)|np.load(p)|np.load(p, allow_pickle=True)|eval(t)|builtins.exec(t)|"
        "pickle.load(f)|class A(pickle.Unpickler): pass|options.register_custom_ops_library(p)|yaml.load(t)|"
        "keras.models.load_model(p)|subprocess.run(c, shell=True)|np.savez(p, a=a, allow_pickle=True)|tar.extractall(p)"
    ).split("|"),
)
def test_what_would_is_found(text: str) -> None:
    assert len(list(unsafe(text))) >= 1


@pytest.mark.parametrize(
    "text",
    ["torch.load(p, weights_only=True)", "np.load(p, allow_pickle=False)", "re.compile(p)", "m.eval()", "ast.literal_eval(t)"],
)
def test_what_would_not_is_not(text: str) -> None:
    assert list(unsafe(text)) == []


@pytest.mark.parametrize("page", ["serve/web/door.py", "benchmark/report/html/page/page.html"])
def test_pages_let_no_script_of_others_run(page: str) -> None:
    policy = (REPOSITORY / page).read_text(encoding="utf-8").partition("Content-Security-Policy")[2].partition("script-src ")[2]
    assert policy
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "http:", "https:", "data:"} & set(policy.partition(";")[0].split())
