"""Reading within bounds, and hashes."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.environment import REPOSITORY
from core.errors import UserError
from core.files import (
    is_file,
    parse_json,
    read_npz,
    read_text,
    real_path,
    require_regular,
    require_utf8,
    sha256_of_file,
)


def test_the_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_name_with_a_nul_character_is_that_of_no_file(tmp_path: Path) -> None:
    """Such a name can be in a table or in JSON; the system answers it with a ValueError, which nobody expects of a file."""
    assert not is_file(tmp_path / "a\0.png")
    for read in (require_regular, read_text, read_npz, real_path):
        with pytest.raises(FileNotFoundError, match="NUL character"):
            read(tmp_path / "a\0.png")


def test_a_pipe_or_a_device_is_not_read_and_a_file_only_up_to_its_limit(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for read in (require_regular, read_text, read_npz):
            with pytest.raises(UserError, match="not a file"):
                read(path)
        with pytest.raises(UserError, match="is a pipe, a socket or a device"):
            is_file(path)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert [is_file(tmp_path / name) for name in ("large", "absent", "circle", ".", "large/below")] == [True, *[False] * 4]
    require_regular(tmp_path / "large", 11)
    with pytest.raises(UserError, match="at most"):
        require_regular(tmp_path / "large", 10)


def test_a_bomb_and_a_claim_of_terabytes_are_not_unpacked(tmp_path: Path) -> None:

    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(150_000_000, np.uint8))
    header = (
        np.lib.format.magic(1, 0)
        + b"\x76\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(tmp_path / "claim.npz", "w") as archive:
        archive.writestr("a.npy", header)
    (tmp_path / "text.npz").write_bytes(b"PK\x03\x04 and no more")
    for name in ("bomb", "claim", "text"):
        with pytest.raises((ValueError, UserError)):
            read_npz(tmp_path / f"{name}.npz")


def test_only_the_arrays_that_are_asked_for_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", text=np.array("x"), many=np.zeros(9), objects=np.array([{}], object))
    assert list(read_npz(tmp_path / "a.npz", ["text", "absent"])) == ["text"]


def test_numpys_advice_to_load_a_file_unsafely_is_not_passed_on(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("mine")
    np.save(tmp_path / "one.npy", np.zeros(2))
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    told = {"text.npz": "it is no archive", "one.npy": "it is no archive", "objects.npz": "it holds Python objects"}
    for name, why in told.items():
        with pytest.raises(ValueError, match=why) as error:
            read_npz(tmp_path / name)
        assert "allow_pickle" not in str(error.value)


def test_a_number_of_too_many_digits_is_told_without_pythons_advice() -> None:
    with pytest.raises(ValueError, match=r"^it holds a number of more digits than are read$"):
        parse_json('{"size": ' + "1" * 5000 + "}")


def test_a_models_name_must_be_utf_8() -> None:
    require_utf8(Path("m/café.onnx"), "rename it")
    with pytest.raises(UserError, match=r"m/x.\.onnx has a name that is not UTF-8, which a model needs here; rename it"):
        require_utf8(Path("m/x\udcff.onnx"), "rename it")


def test_a_locale_that_is_not_utf_8_is_told_as_such_and_not_as_a_fault_of_the_name(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from core.files import require_utf8; require_utf8(Path(sys.argv[1]), 'x')"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", code, str(tmp_path / "é.onnx")]
    done = subprocess.run(command, cwd=REPOSITORY, env=plain, capture_output=True, text=True, check=False)
    assert "the locale is not UTF-8, which" in done.stderr and "set PYTHONUTF8=1" in done.stderr
    again = subprocess.run(command, cwd=REPOSITORY, env={**plain, "PYTHONUTF8": "1"}, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
