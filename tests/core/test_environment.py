import json
import os
import subprocess
import sys

import pytest

from core import environment as module
from core.environment import REPOSITORY, available_cores, environment, package_versions


def test_the_environment_is_json_and_names_what_a_figure_depends_on() -> None:
    facts = json.loads(json.dumps(environment()))
    assert {
        "python",
        "platform",
        "cpu",
        "cpu_flags",
        "cpu_class",
        "import_switches",
        "cores_available",
        "packages",
        "git_commit",
        "git_dirty",
    } <= set(facts)


def test_versions_are_those_that_the_packages_themselves_state() -> None:
    import numpy
    import onnxruntime

    versions = package_versions()
    assert versions["numpy"] == numpy.__version__
    assert versions["onnxruntime"] == onnxruntime.__version__


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_cores_are_those_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert available_cores() == len(allowed)


def test_git_state_follows_the_checkout(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    assert module.git_state() == {"git_commit": None, "git_dirty": None}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "a")
    assert module.git_state() == {"git_commit": git("rev-parse", "HEAD"), "git_dirty": False}
    (tmp_path / "a").write_text("2")
    assert module.git_state()["git_dirty"] is True


def test_the_repository_is_where_the_rooms_are() -> None:
    assert (REPOSITORY / "core" / "environment.py").is_file()


@pytest.mark.parametrize(("flags", "expected"), [
    ("fpu sse2", "other"), ("avx2 fma", "AVX2"), ("avx2 avx512f avx512_vnni", "AVX-512"),
    ("avx2 avx512f avx512_bf16", "AVX-512 BF16"), ("avx2 avx512f avx512_bf16 amx_bf16 amx_tile", "AMX"),
])  # fmt: skip
def test_the_class_is_the_best_set_of_instructions(flags: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cpuinfo", lambda key: flags if key == "flags" else "Some CPU")
    assert module.cpu_class() == expected
    line = module.machine_line()
    assert line.startswith(f"{expected}: Some CPU")
    assert all(flag in line for flag in module.cpu_flags())


@pytest.mark.parametrize("own", ["0", "1", "on"])
def test_a_switch_is_on_unless_the_user_says_otherwise(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    assert module.import_switches("tensorflow") == {"TF_ENABLE_ONEDNN_OPTS": "1"}
    assert environment()["import_switches"]["TF_ENABLE_ONEDNN_OPTS"] == "1"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", own)
    assert module.import_switches("tensorflow") == {"TF_ENABLE_ONEDNN_OPTS": own}


LITTLE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (N_BYTES, resource.RLIM_INFINITY))
from core.cli import run
def main(arguments):
    MAIN
run(main, [])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit, or do not keep it")
@pytest.mark.parametrize(
    ("limit_gb", "main", "said"),
    [
        (0.6, "print('ran')", "the limit on virtual memory (ulimit -v) is 0.6 GB, but a command needs"),
        (2.5, "import models.tf", "is 2.5 GB, but TensorFlow needs"),
        (3.5, "import models.torch", "is 3.5 GB, but PyTorch needs"),
        (
            90,
            'raise RuntimeError("can\'t start new thread")',
            "too little memory or threads (can't start new thread); free",
        ),
    ],
)
def test_a_low_limit_on_memory_is_told_before_libraries_abort_or_wait_for_ever(limit_gb: float, main: str, said: str) -> None:
    code = LITTLE.replace("N_BYTES", str(int(limit_gb * 1e9))).replace("MAIN", main)
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: ") and said in done.stderr
