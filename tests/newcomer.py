"""The commands of README and the guide as somebody types them who has just cloned the repository: no data, no network, no settings.

pytest tests/newcomer.py      # minutes: it trains, exports and benchmarks; `make test` runs it as the last environment

Not collected with the other tests, for its name. HEAD is cloned, so what is not committed is not seen; the packages are those of
the environment that runs this, laid into the clone as its `.venv`.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fake_cifar10 import LABEL_NAMES, write_fake_cifar10
from tests.readme import BLOCKS, REPOSITORY, Skipped, command_blocks
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.timeout(1800)
CLOSED_PORT = "http://127.0.0.1:9"
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone of HEAD with this environment's packages as its own."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no git checkout, so there is nothing to clone")
    folder = tmp_path_factory.mktemp("newcomer") / "clone"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(folder)], check=True)
    head = subprocess.run(["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", "--detach", head.strip()], check=True)
    lay_packages(folder / ".venv")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def lay_packages(venv: Path) -> None:
    """What `make install` would leave: links to the packages of this environment, and stamps that are later than the clone."""
    venv.mkdir()
    stamps = ("uv", "installed")
    for entry in Path(sys.prefix).iterdir():
        if entry.name not in stamps:
            (venv / entry.name).symlink_to(entry)
    for stamp in stamps:
        (venv / stamp).touch()


def type_in(command: str, clone: Path) -> subprocess.CompletedProcess[str]:
    """The command as a shell of an emptied environment runs it, downloads refused at once."""
    home = clone.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), **dict.fromkeys(PROXIES, CLOSED_PORT)}
    typed = command if command.startswith("make ") else f"source .venv/bin/activate && {command}"
    print(f"$ {command}", flush=True)
    done = subprocess.run(["bash", "-c", typed], cwd=clone, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, f"status {done.returncode}", sep="\n", flush=True)
    return done


def check(command: str, clone: Path) -> subprocess.CompletedProcess[str] | None:
    """Type a command of README and hold it to what `tests.readme` expects of it; None where it is not to be run."""
    wanted = next(block[command] for block in BLOCKS if command in block)
    if isinstance(wanted, Skipped):
        return None
    done = type_in(f"{command} {wanted.append}".strip(), clone)
    assert done.returncode in wanted.statuses, (command, done.stderr)
    assert "Traceback" not in done.stderr
    if done.returncode == 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert done.stderr.splitlines()[-1:] == errors, "one line, and the last"
        assert wanted.says in errors[0]
    if wanted.then:
        again = type_in(f"{command} {wanted.then}", clone)
        assert again.returncode == 0, (command, again.stderr)
    return done


def state(clone: Path) -> tuple[str, list[str]]:
    """What git sees changed, and what lies in models/."""
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True).stdout
    return status, sorted(path.name for path in (clone / "models").iterdir() if path.name != "__pycache__")


def test_the_demo_as_it_stands_ends_with_the_table_and_touches_nothing_else(clone: Path) -> None:
    before = state(clone)
    done = check("make demo", clone)
    assert done is not None
    assert "downloading" not in done.stdout + done.stderr
    assert state(clone) == before
    (folder,) = (clone / "results").glob("*-demo")
    for name in ("resnet18_digits_torch.onnx", "resnet18_digits_tf.onnx"):
        path = folder / "models" / name
        assert path.is_file()
        assert str(path.relative_to(clone)) in done.stdout.partition("done in")[2]
    (table,) = folder.glob("results/*-benchmark/comparison.csv")
    with open(table, newline="", encoding="utf-8") as file:
        kinds = [row["kind"] for row in csv.DictReader(file)]
    assert {"single", "ensemble", "oracle"} <= set(kinds)
    assert "resnet18_digits_torch" in done.stdout


def test_the_shipped_networks_without_their_images(clone: Path) -> None:
    """Both are exported; what needs the images says in one line how to get them."""
    (block,) = (block for block in command_blocks() if "python -m export.to_onnx" in block)
    for command in block:
        check(command, clone)
    made = sorted(path.name for path in (clone / "models").glob("*.onnx"))
    assert made == ["resnet18_cifar10_tf.onnx", "resnet18_cifar10_torch.onnx"]
    (table,) = (clone / "results").glob("*-export/export.csv")
    with open(table, newline="", encoding="utf-8") as file:
        assert [row["split"] for row in csv.DictReader(file)] == ["synthetic", "synthetic"]


def test_every_other_block_on_small_data(clone: Path) -> None:
    own_images(clone / "path" / "to" / "folder")
    (clone / "env").symlink_to(".venv")
    for seed, name in enumerate(("a", "b")):
        write_tiny_model(clone / f"{name}.onnx", seed=seed, class_names=CLASSES, dataset="folder", image_height=64, image_width=64)
    on_folder = [block for block in command_blocks() if any("path/to/folder" in command for command in block)]
    for command in chain.from_iterable(on_folder):
        if command != "make demo":
            check(command, clone)

    write_fake_cifar10(clone / "data", images_per_batch=60)
    for block in command_blocks():
        if block in on_folder or "python -m export.to_onnx" in block:
            continue
        models_of_cifar10(clone)
        for command in block:
            if " compare " in command:
                last = max((clone / "results").glob("*-benchmark"))
                for name in ("OLD", "NEW"):
                    shutil.copytree(last, clone / "results" / name)
            check(command, clone)


CLASSES = ("ant", "bee", "wasp")


def own_images(folder: Path) -> None:
    """A folder in the layout that README names: three classes, each of a colour, with noise."""
    generator = np.random.default_rng(0)
    for split, n_images in {"train": 12, "test": 6}.items():
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for number in range(n_images):
                pixels = generator.integers(0, 120, (64, 64, 3), dtype=np.uint8)
                pixels[..., label] += 100
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")


def models_of_cifar10(clone: Path) -> None:
    """models/ with nothing in it but two small networks, a.onnx and b.onnx."""
    for path in (clone / "models").glob("*.onnx"):
        path.unlink()
    names = [name.decode() for name in LABEL_NAMES]
    for seed, name in enumerate(("a", "b")):
        path = clone / "models" / f"{name}.onnx"
        write_tiny_model(path, seed=seed, class_names=names, dataset="cifar10", image_height=32, image_width=32)
