"""What a figure depends on besides the model: machine, operating system, library versions, state of the code."""

from __future__ import annotations

import functools
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import USAGE, UserError

RECORDED_PACKAGES = (
    "keras matplotlib numpy nvidia-cudnn-cu13 onnx onnxruntime onnxruntime-gpu onnxscript pandas pillow "
    "scikit-learn scipy tensorflow tf2onnx torch torch-lr-finder torchvision"
).split()
# Instruction sets that change which kernels a runtime picks, and so the latency.
RELEVANT_CPU_FLAGS = "avx2 avx512f avx512_vnni avx512_bf16 avx512_fp16 avx_vnni amx_bf16 amx_int8 amx_tile".split()
# Of these, those that a training step in float32 or bf16 can gain from, the best first, as people call them.
CPU_CLASSES = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}
# Environment variables that a framework reads when it is imported, with this project's values where the user sets none.
# TensorFlow takes oneDNN's kernels by itself only where the CPU has AVX-512 VNNI; with AVX2 they are several times as fast, too.
IMPORT_SWITCHES = {"tensorflow": {"TF_ENABLE_ONEDNN_OPTS": "1"}}
REPOSITORY = Path(__file__).resolve().parent.parent


def is_checkout() -> bool:
    """Whether this code runs from a checkout, not from an installed wheel."""
    return not (REPOSITORY / "__init__.py").exists()  # the wheel has one there (`core.installed`)


def how_to_install(extra: str) -> str:
    """The command that installs an extra of ours here; it names the packages, because netassay need not be on any index."""
    import importlib.util

    pip = f"{sys.executable} -m pip install" if importlib.util.find_spec("pip") else f"uv pip install --python {sys.executable}"
    pins = f" --constraint {REPOSITORY / 'constraints.txt'}" if is_checkout() else ""
    return f"{pip}{pins} {' '.join(packages_of(extra))}"


def how_to_install_module(module: str) -> str | None:
    """The commands that install a module of our extras, one per extra that has it; None if none has."""
    package = module.partition(".")[0].replace("_", "-")
    return ", or with ".join(how_to_install(extra) for extra, packages in extras().items() if package in packages) or None


def packages_of(extra: str) -> list[str]:
    """Names of the packages of an extra; its own name if there is no such extra."""
    return extras().get(extra, [extra])


def extras() -> dict[str, list[str]]:
    """The packages of each extra for this system, as pyproject.toml or our metadata lists them; none if neither is there."""
    import importlib.metadata

    if is_checkout():
        import tomllib

        stated = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        required = [f"{text}; extra == '{extra}'" for extra, texts in stated.items() for text in texts]
    else:
        try:
            required = importlib.metadata.requires("netassay") or []
        except importlib.metadata.PackageNotFoundError:
            required = []
    by_extra: dict[str, list[str]] = {}
    for package, _, marker in (text.partition(";") for text in required):
        of_extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        if of_extra and sys.platform not in marker:
            by_extra.setdefault(of_extra[1], []).append(package.strip())
    return by_extra


def environment(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Everything about this machine and this checkout that results depend on, ready for JSON.

    packages: recorded with their versions besides `RECORDED_PACKAGES`.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cpu_flags": cpu_flags(),
        "cpu_class": cpu_class(),
        "import_switches": import_switches("tensorflow"),
        "cores_available": available_cores(),
        "memory_gib": memory_gib(),
        "packages": package_versions(packages),
        **git_state(),
    }


def available_cores() -> int:
    """Cores this process may run on: in containers and under `taskset` fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def require_cores(threads: int, cores: int) -> None:
    """UserError if `--threads` is above the cores that this process may use: more threads only wait for each other."""
    if threads > cores:
        raise UserError(f"--threads {threads}: this process may use {cores} cores; pass at most as many", exit_code=USAGE)


def require_address_space(gb: float, what: str) -> None:
    """UserError if a limit leaves this process fewer than `gb` (10^9 bytes) of addresses, or 0.1 more per core beyond two.

    Native libraries that cannot start their threads for lack of them wait for ever or abort, which nothing here can catch.
    """
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, AttributeError):  # a system without such limits
        return
    needed_gb = gb + 0.1 * max(available_cores() - 2, 0)
    if limit != resource.RLIM_INFINITY and limit < needed_gb * 1e9:
        raise UserError(
            f"the limit on virtual memory (ulimit -v) is {limit / 1e9:.1f} GB, but {what} needs {needed_gb:.1f} GB of addresses, "
            "most of which it never uses; set none (ulimit -v unlimited)"
        )


def cpu_name() -> str:
    """The processor's model name as the operating system gives it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """Those of `RELEVANT_CPU_FLAGS` that this processor reports; empty if the system does not say."""
    reported = set(_cpuinfo("flags").split())
    return [flag for flag in RELEVANT_CPU_FLAGS if flag in reported]


def cpu_class() -> str:
    """The best instruction set for training that this processor reports, such as "AVX2"; "other" where it reports none."""
    reported = cpu_flags()
    return next((name for flag, name in CPU_CLASSES.items() if flag in reported), "other")


def machine_line() -> str:
    """The hardware that a speed depends on: class and name of the processor, its flags, the cores of this process."""
    flags = f"; {', '.join(cpu_flags())}" if cpu_flags() else ""
    return f"{cpu_class()}: {cpu_name()}, {available_cores()} of {os.cpu_count()} cores{flags}"


def import_switches(framework: str) -> dict[str, str]:
    """The values of a framework's `IMPORT_SWITCHES` in force here: the user's own where they are set."""
    return {name: os.environ.get(name, value) for name, value in IMPORT_SWITCHES.get(framework, {}).items()}


def memory_gib() -> float | None:
    """Physical memory in GiB, None if the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def package_versions(more: Sequence[str] = ()) -> dict[str, str]:
    """Versions of the installed packages that can change a figure."""
    found = {package: _version(package) for package in sorted({*RECORDED_PACKAGES, *more})}
    return {package: version for package, version in found.items() if version is not None}


@functools.cache
def _version(package: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_state() -> dict[str, Any]:
    """Commit of this checkout and whether tracked files differ from it; both None outside a git checkout."""
    commit = _git("rev-parse", "HEAD") if is_checkout() else None  # an installed wheel may lie inside somebody's checkout
    if commit is None:
        return {"git_commit": None, "git_dirty": None}
    return {"git_commit": commit, "git_dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")
