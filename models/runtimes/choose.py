"""Which runtimes a command measures: those that were asked for, each proved on a model, or left out with a note."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import UserError, few
from models.runtimes.base import Provider, module_of
from models.runtimes.registry import IF_POSSIBLE, RUNTIMES, takes


def choose_providers(
    chosen: Mapping[str, str | None], probe: Path, threads: int, others: Sequence[Path] = ()
) -> tuple[list[Provider], list[str]]:
    """The runtimes `chosen` (see `registry.asked_for`) as this machine has them, proved on the model of `probe`, and notes.

    others: further models; a runtime that cannot run `probe` is proved on the first of these that it can run.

    A runtime is proved if no other provider takes over heavy nodes of the model. Raises UserError if one that a flag
    insists on is not available; an optional one is named in a note, if its device seems to be present.
    """
    providers: list[Provider] = []
    notes: list[str] = []
    files = list(dict.fromkeys([probe, *others]))
    for name, flag in chosen.items():
        taken = [path for path in files if takes(RUNTIMES[name], path)]
        try:
            providers.append(prove(name, taken[0] if taken else probe, threads))
        except UserError as error:
            if flag is not IF_POSSIBLE:
                raise _refusal(flag, error) from error
            if not RUNTIMES[name].sign or shutil.which(RUNTIMES[name].sign):  # a device that is absent needs no note
                notes.append(f"{RUNTIMES[name].spoken} not measured: {error}")
        left_out = [path.stem for path in files if path not in taken]
        if taken and left_out:
            ending = RUNTIMES[name].beside
            notes.append(f"{RUNTIMES[name].spoken} leaves {few(left_out)} out: no {ending} file beside the ONNX file")
    own = [RUNTIMES[name].provider for name in chosen if RUNTIMES[name].has_own_numerics]
    own = [provider.name for provider in providers if provider.name in own]
    if own:
        notes.append(f"rows of {', '.join(own)} have the accuracy of the runtime's own predictions")
    return providers, notes


def prove(name: str, probe: Path, threads: int) -> Provider:
    """The runtime as this machine has it; UserError unless the model of `probe` really runs on it."""
    runtime = RUNTIMES[name]
    module = module_of(runtime)
    provider = module.provider(runtime)
    if not takes(runtime, probe):
        raise UserError(f"{runtime.spoken} needs the {runtime.beside} file that {probe} was exported from beside it")
    if not runtime.alone:  # else the first process that opens it proves it
        module.open_file(probe, runtime, threads).require_placement()
    return provider


def _refusal(flag: str, error: UserError) -> UserError:
    """The error with the flag that insisted on the runtime, and how to do without."""
    if not flag:
        return error
    instead = "pass --device cpu" if flag.startswith("--device") else f"leave out {flag}"
    return UserError(f"{flag}: {error}" if instead in str(error) else f"{flag}: {error}; or {instead}")
