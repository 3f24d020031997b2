"""What must hold after a command was stopped, and what a command leaves that was not."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import os
import re
import signal
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.commands import COMMANDS, Command
from tests.faults.searching import JOURNAL, TRIALS
from tests.faults.starting import WHOLE_WITHIN_S, Child, Ended, started
from tests.fuzz.world import World

ALLOWED = {"kill": (-9, 0), "pipe": (0,), "disk": (0, 1)}  # by fault, how a command may end; of other signals below
OF_A_RUN = re.compile(r"^results/\d{8}T\d{6}Z-(?P<what>.+?)(-\d+)?/(?P<name>.+)$")
Made = dict[str, str | None]  # by name, of runs without time and number: what is compared, None if it is another each time


@dataclass(frozen=True)
class Alone:
    """What a command leaves in an empty folder, and how long it takes."""

    made: Made
    elapsed_s: float


def alone(command: Command, world: World, folders: tuple[Path, Path]) -> Alone:
    """Run a command twice, undisturbed; SystemExit if it does not work at all."""
    found: list[Made] = []
    elapsed_s: list[float] = []
    for folder in folders if command.ends else ():
        ended = started(command, world, folder)
        if ended.status != 0:
            raise SystemExit(f"{command.module} does not work at all: {ended.said}")
        found.append(digests(folder))
        elapsed_s.append(ended.elapsed_s)
    first, second = found or ({}, {})
    made = {name: sha256 if second.get(name) == sha256 else None for name, sha256 in first.items()}
    return Alone(made, min(elapsed_s, default=1.0))


def digests(folder: Path, but: Mapping[str, bytes] | None = None) -> Made:
    """Every file below `folder`, but those named and those of the runs that they are of."""
    runs = {name.split("/")[1] for name in but or {} if OF_A_RUN.match(name)}
    held = {name: data for name, data in files(folder).items() if not (OF_A_RUN.match(name) and name.split("/")[1] in runs)}
    return {OF_A_RUN.sub(r"run/\g<what>/\g<name>", name): _content(name, data) for name, data in held.items()}


def _content(name: str, data: bytes) -> str:
    """What is compared of a file: of JSON the text, so that `difference` can say where; of all else the SHA-256."""
    return data.decode("utf-8", "replace") if name.endswith(".json") else hashlib.sha256(_timeless(name, data)).hexdigest()


def difference(name: str, found: str | None, wanted: str | None) -> str:
    """In words, that a file is not what it should be, and of JSON which values are not."""
    if not name.endswith(".json"):
        return f"{name} is not what an undisturbed run makes"
    one, other = (_flat(json.loads(text or "null")) for text in (found, wanted))
    names = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    shown = [f"{key} {one.get(key)!r}, not {other.get(key)!r}" for key in names[:4]]
    return f"{name} is not what an undisturbed run makes: {'; '.join(shown)}"


def _flat(value: Any, where: str = "") -> dict[str, Any]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        return {where: value}
    return {name: held for key, part in parts for name, held in _flat(part, f"{where}/{key}").items()}


def _timeless(name: str, data: bytes) -> bytes:
    """A table without its columns of seconds, and a packed one without the second it was packed in: both may be equal by chance."""
    if name.endswith(".gz"):
        return gzip.decompress(data)
    if not name.endswith(".csv"):
        return data
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    return json.dumps([{column: cell for column, cell in row.items() if not str(column).endswith("_s")} for row in rows]).encode()


def unlike(made: Made, wanted: Made) -> str | None:
    """The first file of `wanted` that is not there or not the same, or the first that is there and not wanted."""
    for name, sha256 in wanted.items():
        if name not in made:
            return f"{name} is absent"
        if sha256 is not None and made[name] != sha256:
            return difference(name, made[name], sha256)
    further = sorted(made.keys() - wanted.keys())
    return f"{further[0]} is there too" if further else None


def broken(
    command: Command, world: World, folder: Path, fault: str, before: dict[str, bytes], ended: Ended, whole: Alone
) -> str | None:
    """The first law that does not hold after a fault; None if all do."""
    if ended.status not in ALLOWED.get(fault, (0, 130)) or "Traceback" in ended.said or "add --traceback" in ended.said:
        return f"status {ended.status}: {ended.said[-300:]}"
    if ended.status == 1 and "error: " not in ended.said:
        return f"not a line of error: {ended.said[-300:]}"
    if ended.orphan:
        return f"process {ended.orphan} lives on"
    if fault != "kill" and hidden(folder):
        return f"left: {hidden(folder)[0]}"
    for name, held in files(folder).items():
        if not is_whole(folder / name, held):
            return f"{name} is not whole"
    lost = [name for name in before if not (folder / name).exists() and not name.endswith(".checkpoint") and name != "epochs"]
    if lost:
        return f"{lost[0]} is gone"
    return next_run(command, world, folder, whole)


def next_run(command: Command, world: World, folder: Path, whole: Alone) -> str | None:
    """What is wrong with the plain run after a fault, which is one with --resume where a training or a search goes on."""
    checkpoints = list(folder.glob("made/[!.]*.checkpoint"))
    known = trials(folder / JOURNAL)
    further = ["--resume"] if checkpoints or known is not None else []
    if checkpoints:
        done = int((folder / "epochs").read_text())
        kept = epochs_of(checkpoints[0])
        if not done - 1 <= kept <= done + 1:
            return f"{done} epochs were whole and the checkpoint has {kept}"
    if not command.ends:
        ended = started(command, world, folder, _soon_stopped, further=further)
        return None if ended.status == 0 and "serving" in ended.said else f"the next run: {ended.status} {ended.said[-300:]}"
    before = files(folder)
    ended = started(command, world, folder, further=further)
    if ended.status != 0 or ended.orphan:
        return f"the next run: {ended.status} {ended.said[-300:]}"
    if hidden(folder):
        return f"left: {hidden(folder)[0]}"
    wrong = _wrong_trials(folder, known) if command is COMMANDS["search"] else None
    wrong = wrong or (unlike(digests(folder, before), whole.made) if command.repeatable else None)
    if wrong is None and command.then is not None:
        ended = started(command.then, world, folder)
        return f"what follows: {ended.said[-300:]}" if ended.status else None
    return wrong


def _soon_stopped(child: Child) -> None:
    """End a server once it says that it serves."""
    until_s = time.monotonic() + WHOLE_WITHIN_S
    while b"serving" not in b"".join(child.said) and child.processes() and time.monotonic() < until_s:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.process_id, signal.SIGTERM)


def trials(journal: Path) -> list[Any] | None:
    """The trials that the whole lines of a journal tell of, read as Optuna does; None if there is no journal."""
    if not journal.is_file():
        return None
    import optuna
    from optuna.storages.journal import JournalFileBackend

    copied = journal.parent.parent / ".read"  # so that no lock is left, and no torn line cut off
    copied.write_bytes(journal.read_bytes().rpartition(b"\n")[0] + b"\n" if journal.stat().st_size else b"")
    try:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(copied)))
        studies = storage.get_all_studies()
        return storage.get_all_trials(studies[0]._study_id) if studies else []
    finally:
        copied.unlink()


def _wrong_trials(folder: Path, known: list[Any] | None) -> str | None:
    """What is wrong with the trials after --resume: one is lost, changed, not done, or not done again after a fault."""
    found = trials(folder / JOURNAL) or []
    names = [trial.state.name for trial in found]
    whole = [trial for trial in known or [] if trial.state.is_finished()]
    if [trial for trial in whole if found[trial.number] != trial]:
        return "a trial that was whole is another now"
    if names.count("COMPLETE") + names.count("PRUNED") < TRIALS or "RUNNING" in names:
        return f"the trials are {names}"
    # of one that was stopped as its parameters were drawn, the rest are drawn anew
    stopped = [trial for trial in known or [] if trial.state.name == "RUNNING" and trial.params]
    done = [trial.params for trial in found if trial.state.name in ("COMPLETE", "PRUNED")]
    again = [trial for trial in stopped if not any(trial.params.items() <= params.items() for params in done)]
    if again:
        return f"trial {again[0].number} is not done again"
    first = found[0].system_attrs["fixed_params"]  # the recipe that the search begins from
    return None if first in done else "the recipe that it begins from is not among the trials"


def epochs_of(checkpoint: Path) -> int:
    """How many epochs a checkpoint's history has."""
    return len(json.loads(str(_arrays(checkpoint)["progress"]))["history"])


