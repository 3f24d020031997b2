"""Members of tar files are those that tarfile finds, whatever wrote them."""

from __future__ import annotations

import io
import mmap
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.stream import tars

NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=40).filter(
        lambda name: name not in (".", "..")
    ),
    st.tuples(st.text("abc/", min_size=90, max_size=140), st.text("xyz", min_size=1, max_size=90)).map("/".join),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=1500), st.sampled_from("00005")), max_size=6),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_members_are_tarfiles(tmp_path: Path, members: list[tuple[str, bytes, str]], kind: int) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=kind) as archive:
        for name, data, of in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = of.encode(), 0 if of == "5" else len(data)
            try:
                archive.addfile(member, io.BytesIO(data))
            except ValueError:  # ustar has no room for such a name
                continue
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = tars.members(path, data)
    expected = tars._by_tarfile(path)
    assert [one._replace(name=one.name.rstrip("/")) for one in found] == expected


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name in "ab":
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(b"x" * 700))
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[1536 + 3] ^= 1
    else:
        del data[1536 + 512 + 600 :]
    path.write_bytes(data)
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        pytest.raises((ValueError, EOFError)),
    ):
        tars.members(path, mapped)
