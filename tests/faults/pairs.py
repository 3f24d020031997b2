"""Two commands at a time in one folder: each leaves what it leaves alone, and nothing else is there."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults import laws
from tests.faults.commands import COMMANDS, Command
from tests.faults.runner import fresh, prepared
from tests.faults.searching import TRIALS
from tests.faults.starting import Ended, begun, started
from tests.fuzz.world import World

Pair = tuple[str, str]
JOINED = "search --resume"  # twice: two processes that share a study
OTHER = "train --another"  # beside a training whose weights would have the same name
NAMES = [name for name, command in COMMANDS.items() if command.ends and not name.startswith("train ")]  # but for a framework's


def every_pair(most: int) -> int:
    """Every pair of commands that end by themselves, a command with itself too, or `most` of them; prints a line for each."""
    every: list[Pair] = [*itertools.combinations_with_replacement(NAMES, 2), (JOINED, JOINED), ("train", OTHER)]
    special = {(JOINED, JOINED): _joined, ("train", OTHER): _apart}
    chosen = every[:: max(1, len(every) // most)][:most]
    used = [name for name in NAMES if any(name in pair for pair in chosen)]
    with tempfile.TemporaryDirectory() as held:
        world, folder = (
            prepared([COMMANDS[name] for name in dict.fromkeys((*used, "search", "train"))], Path(held)),
            Path(held) / "case",
        )
        once = (fresh(Path(held) / "one"), fresh(Path(held) / "other"))
        alone = {name: laws.alone(COMMANDS[name], world, (fresh(once[0]), fresh(once[1]))).made for name in used}
        for pair in chosen:
            wrong = special[pair](world, fresh(folder)) if pair in special else _at_once(pair, world, fresh(folder), alone)
            print(json.dumps({"pair": pair, "broken": wrong}), flush=True)
    return 0


def _at_once(pair: Pair, world: World, folder: Path, alone: dict[str, laws.Made]) -> str | None:
    """What is wrong with what two commands made that began together; None if it is what each makes alone.

    Of two searches that would begin one study the second is refused. All else is made by both, if by one name by one of them:
    `alone` has what each file must be.
    """
    ended = _both([COMMANDS[name] for name in pair], world, folder)
    refused = [one for one in ended if one.status == 1 and "is an existing study" in one.said]
    if len(refused) != (pair == ("search", "search")) or any(one.status != 0 for one in ended if one not in refused):
        return _said(ended)
    names = pair[: 2 - len(refused)]
    return _not_whole(folder, ended) or _mixed(folder, [alone[name] for name in names])


def _mixed(folder: Path, wanted: Sequence[laws.Made]) -> str | None:
    """The first file that is there and is not of one of the commands, or the reverse; runs are counted."""
    made = laws.digests(folder)
    either = {name: [one[name] for one in wanted if name in one] for name in {name for one in wanted for name in one}}
    for name in {**made, **either}:
        if name not in made or name not in either:
            return f"{name} is {'absent' if name not in made else 'there too'}"
        if None not in either[name] and made[name] not in either[name]:
            return laws.difference(name, made[name], either[name][0])
    runs = Counter(
        found["what"] for path in laws.files(folder) if (found := laws.OF_A_RUN.match(path)) and found["name"] == "run.json"
    )
    expected = Counter(
        name.split("/")[1] for one in wanted for name in one if name.startswith("run/") and name.endswith("/run.json")
    )
    return None if runs == expected else f"runs are {dict(runs)}, not {dict(expected)}"


def _joined(world: World, folder: Path) -> str | None:
    """What is wrong where two processes go on with one study: both work on it, no trial is lost and none is another's."""
    search = COMMANDS["search"]
    started(search, world, folder, further=("--trials", "2"))
    first = laws.trials(folder / laws.JOURNAL)
    ended = _both([search, search], world, folder, ("--resume",))
    if any(one.status != 0 for one in ended):
        return _said(ended)
    found = laws.trials(folder / laws.JOURNAL) or []
    done = [trial for trial in found if trial.state.name in ("COMPLETE", "PRUNED")]
    if found[:2] != first or not TRIALS <= len(done) == len(found) <= TRIALS + 1:  # both may begin the last one
        return f"the trials are {[trial.state.name for trial in found]}"
    return _not_whole(folder, ended)


def _apart(world: World, folder: Path) -> str | None:
    """What is wrong with the weights of two trainings that would have one name: each has its own, beside its own card."""
    train = COMMANDS["train"]
    children = [begun(train, world, folder, further=further) for further in ((), ("--another",))]
    ended = [child.ended() for child in children]
    if any(one.status != 0 for one in ended):
        return _said(ended)
    weights = sorted(folder.glob("made/*.pth"))
    seeds = {json.loads(Path(f"{path}.json").read_text())["seed"]: path.read_bytes() for path in weights}
    if len(set(seeds.values())) != 2 or set(seeds) != {0, 1}:
        return f"weights of seeds {sorted(seeds)} in {sorted(path.name for path in weights)}"
    return _not_whole(folder, ended)


def _both(commands: Sequence[Command], world: World, folder: Path, further: Sequence[str] = ()) -> list[Ended]:
    children = [begun(command, world, folder, further=further) for command in commands]
    return [child.ended() for child in children]


def _not_whole(folder: Path, ended: Sequence[Ended]) -> str | None:
    half = [name for name, held in laws.files(folder).items() if not laws.is_whole(folder / name, held)]
    left = [*half, *laws.hidden(folder), *(f"process {one.orphan}" for one in ended if one.orphan)]
    return f"not whole, or left: {left[0]}" if left else None


def _said(ended: Sequence[Ended]) -> str:
    return " and ".join(f"{one.status}: {one.said[-200:]}" for one in ended)
