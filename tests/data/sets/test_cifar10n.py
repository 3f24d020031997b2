"""CIFAR-10N's file in both formats of torch.save: people's labels in official order, and everything else refused in one line."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from data.sets.cifar10n import read_human_labels, split_choice

CLEAN = np.array([6, 9, 9, 4, 1])
HELD = {"clean_label": CLEAN, "aggre_label": np.array([6, 9, 9, 4, 7]), "worse_label": np.array([0, 1, 2, 3, 4], dtype=np.int32)}


def zipped(value: Any, name: str = "CIFAR-10_human/data.pkl") -> bytes:
    """As torch.save writes since 1.6: a zip that holds a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, pickle.dumps(value, protocol=2))
        archive.writestr("CIFAR-10_human/version", "3\n")
    return file.getvalue()


def older(value: Any) -> bytes:
    """As torch.save wrote before: a magic number, a version, the machine's sizes, the value."""
    return b"".join(pickle.dumps(one, protocol=2) for one in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, value, []))


def test_the_majority_is_read_unless_others_are_named() -> None:
    assert split_choice(Path("a/CIFAR-10_human.pt")) == (Path("a/CIFAR-10_human.pt"), "aggre_label")
    assert split_choice(Path("a/CIFAR-10_human.pt:worse_label")) == (Path("a/CIFAR-10_human.pt"), "worse_label")
    assert split_choice(Path("a/b:c.npy"))[0] == Path("a/b:c.npy")


@pytest.mark.parametrize("written", [zipped, older])
@pytest.mark.parametrize("name", ["aggre_label", "worse_label"])
def test_both_formats_give_the_labels_that_were_written(written: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "human.pt").write_bytes(written(HELD))
    own, said = read_human_labels(tmp_path / "human.pt", name)
    assert own.tolist() == CLEAN.tolist()
    assert said.tolist() == HELD[name].tolist() and said.dtype == np.int64


class Runs:
    """Asks whoever unpickles it to run something."""

    def __reduce__(self) -> Any:
        return (print, ("run",))


REBUILD, OBJECTS = np.empty(0).__reduce__()[0], np.array([None])


class Claims:
    """Asks whoever unpickles it for an array of `n_bytes`, none of which it holds."""

    def __init__(self, call: Any, n_bytes: int) -> None:
        self.asks = (call, ((n_bytes,), "b") if call is np.ndarray else (np.ndarray, (n_bytes,), b"b"))

    def __reduce__(self) -> Any:
        return self.asks


def test_a_colon_without_a_name_says_which_names_there_are(tmp_path: Path) -> None:
    (tmp_path / "human.pt").write_bytes(zipped(HELD))
    message = r"human\.pt is followed by a colon and no name; write human\.pt:NAME with one of aggre_label, worse_label$"
    with pytest.raises(UserError, match=message):
        read_human_labels(*split_choice(tmp_path / "human.pt:"))


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (None, "cannot be read"), (b"PK", "archive is damaged"), (zipped(HELD)[:-9], "archive is damaged"),
        (older(HELD)[:60], "cannot be read"),
        (zipped(HELD, "other/name"), "no data.pkl of torch.save in it"), (zipped([CLEAN]), "holds a list"),
        (zipped({"noisy_label": CLEAN}), "has no clean_label"),
        (zipped({"clean_label": CLEAN, "x": CLEAN}), "write human.pt:NAME with one of x"),
        (zipped({"clean_label": CLEAN, "aggre_label": CLEAN[1:]}), "aggre_label is int64 of shape"),
        (zipped({"clean_label": CLEAN, "aggre_label": CLEAN / 2}), "aggre_label is float64"),
        (zipped({**HELD, "more": Runs()}), r"refused and not executed: it holds more than arrays \(\w+\.print\), as .*; pass"),
        (older({**HELD, "more": Runs()}), "was refused and not executed"), (zipped({**HELD, "more": OBJECTS}), "of Python objects"),
        (zipped({**HELD, "more": Claims(np.ndarray, 2**40)}), "not callable"),
        (older({**HELD, "more": Claims(REBUILD, 2**40)}), r"\(an array that begins with the shape"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_nothing_is_run(held: Any, message: str, tmp_path: Path, capsys: Any) -> None:
    if held is not None:
        (tmp_path / "human.pt").write_bytes(held)
    with pytest.raises(UserError, match=message) as caught:
        read_human_labels(tmp_path / "human.pt", "aggre_label")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
