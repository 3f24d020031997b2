"""Pictures drawn without a screen and without matplotlib's global state; the confusion heat map that two packages share."""

from __future__ import annotations

import logging
import textwrap
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from core.records import Int64Array

DPI = 150
MOST_ANNOTATED_CLASSES = 20  # counts in smaller cells cannot be read
MOST_NAMED_CLASSES = 50  # nor can names of thinner rows
FONT = "DejaVu Sans"  # matplotlib brings it: Latin, Greek, Cyrillic and more
# It has a placeholder for every character: boxes again.
_NO_FONT = ("Last Resort",)
_LETTERS_PER_INCH = 10.5  # of a title, on average


def new_figure(width_in: float = 7.0, height_in: float = 4.5) -> tuple[Figure, Axes]:
    """A figure of that size in inches and its one pair of axes; made without pyplot, so it needs no screen and no closing."""
    # Where $HOME cannot be written, and while fonts are indexed, matplotlib warns, which users need not see.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG; the same figure gives the same bytes, so nothing in the file names a version or a time.

    Every text is drawn verbatim (a dollar sign starts no formula), in fonts of this machine that have its characters
    (see `unprintable`); the picture grows if a text would be cut.
    """
    _as_it_stands(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about glyphs that no font has, which `unprintable` reports
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.1)


def wrapped(title: str, width_in: float) -> str:
    """A title broken into lines that fit a figure of that width; its own line breaks stay."""
    letters = int(width_in * _LETTERS_PER_INCH)
    return "\n".join(textwrap.fill(line, letters, break_on_hyphens=False) for line in title.splitlines())


def unprintable(texts: Iterable[str]) -> str:
    """The characters of `texts` that no font of this machine has, each once, in order; boxes stand for them in pictures."""
    return "".join(dict.fromkeys(sign for text in texts for sign in text if not sign.isspace() and _font_with(ord(sign)) is None))


def missing_fonts_note(texts: Iterable[str]) -> list[str]:
    """A line if a picture with `texts` shows boxes in place of characters."""
    signs = unprintable(texts)
    if not signs:
        return []
    some = signs[:8] + ("…" if len(signs) > 8 else "")
    return [f"no font here has {some}: boxes stand for them in plots; install one that does, such as Noto Sans CJK, and run again"]


def font_file(text: str) -> Path:
    """The font file of this machine that has most characters of `text`: DejaVu Sans unless another has more of them."""
    fonts = [font for font in (_font_with(ord(sign)) for sign in text if not sign.isspace()) if font is not None]
    other = [font for font in fonts if font != _default_font()]
    return Path(max(other, key=other.count)[1] if other else _default_font()[1])


def _as_it_stands(figure: Figure) -> None:
    """Switch formulas off, and choose fonts, for every text of `figure`."""
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.get_xticklabels(), axes.get_yticklabels()  # tick labels are made when asked for
    for text in figure.findobj(Text):
        shown = text.get_text()
        if "\\mathdefault" not in shown:  # in this form a logarithmic axis writes its powers of ten
            text.set_parse_math(False)
        families = [font[0] for sign in shown if (font := _font_with(ord(sign))) is not None and font != _default_font()]
        if families:
            text.set_fontfamily([FONT, *dict.fromkeys(families)])


Font = tuple[str, str]  # family and file


@cache
def _default_font() -> Font:
    from matplotlib.font_manager import findfont

    return FONT, str(findfont(FONT))


@cache
def _font_with(character: int) -> Font | None:
    """The first font, DejaVu Sans before all others, that has a character; None if no font has."""
    return next((font for font in _fonts() if character in _characters(font[1])), None)


@cache
def _fonts() -> tuple[Font, ...]:
    """Upright fonts of usual weight, DejaVu Sans first, sans-serif before others, then by name; one file per family."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.font_manager import fontManager

    fonts = {
        entry.name: entry.fname
        for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.name, entry.fname))
        if entry.style == "normal"
        and str(entry.weight) in ("400", "normal", "regular", "book")
        and not entry.name.startswith(_NO_FONT)
    }
    by_taste = sorted((font for font in fonts.items() if font[0] != FONT), key=lambda font: ("sans" not in font[0].lower(), font))
    return (_default_font(), *by_taste)


@cache
def _characters(file: str) -> frozenset[int]:
    """Code points that a font file draws; none for a file that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def confusion_heatmap(path: Path, confusion: Int64Array, class_names: tuple[str, ...], title: str) -> None:
    """Draw counts (rows true, columns predicted), coloured by the share of the row, that is by recall on the diagonal.

    confusion: (n_classes, n_classes). Counts stand in the cells of up to 20 classes; of more than 50 classes,
    at most 50 evenly spaced ones are named. A class without images has an empty row.
    """
    n_classes = len(class_names)
    if confusion.shape != (n_classes, n_classes):
        raise ValueError(f"confusion must be ({n_classes}, {n_classes}) for {n_classes} classes, not {confusion.shape}")
    n_true = confusion.sum(axis=1, keepdims=True)
    percent = np.divide(100 * confusion, n_true, out=np.zeros(confusion.shape), where=n_true > 0)
    side_in = min(max(4.5, 1.8 + 0.55 * n_classes), 12.0)
    figure, axes = new_figure(side_in + 1.2, side_in)
    image = axes.imshow(percent, cmap="Blues", vmin=0.0, vmax=100.0, interpolation="nearest")
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format="%.0f %%", label="colour: % of the true class's images")
    _name_classes(axes, class_names)
    annotated = n_classes <= MOST_ANNOTATED_CLASSES
    if annotated:
        for row, column in np.argwhere(confusion > 0):
            color = "white" if percent[row, column] > 55 else "black"
            count = str(confusion[row, column])
            axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8 if len(count) < 6 else 6)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(wrapped(f"{title}\nnumbers: images" if annotated else title, side_in), fontsize=11)
    save_figure(figure, path)


def _name_classes(axes: Axes, class_names: tuple[str, ...]) -> None:
    step = -(-len(class_names) // MOST_NAMED_CLASSES)
    ticks = list(range(0, len(class_names), step))
    labels = [shortened(class_names[tick]) for tick in ticks]
    size = 9 if len(ticks) <= MOST_ANNOTATED_CLASSES else 6
    longest = max(map(len, labels))
    crowded = longest > 6 or (len(ticks) > 6 and longest > 2)
    axes.set_xticks(ticks, labels, rotation=90 if crowded else 0, fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)


def shortened(name: str, limit: int = 24) -> str:
    """`name`, its middle replaced by an ellipsis if it is longer than `limit`: beginnings and ends tell names apart."""
    if len(name) <= limit:
        return name
    end = (limit - 1) // 3
    return f"{name[: limit - 1 - end]}…{name[-end:]}"
