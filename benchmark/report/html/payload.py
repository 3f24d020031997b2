"""The data of a page: everything that its script shows, ready for JSON and of bounded size."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.report.html.contents.confidence import reliability_of, selective, temperature_of
from benchmark.report.html.contents.galleries import (
    MOST_OF_GALLERY,
    Gallery,
    confused_classes,
    confusion_counts,
    gallery_of,
)
from benchmark.report.html.contents.pairs import PairShown, recall_differences
from benchmark.report.html.contents.shown import Model, Shown
from benchmark.report.html.contents.speed import places
from core.decimals import p_words

DIGITS = 5  # of a probability; a page needs no more


def payload(
    shown: Shown, pairs: Sequence[PairShown], found: Sequence[Gallery], images: Sequence[int], pictures: Mapping[int, bytes]
) -> dict[str, Any]:
    """What the page's script reads. images: the pool, which galleries name by position; pictures: WebP by image."""
    position = {index: place for place, index in enumerate(images)}
    classes = confused_classes(shown)
    parts = {
        "classes": list(shown.class_names),
        "n_images": len(shown.labels),
        "models": [_model(shown, model) for model in shown.models],
        "pairs": [_pair(shown, pair, position) for pair in pairs],
        "galleries": [_gallery(gallery, position) for gallery in found],
        "most_of_gallery": MOST_OF_GALLERY,
        "images": _images(shown, images, pictures),
        "confusion": {
            "classes": classes.tolist(),
            "counts": [confusion_counts(model, shown.labels, classes).tolist() for model in shown.models],
        },
        "places": places(shown),
    }
    return {name: _rounded(part) for name, part in parts.items()}


def _model(shown: Shown, model: Model) -> dict[str, Any]:
    return {
        "name": model.shown_as,
        "kind": model.kind,
        "accuracy": float(model.right.mean()),
        "reliability": reliability_of(shown, model),
        "temperature": temperature_of(shown, model),
        "selective": selective(model),
    }


def _pair(shown: Shown, pair: PairShown, position: Mapping[int, int]) -> dict[str, Any]:
    a, b = shown.models[pair.a], shown.models[pair.b]
    counts = pair.counts
    cells = {name: _gallery(gallery_of("", "", images), position) for name, images in pair.cells.items()}
    recalls = recall_differences(a, b, shown.labels, len(shown.class_names))
    return {
        "a": pair.a,
        "b": pair.b,
        "difference": counts.accuracy_difference,
        "low": pair.difference_ci95[0],
        "high": pair.difference_ci95[1],
        "p": p_words(pair.holm_p),
        "verdict": pair.verdict,
        "family": pair.family,
        "cells": {name: {"total": cell["total"], "images": cell["images"]} for name, cell in cells.items()},
        "recalls": [
            {
                "class": row.class_index,
                "images": row.n_images,
                "a": row.recall_a,
                "b": row.recall_b,
                "low": row.difference_ci95[0],
                "high": row.difference_ci95[1],
                "p": p_words(row.holm_p),
                "real": row.holm_p < 0.05,
            }
            for row in recalls
        ],
    }


def _gallery(gallery: Gallery, position: Mapping[int, int]) -> dict[str, Any]:
    images = [position[index] for index in gallery.images if index in position]
    return {"title": gallery.title, "about": gallery.about, "total": gallery.total, "images": images}


def _images(shown: Shown, images: Sequence[int], pictures: Mapping[int, bytes]) -> list[dict[str, Any]]:
    """For each image of the pool: name, true class, each model's prediction and its probability, and the picture."""
    return [
        {
            "name": _image_name(shown, index),
            "label": int(shown.labels[index]),
            "said": [int(model.said.predicted[index]) for model in shown.models],
            "sure": [round(float(model.said.confidence[index]), DIGITS) for model in shown.models],
            "picture": base64.b64encode(pictures[index]).decode() if index in pictures else "",
        }
        for index in images
    ]


def _image_name(shown: Shown, index: int) -> str:
    """The file of an image; its index for a data set without files."""
    name = shown.files[index] if shown.files else str(index)
    return f"image {name}" if name.isdecimal() else name


def _rounded(value: Any) -> Any:
    """The value with floats to nine digits, as in CSV cells; None for nan."""
    if isinstance(value, float):
        return float(f"{value:.9g}") if value == value else None
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value