def files(folder: Path) -> dict[str, bytes]:
    """Every file that is not hidden, by its name below `folder`, and what it holds."""
    every = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(name): (folder / name).read_bytes() for name in every if not any(part.startswith(".") for part in name.parts)}


def hidden(folder: Path) -> list[str]:
    """What is half-written, and locks and signs of life of those that have ended, by its name."""
    own = [path for path in folder.rglob(".*") if not path.name.startswith(".epochs-")]
    return sorted(str(path.relative_to(folder)) for path in (*own, *folder.rglob("*.lock*"), *folder.rglob("*.workers")))


def _read_model(path: Path, _: bytes) -> None:
    from models.graph.contract import load_model

    load_model(path)


def _arrays(path: Path) -> Any:
    """What numpy or PyTorch wrote: both write zip archives."""
    with zipfile.ZipFile(path) as archive:
        of_torch = any(name.endswith("/data.pkl") for name in archive.namelist())
    if of_torch:
        import torch

        return torch.load(path, weights_only=True)
    from core.files import read_npz

    return read_npz(path)


def _read_zip(path: Path, _: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"{damaged} in {path} is damaged")


def _read_lines(_: Path, held: bytes) -> None:
    for line in held.split(b"\n")[:-1]:  # a torn last line is cut off by whoever goes on
        json.loads(line)


def _ends(ending: bytes) -> Callable[[Path, bytes], None]:
    def read(path: Path, held: bytes) -> None:
        if not held.endswith(ending):
            raise ValueError(f"{path} has no end")

    return read


READERS: dict[str, Callable[[Path, bytes], object]] = {
    ".onnx": _read_model,
    **dict.fromkeys((".npz", ".pth", ".checkpoint"), lambda path, _: _arrays(path)), ".keras": _read_zip,
    ".json": lambda _, held: json.loads(held),
    ".journal": _read_lines,
    ".csv": _ends(b"\n"), ".png": _ends(b"IEND\xaeB`\x82"),
}  # fmt: skip


def is_whole(path: Path, held: bytes) -> bool:
    """Whether a file can be read to its end as what its name says, and is of no run that is not complete."""
    try:
        READERS.get(path.suffix, lambda *_: None)(path, held)
    except Exception:
        return False
    run = path.parent  # whose folder appears when it is complete
    return not re.match(r"\d{8}T\d{6}Z-", run.name) or (run / "run.json").is_file()
