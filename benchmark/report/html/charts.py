"""The charts of a page as Vega-Lite specifications without data: the page fills them whenever another model or place is chosen.

Colours are those of the page's style sheet, so that they follow light, dark and print: model A, model B, and all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.report.html.contents.confidence import BEFORE

if TYPE_CHECKING:
    import altair

ROLES = ("A", "B", "other")
COLOURS = ("var(--a)", "var(--b)", "var(--other)")
INK = "currentColor"
FONT = "system-ui, Segoe UI, Roboto, Noto Sans, sans-serif"  # Vega measures text with it, so it cannot be "inherit"
ROW_HEIGHT = "row_height"  # in `usermeta`: pixels per name on the y axis, by which the chart grows


def chart_specifications() -> dict[str, dict[str, Any]]:
    """A specification per chart by the id of its place in the page; each reads the data set `rows`, `front` also `limit`."""
    charts = {
        "front": _front(),
        "recall": _recall(),
        "reliability-a": _reliability("var(--a)"),
        "reliability-b": _reliability("var(--b)"),
        "selective": _selective(),
        "processes": _processes(),
        "batches": _batches(),
    }
    return {name: _finished(chart) for name, chart in charts.items()}


def _finished(chart: Any) -> dict[str, Any]:
    specification: dict[str, Any] = chart.to_dict()
    specification["config"] = {
        "background": None,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": INK,
            "titleColor": INK,
            "tickColor": INK,
            "domainColor": INK,
            "gridColor": INK,
            "gridOpacity": 0.12,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "text": {"fill": INK, "fontSize": 12},
        "rule": {"stroke": INK},
        "line": {"stroke": INK},
    }
    specification["autosize"] = {"type": "fit-x", "contains": "padding"}
    return specification


def _rows(name: str = "rows") -> altair.Chart:
    import altair as alt

    return alt.Chart(alt.NamedData(name=name))


def _role() -> altair.Color:
    import altair as alt

    return alt.Color("role:N", scale=alt.Scale(domain=list(ROLES), range=list(COLOURS)), legend=None)


def _front() -> altair.LayerChart | altair.FacetChart:
    import altair as alt

    x = alt.X("p50_ms:Q", title="p50, ms per batch", scale=alt.Scale(zero=True, nice=True), axis=alt.Axis(tickCount=8))
    y = alt.Y("accuracy:Q", title="top-1 accuracy, %", scale=alt.Scale(zero=False, padding=12))
    tooltips = [alt.Tooltip("model:N"), alt.Tooltip("told:N", title="accuracy (95 %)"), alt.Tooltip("timed:N", title="p50 (95 %)")]
    tooltips.append(alt.Tooltip("size:N", title="size"))
    base = _rows()
    dimmed = alt.condition("datum.within", alt.value(1), alt.value(0.35))
    across = base.mark_rule(strokeWidth=1.5).encode(x=alt.X("p50_low_ms:Q"), x2="p50_high_ms:Q", y=y, color=_role(), opacity=dimmed)
    along = base.mark_rule(strokeWidth=1.5).encode(
        x=x, y=alt.Y("accuracy_low:Q"), y2="accuracy_high:Q", color=_role(), opacity=dimmed
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=["single", "ensemble"], range=["circle", "square"]), legend=None)
    points = base.mark_point(size=130, filled=True).encode(x=x, y=y, color=_role(), shape=shape, opacity=dimmed, tooltip=tooltips)
    names = base.mark_text(
        dy=alt.ExprRef("datum.dy"),
        limit=210,
        align=alt.ExprRef("datum.at_right ? 'right' : 'left'"),
        dx=alt.ExprRef("datum.at_right ? -6 : 6"),
    ).encode(x=x, y=y, text="model:N", opacity=dimmed)
    limit = _rows("limit").mark_rule(strokeDash=[5, 4]).encode(x="limit_ms:Q")
    return alt.layer(limit, across, along, points, names).properties(width="container", height=320)


def _recall() -> altair.LayerChart | altair.FacetChart:
    import altair as alt

    y = alt.Y("class:N", sort=None, title=None, axis=alt.Axis(labelLimit=150))
    x = alt.X("difference:Q", title="recall of A minus recall of B, points", axis=alt.Axis(tickCount=8))
    colour = alt.Color(
        "verdict:N",
        scale=alt.Scale(domain=["A better", "B better", "no credible difference"], range=list(COLOURS)),
        legend=None,
    )
    tooltips = [
        alt.Tooltip("class:N"),
        alt.Tooltip("told:N", title="difference (95 %)"),
        alt.Tooltip("recalls:N", title="recall A, B"),
    ]
    tooltips += [alt.Tooltip("p:N", title="corrected p"), alt.Tooltip("images:Q")]
    nothing = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(strokeDash=[3, 3]).encode(x="zero:Q")
    across = _rows().mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=colour)
    points = _rows().mark_point(size=80, filled=True).encode(x=x, y=y, color=colour, tooltip=tooltips)
    return alt.layer(nothing, across, points).properties(width="container", usermeta={ROW_HEIGHT: 20})


def _reliability(colour: str) -> altair.LayerChart | altair.FacetChart:
    import altair as alt

    ends = alt.Scale(domain=[0, 100])
    x = alt.X("confidence:Q", title="mean probability of what it says, %", scale=ends)
    y = alt.Y("right:Q", title="right, %", scale=ends)
    tooltips = [
        alt.Tooltip("state:N"),
        alt.Tooltip("told:N", title="right (95 %)"),
        alt.Tooltip("said:N", title="mean probability"),
    ]
    tooltips.append(alt.Tooltip("images:Q"))
    shape = alt.Shape("state:N", title=None, legend=alt.Legend(orient="bottom", labelColor=INK, symbolStrokeColor=INK))
    diagonal = alt.Chart(alt.InlineData(values=[{"x": 0, "y": 0}, {"x": 100, "y": 100}])).mark_line(
        strokeDash=[3, 3], strokeWidth=1
    )
    diagonal = diagonal.encode(x="x:Q", y="y:Q")
    faded = alt.condition(f"datum.state === '{BEFORE}'", alt.value(1), alt.value(0.5))
    along = _rows().mark_rule(stroke=colour, strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", opacity=faded)
    points = (
        _rows().mark_point(size=60, stroke=colour, strokeWidth=2).encode(x=x, y=y, shape=shape, opacity=faded, tooltip=tooltips)
    )
    return alt.layer(diagonal, along, points).properties(width="container", height=300)


def _selective() -> altair.LayerChart | altair.FacetChart:
    import altair as alt

    x = alt.X(
        "coverage:Q",
        title="answered, % of the images, the surest first",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(tickCount=10),
    )
    y = alt.Y("error:Q", title="wrong, % of the answers")
    allowed = alt.Chart(alt.InlineData(values=[{"y": 1}])).mark_rule(strokeDash=[5, 4]).encode(y="y:Q")
    width = alt.condition("datum.role === 'other'", alt.value(1), alt.value(2.5))
    lines = (
        _rows()
        .mark_line(interpolate="step-before", clip=True)
        .encode(x=x, y=y, color=_role(), detail="model:N", strokeWidth=width, tooltip=["model:N"])
    )
    return alt.layer(allowed, lines).properties(width="container", height=300)


def _processes() -> altair.Chart:
    import altair as alt

    chart: altair.Chart = (
        _rows()
        .mark_tick(thickness=2, height=16)
        .encode(
            x=alt.X(
                "p50_ms:Q",
                title="p50 of each process, ms per batch",
                scale=alt.Scale(zero=False, padding=10),
                axis=alt.Axis(tickCount=6),
            ),
            y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelLimit=150)),
            color=_role(),
            tooltip=["model:N", alt.Tooltip("p50_ms:Q", format=".4g"), "round:Q"],
        )
        .properties(width="container", usermeta={ROW_HEIGHT: 28})
    )
    return chart


def _batches() -> altair.LayerChart | altair.FacetChart:
    import altair as alt

    x = alt.X("batch_size:Q", title="images per batch", scale=alt.Scale(type="log", base=2, padding=12), axis=alt.Axis(format="d"))
    y = alt.Y("per_image_ms:Q", title="p50, ms per image", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=5))
    tooltips = ["model:N", alt.Tooltip("batch_size:Q"), alt.Tooltip("timed:N", title="p50 per batch")]
    lines = _rows().mark_line(strokeWidth=1.5).encode(x=x, y=y, color=_role(), detail="model:N")
    along = _rows().mark_rule().encode(x=x, y=alt.Y("low_ms:Q"), y2="high_ms:Q", color=_role())
    points = _rows().mark_point(filled=True, size=80).encode(x=x, y=y, color=_role(), tooltip=tooltips)
    return alt.layer(lines, along, points).properties(width="container", height=260)
