"""The wheel, installed in an environment of its own outside the checkout, and used from a folder that is none of ours."""

from __future__ import annotations

import csv
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from core import environment
from core import installed as netassay
from core.environment import REPOSITORY, how_to_install, packages_of
from core.installed import API, COMMANDS, main_of, renamed
from data import open_dataset
from tests.tiny_models import write_tiny_model


def test_a_command_is_called_as_it_is_called_here():
    assert renamed("next: python -m export.to_onnx a.pth") == "next: netassay export a.pth"
    assert (
        renamed("python -m benchmark compare OLD NEW, or python -m benchmark.demo")
        == "netassay benchmark compare OLD NEW, or netassay demo"
    )
    assert renamed("python -m benchmarks; python -m data.") == "python -m benchmarks; python -m data."


@pytest.mark.parametrize("module", [name for name in COMMANDS.values() if not name.startswith("train")])
def test_every_command_has_a_main(module):
    assert callable(main_of(module))


@pytest.mark.parametrize("name", API)
def test_every_public_name_is_a_documented_function_or_class(name):
    if name.endswith("Recipe"):
        pytest.importorskip("tyro", reason="needs the packages of the trainers, which the recipes come with")
    assert callable(getattr(netassay, name))
    assert getattr(netassay, name).__doc__
    assert name in netassay.__all__


@pytest.mark.parametrize("extra", ["torch", "tensorflow", "serve"])
def test_what_is_missing_is_installed_by_name_from_any_index(extra, monkeypatch):
    stated = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {text.partition(";")[0].strip() for text in stated[extra]}
    assert set(packages_of(extra)) == names
    monkeypatch.setattr(environment, "is_checkout", lambda: False)
    listed = ["numpy>=2; python_version > '3'", *(f'{name}; extra == "{extra}"' for name in sorted(names)), "x; extra == 'other'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: listed)
    assert set(packages_of(extra)) == names
    words = shlex.split(how_to_install(extra))
    assert words[0] in (sys.executable, "uv")
    assert names <= set(words)
    assert "netassay" not in " ".join(words[words.index("install") :])


def test_importing_the_public_packages_imports_nothing_slow():
    rooms = sorted(set(API.values()))
    names = f"import sys, {', '.join(rooms)}, core.installed; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", names], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert set(rooms) <= loaded
    assert not loaded & {"numpy", "pandas", "onnx", "onnxruntime", "scipy", "rich", "torch", "tensorflow"}


def test_a_checkout_and_the_wheel_need_the_same_packages():
    stated = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    groups = {name: packages for name, packages in stated["dependency-groups"].items() if name not in ("browser", "dev")}
    assert groups == {"benchmark": stated["project"]["dependencies"], **stated["project"]["optional-dependencies"]}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel; packages are those of the running environment."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        pytest.skip("needs uv, which builds and installs the wheel")
    pytest.importorskip("hatchling", reason="needs hatchling, which builds the wheel")
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("netassay-*.whl")
    environment = folder / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True, capture_output=True)
    python = environment / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel], check=True, capture_output=True)
    packages = Path(importlib.util.find_spec("numpy").origin).parents[1]
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(f"{packages}\n", encoding="utf-8")
    return environment / "bin"


@pytest.mark.optional
def test_the_wheel_holds_the_code_and_no_weights(installed):
    (wheel,) = installed.parent.parent.glob("netassay-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert all(name.startswith(("netassay/", "netassay-")) for name in names)
    assert not [name for name in names if name.endswith((".pth", ".keras", ".onnx"))]
    assert {"netassay/__init__.py", "netassay/benchmark/__main__.py", "netassay/models/card.py"} <= set(names)


@pytest.mark.optional
def test_the_benchmark_runs_from_any_folder_beside_packages_of_the_users(installed, tmp_path):
    for package in ("models", "data", "core"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise RuntimeError('the package of the user was imported')\n")
    test = open_dataset("digits").official("test")
    for seed in (0, 1):
        write_tiny_model(
            tmp_path / "models" / f"model_{seed}.onnx", seed=seed, class_names=test.class_names, image_height=32, image_width=32
        )
    environment = {"PATH": f"{installed}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    command = ["netassay", "benchmark", "--ensemble", "--data", "digits", "--time-budget", "2", "--batch-sizes", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (table,) = tmp_path.glob("results/*-benchmark/comparison.csv")
    with table.open(encoding="utf-8") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {"model_0", "model_1", "model_0+model_1", "oracle"}
    session = (
        "from netassay import TfRecipe, build, compare, evaluate, open_dataset, read_results, train\n"
        "assert train.__module__ == 'train.child' and TfRecipe(name='x').name == 'x'\n"
        "models = ['models/model_0.onnx', 'models/model_1.onnx']\n"
        "results = evaluate(models, data='digits', time_budget_s=0, limit=20)\n"
        "build(models, out='models/both.onnx')\n"
        "print(len(open_dataset('digits').official('test')), compare(results, read_results(results.folder)).regressed)\n"
    )
    python = subprocess.run([installed / "python", "-c", session], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert python.returncode == 0, python.stderr
    assert python.stdout.split() == [str(len(test)), "False"]
    assert (tmp_path / "models" / "both.onnx").is_file()
