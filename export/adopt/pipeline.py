"""A classifier from elsewhere becomes a contract file: read, classes matched, preprocessing stated or found, wrapped, proved."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.cli import file_to_write
from core.console import readable
from core.errors import UserError, one_line
from core.files import MODELS_DIR, require_writable
from export.adopt.classes.choosing import match_classes
from export.adopt.classes.matching import ClassMatch
from export.adopt.images import TrainImages, train_images
from export.adopt.network.core import Core, core_of
from export.adopt.network.graph import UINT8
from export.adopt.network.proof import as_shown, prove
from export.adopt.searching import Candidate, Predict, Search, candidates_for, flags_for, refusal, search, with_unusual
from export.adopt.sources import Source, open_source
from export.adopt.stated import Stated, build
from export.replacing import note_weights, require_replaceable
from models import parity
from models.card import ModelCard, Parity, Preprocessing
from models.graph.contract import save_model
from models.graph.ending import Ending, probability_elsewhere, wanted_logits
from models.graph.wrap import wrap
from models.preprocessing import grey_levels, prepared
from models.runtimes.onnx_runtime import open_graph

if TYPE_CHECKING:
    from onnx import ModelProto

    from core.records import Float32Array, Int64Array, UInt8Array

PARITY_IMAGES = 128
PROBE_IMAGES = 16
MOST_IMAGES = 1000

Say = Callable[[str], None]


@dataclass(frozen=True)
class How:
    """How to adopt: the data by name or folder, and what flags state; None for what is to be found.

    stated: preprocessing; class_names: a file, or "data" for the data's own classes in order; class_map: a CSV;
    images: the most training images that the search uses; split_seed: of the validation images, which are not used.
    """

    data: str
    data_dir: Path | None = None
    stated: Stated = field(default_factory=Stated)
    class_names: str | None = None
    class_map: Path | None = None
    output: str | None = None
    arch: str | None = None
    images: int = MOST_IMAGES
    split_seed: int = 0
    skip_damaged: bool = False
    force: bool = False


@dataclass(frozen=True)
class Adopted:
    """One file that was written.

    preprocessing_from: a file, "flags" or "measured"; search: where it was measured; elsewhere: mean probability on classes
    that the data do not have; accuracy: on the images of `parity`, which chose nothing unless preprocessing was measured.
    """

    source: Path
    target: Path
    card: ModelCard
    input_words: str
    classes: str
    match: ClassMatch
    preprocessing_from: str
    search: Search | None
    parity: Parity
    elsewhere: float
    accuracy: float
    notes: tuple[str, ...]


def adopt(
    model: str | Path,
    *,
    data: str | Path,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    class_names: str | Path | None = None,
    class_map: str | Path | None = None,
    output: str | None = None,
    arch: str | None = None,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    scale: float | None = None,
    resize: str | None = None,
    crop_pct: float | None = None,
    interpolation: str | None = None,
    channels: str | None = None,
    images: int = MOST_IMAGES,
    split_seed: int = 0,
    skip_damaged: bool = False,
    force: bool = False,
) -> Adopted:
    """Wrap a classifier from elsewhere into a file that `evaluate` and every command takes; returns what was found and proved.

    model: an ONNX file, a folder of Optimum or timm, a .pth file (with `arch`) or a .keras file; data: a data set by name or
    a folder of images; out: the file to write (default: `models/<name>_adopted.onnx`). The rest as the flags of
    `python -m export.adopt`. Raises UserError with the next step where classes or preprocessing cannot be determined.

    >>> adopted = adopt("theirs.onnx", data="digits", class_names="data", mean=[0.5], std=[0.5], resize="squash")
    >>> adopted.target.as_posix(), adopted.preprocessing_from, adopted.card.class_names[:3]
    ('models/theirs_adopted.onnx', 'flags', ('0', '1', '2'))
    """
    stated = Stated(
        image_size, triple(mean, "--mean"), triple(std, "--std"), scale, resize, crop_pct, None, interpolation, channels
    )
    how = How(
        str(data), None if data_dir is None else Path(data_dir), stated, None if class_names is None else str(class_names),
        None if class_map is None else Path(class_map), output, arch, images, split_seed, skip_damaged, force,
    )  # fmt: skip
    return adopt_file(Path(model), None if out is None else file_to_write(out, ".onnx"), how, lambda _: None)


def triple(values: Sequence[float] | None, flag: str) -> tuple[float, float, float] | None:
    """Three numbers from one or three; UserError naming the flag for another count."""
    if values is None:
        return None
    if len(values) not in (1, 3):
        raise UserError(f"{flag} takes one number, or one per channel, not {len(values)}")
    return float(values[0]), float(values[len(values) // 2]), float(values[-1])


def default_target(name: str) -> Path:
    """The default file for a model called `name`."""
    return MODELS_DIR / f"{name}_adopted.onnx"


def adopt_file(path: Path, target: Path | None, how: How, say: Say) -> Adopted:
    """`adopt` for one model; `say` is called with each step."""
    say("reading the model")
    with tempfile.TemporaryDirectory() as scratch:
        source = open_source(path, how.output, how.arch, how.stated.image_size, Path(scratch), say)
    target = target or default_target(source.name)
    allowed = partial(require_replaceable, target, source.path, None, "--out FILE for another name", force=how.force)
    allowed()  # before the work, and again when the file is written
    require_writable(target.parent, "--out")
    size = _size(source, how.stated)
    stated = how.stated.or_else(source.stated)
    say("reading images")
    images = train_images(how.data, how.data_dir, stated, size, how.images, how.split_seed, skip_damaged=how.skip_damaged)
    say("reading the network")
    core = core_of(source.graph, _probe(images.of(stated.resize or "shortest"), size, source.graph.element))
    proposal = target.with_name(f"{source.name}_class_map.csv")
    classes, match = match_classes(
        source.classes, core.n_outputs, images.class_names, how.class_names, how.class_map, proposal, force=how.force
    )
    groups = None if match.is_identity(core.n_outputs) else match.groups
    ending = Ending(core.n_outputs, groups, core.probabilities, core.flat, core.is_float32)
    preprocessing, found, found_from = _preprocessing(source, stated, size, core, groups, images, how, say)
    chosen = images.of(preprocessing.resize)
    card = _card(source, target, core, preprocessing, images, chosen)
    say("wrapping")
    model = _wrapped(source, core, card, ending)
    say("checking")
    # logarithms of vanishing probabilities may differ widely, which means nothing
    far = inf if core.probabilities else 10 * core.tolerance
    opened = open_graph(model, f"the graph for {target}")
    parity.check_batches(opened, chosen, len(card.class_names), logits=far, probabilities=10 * core.tolerance)
    say("comparing with the original")
    few_images = chosen[:PARITY_IMAGES]
    measured, output = prove(model, core, ending, preprocessing, few_images, images.split)
    elsewhere = probability_elsewhere(core.original_logits(output), replace(ending, probabilities=False))
    logits = wanted_logits(core.original_logits(output), replace(ending, probabilities=False))
    accuracy = float((logits.argmax(axis=1) == images.labels[: len(few_images)]).mean())
    drops = groups is not None and sum(map(len, groups)) < core.n_outputs
    figures = {"probability_on_other_classes": elsewhere} if drops else {}
    card = replace(card, parity=measured, figures=figures)
    save_model(model, card, target, any_version=True, allowed=allowed)
    notes = [*core.notes, *images.notes, *_guessing_note(accuracy, images.labels[: len(few_images)], len(card.class_names))]
    return Adopted(
        source.path, target, card, source.graph.input_words, classes.source if classes else str(how.class_map), match,
        found_from, found, measured, elsewhere, accuracy, tuple(notes),
    )  # fmt: skip


def _wrapped(source: Source, core: Core, card: ModelCard, ending: Ending) -> ModelProto:
    try:
        model = wrap(core.model, card, ending)
    except UserError:
        raise
    except Exception as error:  # onnx raises one of many types
        raise UserError(
            f"its graph cannot be wrapped ({one_line(error, 200)}); export the network again from its framework"
        ) from error
    note_weights(model, source.path)
    return model


def _size(source: Source, stated: Stated) -> int:
    """Pixels per side that the network takes: the graph's own, or as stated."""
    own, stated_size = source.graph.size, stated.image_size or source.stated.image_size
    if own is not None and stated.image_size is not None and own != stated.image_size:
        raise UserError(f"--image-size {stated.image_size}: the network takes {own}×{own} images; leave the flag out")
    size = own or stated_size
    if size is None:
        raise UserError(f"{source.path} takes images of any size; say which it was made for with --image-size PX, such as 224")
    return size


