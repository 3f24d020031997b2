"""The session of docs/notebook.py, from its first cell to its last, on two small models of the digits."""

import runpy
import tempfile

import numpy as np

from core.environment import REPOSITORY
from data import open_dataset
from tests.tiny_models import write_tiny_model


def test_the_notebook_runs_and_its_values_agree(tmp_path, monkeypatch, capsys) -> None:
    digits = open_dataset("digits")
    common = {"image_height": 32, "image_width": 32, "class_names": digits.class_names, "dataset_sha256": digits.fingerprints()}
    models = [write_tiny_model(tmp_path / f"{name}.onnx", seed=seed, **common) for seed, name in enumerate("ab")]
    monkeypatch.setattr("sys.argv", ["notebook.py", *map(str, models)])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    session = runpy.run_path(str(REPOSITORY / "docs" / "notebook.py"))
    assert "regressed: False" in capsys.readouterr().out
    comparison = session["results"].comparison.set_index("model")
    assert np.allclose(session["logits"], session["results"].predictions["a"][0][:8], atol=1e-5)
    for name in ("a", "b", "a+b"):
        logits, labels = session["results"].predictions[name]
        assert np.isclose((logits.argmax(axis=1) == labels).mean(), comparison.loc[name, "top1_accuracy"])
    assert set(session["again"].comparison["model"]) == {"a", "b", "both"}
    assert set(session["changed"].changes["model"]) == {"a", "b"}
