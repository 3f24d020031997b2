"""Which existing files `python -m ensemble` replaces: only what it made of the same, else with --force."""

import pytest

from core.errors import UserError
from ensemble import build
from models.graph.contract import load_model
from tests.ensemble.typed import command, refused
from tests.tiny_models import write_tiny_model


def test_no_file_of_another_making_is_replaced_without_force(members, tmp_path) -> None:
    out = tmp_path / "x.onnx"
    first = (*members[:2], "--out", out, "--weights", 1, 3)
    assert command(*first).returncode == 0
    kept = out.read_bytes()
    others = {
        "was made of other files": (*members[1:], "--out", out, "--weights", 1, 3),
        "was made by another rule (weighted)": (*members[:2], "--out", out),
        "has other weights": (*members[:2], "--out", out, "--weights", 3, 1),
    }
    for why, arguments in others.items():
        refused(command(*arguments), f"{out} is there already and {why}; add --force to replace it, or --out FILE")
        assert out.read_bytes() == kept
    with pytest.raises(UserError, match="has other weights"):
        build(members[:2], out=out, weights=[3, 1])
    assert command(*first).returncode == 0
    for arguments in others.values():
        assert command(*arguments, "--force").returncode == 0
    assert out.read_bytes() != kept


def test_of_two_ensembles_made_at_once_under_one_name_the_second_is_refused(members, tmp_path, monkeypatch) -> None:
    """Each found the name free; the other one takes it while this one is made."""
    from ensemble import pipeline

    out, fuse = tmp_path / "x.onnx", pipeline._fused

    def meanwhile(*arguments: object) -> object:
        write_tiny_model(out)
        return fuse(*arguments)

    monkeypatch.setattr(pipeline, "_fused", meanwhile)
    refused(command(*members, "--out", out), f"{out} is there already and is a single model; add --force to replace it")
    assert load_model(out)[1].rule is None
    assert list(tmp_path.iterdir()) == [out]
    assert command(*members, "--out", out, "--force").returncode == 0


@pytest.mark.parametrize("content", [b"", b"not onnx"])
def test_a_file_that_is_no_ensemble_stays(members, tmp_path, content: bytes) -> None:
    out = tmp_path / "x.onnx"
    out.write_bytes(content)
    refused(command(*members, "--out", out), "is no file of this program; add --force")
    assert out.read_bytes() == content
    write_tiny_model(out)
    refused(command(*members, "--out", out), "is a single model; add --force")