def _probe(images_u8: UInt8Array, size: int, element: int) -> Float32Array:
    """A few images in common preprocessing, to examine the network with: grey levels for uint8, -1 to 1 for others."""
    few_images = np.resize(images_u8[:PROBE_IMAGES], (PROBE_IMAGES, *images_u8.shape[1:]))
    half = (0.5, 0.5, 0.5)
    plain = Preprocessing(size, half, half, "nhwc", resize="squash")
    return grey_levels(few_images, plain) if element == UINT8 else prepared(few_images, plain)


def _preprocessing(
    source: Source, stated: Stated, size: int, core: Core, groups: Any, images: TrainImages, how: How, say: Say
) -> tuple[Preprocessing, Search | None, str]:
    """The whole preprocessing, the search that found it, and where it is from, in words."""
    layout = source.graph.layout
    geometries = images.geometries if stated.resize is None else (stated.resize,)
    if stated.has_levels and (len(geometries) == 1):
        where = "flags" if how.stated.has_levels else source.says
        channels = stated.channels or "rgb"
        return build(stated, size, layout, levels=stated.levels(), resize=geometries[0], channels=channels), None, where
    candidates = candidates_for(stated, size, layout, geometries, whole_numbers=source.graph.element == UINT8)
    flags = flags_for(stated, geometries)
    if len(candidates) > 1 and images.split != "train":
        raise UserError(
            f"the data have no train images to find the preprocessing on, and none is chosen on {images.split} images; say what it "
            f"is with {flags}"
        )
    predict = _predictor(core, Ending(core.n_outputs, groups), images, candidates, say)
    preprocessing = search(candidates, images.labels, predict, how.images, len(images.class_names))
    if preprocessing.best is not None and not stated.has_levels and source.graph.element != UINT8:
        preprocessing = with_unusual(preprocessing, stated, images.labels, predict)
    if preprocessing.best is None:
        raise NotFound(preprocessing, flags, images.n_unused)
    return preprocessing.best.preprocessing, preprocessing, "measured"


