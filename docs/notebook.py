"""A session of Python, in the percent format of notebooks: two classifiers and their ensemble."""

# %% [markdown]
# # Two classifiers and their ensemble, from Python
# Every cell below also is a command (`python -m benchmark --help`). Open this file as a notebook in an editor that knows
# the percent format, or run it: `python docs/notebook.py MODEL.onnx MODEL.onnx` with two models of the digits.

# %%
import sys
import tempfile
from pathlib import Path

from benchmark import compare, evaluate, read_results
from data import open_dataset
from ensemble import build
from models import open_model

MODELS = sys.argv[1:] or ["models/resnet18_digits_torch.onnx", "models/resnet18_digits_tf.onnx"]
FOLDER = Path(tempfile.mkdtemp())  # so that this session leaves nothing behind it in the folder you stand in

# %% [markdown]
# The images: uint8 RGB, (n_images, height, width, 3), with the fingerprint that every result carries.

# %%
test = open_dataset("digits").official("test")
print(test.images_u8.shape, test.class_names, test.sha256[:12])

# %% [markdown]
# One model by itself: what it says of eight images, on a runtime of your choice (`runtime="openvino"`, a `.pth`, a `.keras`, or a
# Python function in place of the file).

# %%
model = open_model(MODELS[0], runtime="cpu")
logits, probabilities = model.predict(test.images_u8[:8])
print(model.card.name, logits.shape, probabilities.max(axis=1))

# %% [markdown]
# Measure both models and the mean of their probabilities. `time_budget_s` is for latency alone; give it 30 s or more where
# latencies are to be compared.

# %%
results = evaluate(MODELS, data="digits", ensemble=["mean"], time_budget_s=0, out=FOLDER / "results")
print(results.comparison[["model", "top1_accuracy", "top1_ci95_low", "top1_ci95_high", "nll"]])

# %% [markdown]
# Is the difference real? McNemar's exact test image by image, corrected for several comparisons.

# %%
print(results.pairs[["model_a", "model_b", "accuracy_difference", "holm_p", "verdict"]])
print("\n".join(results.notes))

# %% [markdown]
# The classes that the first model finds hardest, and the logits behind every table.

# %%
first = results.per_class[results.per_class["model"] == results.comparison["model"][0]]
print(first.nsmallest(3, "recall")[["class_name", "recall", "support"]])
for name, (kept, labels) in results.predictions.items():
    print(name, kept.shape, (kept.argmax(axis=1) == labels).mean())

# %% [markdown]
# The ensemble as one ONNX file, which is a model like any other.

# %%
built = build(MODELS, out=FOLDER / "both.onnx", weights=[3, 1])
print(built.card.rule, [(member.name, member.weight) for member in built.card.members])
again = evaluate([*MODELS, built.path], data="digits", time_budget_s=0, out=FOLDER / "results")

# %% [markdown]
# What changed between two runs; the first one is read back from its folder.

# %%
changed = compare(read_results(results.folder), again)
print(changed.changes[["model", "metric", "old", "new", "verdict"]], changed.not_compared)
print("regressed:", changed.regressed)
