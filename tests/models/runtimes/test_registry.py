"""A runtime is a file and one entry: whatever lists runtimes, chooses them or works by them follows from the registry."""

import ast
import csv
import importlib.util
import json
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmark.options import from_values
from core.environment import REPOSITORY
from core.errors import UserError
from data import open_dataset
from models import open_model
from models.runtimes.base import Classifier, Provider, module_of
from models.runtimes.choose import choose_providers, prove
from models.runtimes.opening import open_file, predict_files
from models.runtimes.registry import CPU, CUDA, RUNTIMES, Runtime, asked_for, devices, names, runtime_of, short, spoken
from tests.commands import in_this_process
from tests.planted_machine import workers_in_this_process
from tests.tiny_models import write_tiny_model

# What float32 sums in another order may differ by, and what 8 bits of a logit round away.
LOGIT_TOLERANCE = {"cpu": 1e-5, "cuda": 1e-2, "openvino": 1e-3, "openvino-bf16": 0.5, "litert": 1e-3}
IMAGES_U8 = np.random.default_rng(0).integers(0, 256, (140, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def rounded(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """The made-up runtime, registered for one test."""
    runtime = Runtime("Rounded", "the made-up runtime", "tests.made_up_runtime", "made-up", has_own_numerics=True, tolerance=0.1)
    monkeypatch.setitem(RUNTIMES, "rounded", runtime)
    return runtime


def here(name: str, path: Path) -> Provider:
    """The runtime of that name, or a skip that says why this machine has it not."""
    try:
        return prove(name, path, 1)
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", names())
def test_every_runtime_of_contract_files_says_the_same(name: str, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    provider = here(name, path)
    wanted = onnxruntime.InferenceSession(str(path)).run(["logits", "probabilities"], {"images": IMAGES_U8})
    model = open_model(path, name, threads=1)
    found = model.predict(IMAGES_U8)
    assert (provider.name, provider.device_name != "") == (RUNTIMES[name].provider, True)
    assert [values.dtype for values in found] == [np.float32, np.float32]
    np.testing.assert_allclose(found.logits, wanted[0], atol=LOGIT_TOLERANCE[name])
    np.testing.assert_allclose(found.probabilities, wanted[1], atol=RUNTIMES[name].tolerance)
    assert (model.card.name, model.runtime) == ("tiny", RUNTIMES[name])
    assert sum(model.placement()[model.runtime.provider].values()) > 0


@pytest.mark.parametrize("name", names())
def test_outputs_are_not_overwritten_by_the_next_call(name: str, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    here(name, path)
    model = open_file(path, RUNTIMES[name].provider, 1)
    first = model.run(IMAGES_U8[:2])
    kept = [values.copy() for values in first]
    model.run(IMAGES_U8[2:4])
    assert all((now == before).all() for now, before in zip(first, kept, strict=True))


def test_a_timed_call_takes_the_batches_in_turn(tmp_path: Path, rounded: Runtime) -> None:
    """That of the base class, and ONNX Runtime's own, which does no more than its session."""
    path = write_tiny_model(tmp_path / "tiny.onnx")
    seen = []
    batches = [IMAGES_U8[:2], IMAGES_U8[2:4]]
    model = open_file(path, rounded.provider)
    model.run = seen.append  # type: ignore[method-assign,assignment]
    call = model.call(batches)
    for _ in range(3):
        call()
    assert [batch is batches[turn] for batch, turn in zip(seen, (0, 1, 0), strict=True)] == [True] * 3
    on_cpu = open_file(path).call(batches)
    for turn in (0, 1, 0):
        np.testing.assert_allclose(on_cpu()[0], open_file(path).run(batches[turn]).logits, atol=1e-5)
    with pytest.raises(UserError, match="the made-up runtime has no timing of device-only calls"):
        model.call(batches, "device-only")


def test_a_new_runtime_is_a_choice_and_explained(rounded: Runtime) -> None:
    done = in_this_process("benchmark", "--help")
    others = "cpu, cuda, openvino, openvino-bf16, litert, torch, torch-compile, keras"
    assert f"measure on these too: {others}, rounded" in " ".join(done.stdout.split())
    with pytest.raises(UserError, match="rounded"):
        open_model("a.onnx", "no such runtime")
    assert from_values({"runtimes": "rounded"}).runtimes == ("rounded",)
    assert spoken("Rounded") == "the made-up runtime"


def test_a_new_runtime_predicts_and_is_chosen(rounded: Runtime, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    providers, notes = choose_providers(asked_for("cpu", runtimes=["rounded"]), path, 1)
    assert [(p.name, p.device_name) for p in providers[1:]] == [("Rounded", "a made-up device")]
    assert notes == ["rows of Rounded have the accuracy of the runtime's own predictions"]
    (prediction,) = predict_files([("tiny", path)], IMAGES_U8, str, provider="Rounded", n_classes=3)
    wanted = open_model(path).predict(IMAGES_U8).logits
    np.testing.assert_array_equal(prediction.outputs.logits, np.round(4 * wanted) / 4)


def test_a_new_runtime_goes_through_the_benchmark(rounded: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers_in_this_process(monkeypatch, process_s=10)
    digits = open_dataset("digits")
    path = write_tiny_model(tmp_path / "tiny.onnx", class_names=digits.class_names, image_height=32, image_width=32, input_size=40)
    arguments = ["--models", path, "--data", "digits", "--device", "cpu", "--runtime", "rounded", "--batch-sizes", 1]
    assert in_this_process("benchmark", *arguments, "--time-budget", 50, "--out", tmp_path / "out").returncode == 0
    (folder,) = (tmp_path / "out").iterdir()
    with open(folder / "comparison.csv", encoding="utf-8") as file:
        rows = {row["provider"]: row for row in csv.DictReader(file)}
    test = digits.official("test")
    logits = open_model(path).predict(test.images_u8).logits
    right = {CPU: logits, "Rounded": np.round(4 * logits) / 4}
    for provider, own in right.items():
        assert float(rows[provider]["top1_accuracy"]) == pytest.approx((own.argmax(axis=1) == test.labels).mean())
    assert rows["Rounded"]["nll"] != rows[CPU]["nll"]
    with open(folder / "latency.csv", encoding="utf-8") as file:
        latency = {row["provider"]: row for row in csv.DictReader(file)}
    assert latency["Rounded"]["device_details"] == "made-up 1.0" and latency["Rounded"]["onnxruntime_version"] == ""
    notes = json.loads((folder / "run.json").read_text(encoding="utf-8"))["notes"]
    assert any(note.startswith(f"Rounded: probabilities differ from {CPU}'s by up to ") for note in notes)


class Placed(Classifier):
    """A model of which some nodes run elsewhere."""

    def run(self, images_u8):
        raise AssertionError("where nodes are placed is told without running any")

    def placement(self):
        return {CUDA: Counter(Conv=20), CPU: self.elsewhere}


@pytest.mark.parametrize(("elsewhere", "refused"), [(Counter(Shape=3, Gather=1), False), (Counter(Shape=3, Gemm=1), True)])
def test_shapes_may_be_computed_elsewhere_but_not_the_model(elsewhere: Counter[str], refused: bool) -> None:
    model = Placed("a.onnx", RUNTIMES["cuda"], lambda: None)
    model.elsewhere = elsewhere
    if not refused:
        model.require_placement()
        return
    with pytest.raises(UserError, match=r"a\.onnx does not run on CUDAExecutionProvider: 1 Gemm nodes"):
        model.require_placement()


def test_what_flags_ask_for() -> None:
    assert devices() == ["auto", "cpu", "cuda"]
    assert asked_for("auto") == {"cpu": "", "cuda": None}
    assert asked_for("cuda") == {"cuda": "--device cuda"}
    assert asked_for("cpu", ["openvino"]) == {"cpu": "--device cpu", "openvino": "--openvino", "openvino-bf16": None}
    assert asked_for("auto", ["openvino"], ["openvino-bf16"])["openvino-bf16"] == "--runtime openvino-bf16"


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA")
def test_a_gpu_that_cannot_be_used_is_an_error_or_a_note_where_there_is_one(tmp_path: Path, monkeypatch) -> None:
    path = write_tiny_model(tmp_path / "tiny.onnx")
    monkeypatch.setenv("PATH", str(tmp_path))  # a machine without nvidia-smi
    assert choose_providers(asked_for("auto"), path, 1)[1] == []
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    assert [p.name for p in choose_providers(asked_for("auto"), path, 1)[0]] == [CPU]
    assert "onnxruntime-gpu" in choose_providers(asked_for("auto"), path, 1)[1][0]
    with pytest.raises(UserError, match=r"^--device cuda: .*onnxruntime-gpu.*; or pass --device cpu$"):
        choose_providers(asked_for("cuda"), path, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning of Python's would be lines of its own
        with pytest.raises(UserError, match="install onnxruntime-gpu"):
            open_model(path, "cuda")


def test_names_in_tables_are_known_or_read_as_they_are() -> None:
    assert all(runtime_of(runtime.provider) is runtime for runtime in RUNTIMES.values())
    assert (spoken("ROCMExecutionProvider"), short("ROCMExecutionProvider"), short("OpenVINORuntime")) == (
        "ROCM",
        "ROCM",
        "OpenVINORuntime",
    )


def test_one_file_opens_the_sessions_of_each_runtime() -> None:
    """Whoever needs a model asks `models.runtimes`: a second opener would have other threads, options or checks."""
    openers: dict[str, set[str]] = {}
    rooms = ("core", "data", "models", "train", "export", "ensemble", "benchmark")
    for path in (path for room in rooms for path in (REPOSITORY / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("InferenceSession", "compile_model"):
                openers.setdefault(node.func.attr, set()).add(path.relative_to(REPOSITORY).as_posix())
    assert openers == {
        "InferenceSession": {"models/runtimes/onnx_runtime.py"},
        "compile_model": {"models/runtimes/openvino.py"},
    }


def test_provider_names_stand_in_the_registry_alone() -> None:
    wanted = {runtime.provider for runtime in RUNTIMES.values()} - {"Python", "PyTorch", "Keras"}
    found = set()
    for room in ("core", "data", "models", "train", "export", "ensemble", "benchmark"):
        for path in (REPOSITORY / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and node.value in wanted:
                    found.add(path.relative_to(REPOSITORY).as_posix())
    assert found == {"models/runtimes/registry.py"}


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=RUNTIMES)
def test_every_runtime_offers_what_is_asked_of_one(runtime: Runtime) -> None:
    module = module_of(runtime)
    assert callable(module.open_file)
    if runtime.library != "" and importlib.util.find_spec(runtime.library) is None:
        with pytest.raises(UserError, match="install"):
            module.provider(runtime)