def _predictor(core: Core, ending: Ending, images: TrainImages, candidates: Sequence[Candidate], say: Say) -> Predict:
    """The original's logits of some images under a preprocessing; keeps the last images that were resized, by their geometry."""
    words = {id(one.preprocessing): one.words for one in candidates}
    logits_of: dict[str, tuple[bytes, Float32Array]] = {}

    def predict(preprocessing: Preprocessing, which: Int64Array) -> Float32Array:
        say(f"images {which[0] + 1} to {which[-1] + 1}: {words.get(id(preprocessing), 'unusual ones')}")
        resize, key = preprocessing.resize, which.tobytes()
        if logits_of.get(resize, (b"",))[0] != key:
            logits_of[resize] = key, grey_levels(images.of(resize)[which], preprocessing)
        pixels = as_shown(logits_of[resize][1], preprocessing, core.original.element)
        return wanted_logits(core.original_logits(core.original.run(pixels)), ending)

    return predict


class NotFound(UserError):  # noqa: N818  # what it is, not that it is an error
    """No preprocessing is significantly best; `search` holds what was measured."""

    def __init__(self, found: Search, flags: str, n_unused: int) -> None:
        super().__init__(str(refusal(found, flags, n_unused)))
        self.search = found


def _card(
    source: Source, target: Path, core: Core, preprocessing: Preprocessing, images: TrainImages, chosen: UInt8Array
) -> ModelCard:
    from core.environment import package_versions

    return ModelCard(
        name=readable(target.stem),
        backend=source.backend,
        architecture=readable(source.architecture),
        class_names=images.class_names,
        dataset=images.dataset,
        dataset_sha256={},  # what it was trained on is not known
        image_height=chosen.shape[1],
        image_width=chosen.shape[2],
        split_seed=images.split_seed,
        seed=0,
        precision="fp16" if core.is_half else "fp32",
        preprocessing=preprocessing,
        library_versions=package_versions(),
        resize=images.reading_resize(preprocessing.resize),
    )


def _guessing_note(accuracy: float, labels: Int64Array, n_classes: int) -> list[str]:
    from core.statistics import wilson_ci95

    chance = max(1 / n_classes, float(np.bincount(labels).max() / len(labels)))
    if wilson_ci95(round(accuracy * len(labels)), len(labels))[0] > chance:
        return []
    return [
        f"it is right on {accuracy:.0%} of {len(labels)} images, which is not significantly better than guessing: check the order "
        "of its classes (--class-names, --class-map) and its preprocessing"
    ]
