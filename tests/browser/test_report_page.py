"""The page of a run in Chromium, without network: everything on it is clicked, and what it then says is held to the CSVs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmark.report.advice import advice
from benchmark.report.html.contents.pairs import cells
from benchmark.report.html.contents.shown import shown
from benchmark.report.html.page import PAGE_FILE, write_page
from benchmark.results import Results
from core.decimals import p_words, signed
from core.records import softmax
from tests.benchmark.report.html.test_page import HOSTILE
from tests.made_folder import findings, write_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page
from tests.browser.opened import NARROW, WIDE, Open, cards, choose, text

pytestmark = pytest.mark.browser


def test_it_opens_within_its_size_and_leads_with_the_answer(page: Page, run: Results) -> None:
    assert (run.folder / PAGE_FILE).stat().st_size < 5_000_000
    assert run.answers[0][1:] in text(page, "header")
    assert page.title() == "3 models on digits test"


@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("b", "a"), ("a+b", "a"), ("b", "a+b")])
def test_a_pair_says_what_its_row_says(page: Page, run: Results, a: str, b: str) -> None:
    choose(page, a, b)
    table = run.pairs.set_index(["model_a", "model_b"])
    straight = (a, b) in table.index
    row = table.loc[(a, b) if straight else (b, a)]
    sign = 1 if straight else -1
    low, high = sorted(sign * row[end] for end in ("difference_ci95_low", "difference_ci95_high"))
    verdict = text(page, "#pair-verdict")
    points = [signed(100 * value, 2) for value in (sign * row["accuracy_difference"], low, high)]
    assert f"{points[0]} points (95 %: {points[1]} to {points[2]}), {p_words(row['holm_p'])}" in verdict
    if row["verdict"] in ("better", "worse"):
        expected = row["verdict"] if straight else {"better": "worse", "worse": "better"}[row["verdict"]]
        assert f"{a} is {expected} than {b}" in verdict
    else:
        assert row["verdict"] in verdict
    names = {"both_right": "both_right", "only_a_right": "only_a_right", "only_b_right": "only_b_right", "both_wrong": "both_wrong"}
    if not straight:
        names |= {"only_a_right": "only_b_right", "only_b_right": "only_a_right"}
    for cell, column in names.items():
        assert text(page, f"#mcnemar [data-cell={cell}]") == f"{row[column]:,}"


@pytest.mark.parametrize("cell", ["only_a_right", "only_b_right", "both_wrong", "both_right"])
def test_each_cell_opens_its_images(page: Page, run: Results, cell: str) -> None:
    choose(page, "a", "b")
    page.click(f"#mcnemar [data-cell={cell}]")
    seen = shown([run])
    a, b = (next(model for model in seen.models if model.name == name) for name in "ab")
    expected = cells(a, b)[cell]
    assert text(page, "#gallery-title").endswith(f"({len(expected):,})")
    assert page.evaluate("document.activeElement.id") == "gallery-title"
    found = cards(page)
    assert 0 < len(found) <= 24
    for index, card in zip(expected, found, strict=False):
        says = {name: run.predictions[name].logits[index] for name in "ab"}
        label = run.predictions["a"].labels[index]
        assert card.startswith(f"{seen.files[index]} {seen.class_names[label]} ")
        for name, who in (("a", "A"), ("b", "B")):
            top = int(says[name].argmax())
            sure = softmax(says[name][None]).max()
            said = re.search(rf"{who}: {'✓' if top == label else '✗'} {seen.class_names[top]} ([\d.]+) %", card)
            assert float(said.group(1)) == pytest.approx(100 * sure, abs=0.051)
    assert page.locator("#gallery-images img").count() == len(found)
    assert page.evaluate("[...document.querySelectorAll('#gallery-images img')].every((img) => img.decode && img.alt)")


@pytest.mark.parametrize("whose", ["a", "b", "difference"])
def test_confusions_are_those_of_the_csv_and_open_their_images(page: Page, run: Results, whose: str) -> None:
    choose(page, "a", "b")
    page.click(f"[data-whose={whose}]")
    counts = {name: rows["count"].to_numpy().reshape(10, 10) for name, rows in run.confusion.groupby("model")}
    expected = {"a": counts["a"], "b": counts["b"], "difference": counts["a"] - counts["b"]}[whose]
    shown_counts = [label.replace("·", "0").replace("−", "-") for label in page.locator("#confusion button").all_inner_texts()]
    np.testing.assert_array_equal(np.array([int(label) for label in shown_counts]).reshape(10, 10), expected)
    wrong = np.abs(expected - np.diag(np.diag(expected)))
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    page.click(f"[data-open='confusion:{i}:{j}']")
    names = run.class_names
    found = cards(page)
    assert found
    for card in found:
        assert re.match(rf"test/\d+ {names[i]} ", card)
        says = [f"{who}: ✗ {names[j]} " in card for who in "AB"]
        assert says[0] if whose == "a" else says[1] if whose == "b" else sum(says) == 1
    if whose != "difference":
        assert text(page, "#gallery-title").endswith(f"({expected[i, j]:,})")


def test_arrows_walk_through_the_confusions(page: Page) -> None:
    page.focus("[data-open='confusion:0:0']")
    for key, expected in (
        ("ArrowRight", "0:1"),
        ("ArrowDown", "1:1"),
        ("ArrowLeft", "1:0"),
        ("ArrowUp", "0:0"),
        ("ArrowUp", "0:0"),
    ):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.dataset.open") == f"confusion:{expected}"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "gallery-title"


def test_the_slider_reads_the_answer_again_at_each_place(page: Page, run: Results) -> None:
    places = run.comparison.dropna(subset=["latency_p50_ms"])
    for index, (size, rows) in enumerate(places.groupby("batch_size", sort=False)):
        page.select_option("#place", index=index)
        assert text(page, "#place option:checked").endswith(f"batch {size:.0f}")
        answers = set()
        for share in (0, 0.4, 0.7, 1):
            step = round(share * int(page.get_attribute("#limit", "max")))
            page.evaluate(
                "(step) => { const s = document.getElementById('limit'); s.value = step; s.dispatchEvent(new Event('input')); }",
                step,
            )
            limit = float(text(page, "#limit-shown").removesuffix(" ms"))
            options = {**run.run["options"], "at_batch": int(size), "max_latency_ms": limit}
            (expected,) = advice(Results(run.folder, {**run.run, "options": options}))
            said = text(page, "#limit-answer").removeprefix(f"At most {limit:g} ms: ")
            assert expected.sentence.endswith(said)
            answers.add(said)
        assert len(answers) > 1
        told = page.get_attribute("#front svg", "aria-label")
        for row in rows.to_dict("records"):
            assert f"{row['model']}: {100 * row['top1_accuracy']:.2f} %" in told
        ticks = page.locator("#processes svg .mark-rect.role-mark path").count()
        samples = run.latency_samples
        assert ticks == samples[samples["batch_size"] == size].groupby(["model", "process"]).ngroups


def test_swapping_turns_the_difference_round(page: Page) -> None:
    choose(page, "a", "b")
    before = re.search(r"([+-]?[\d.]+) points", text(page, "#pair-verdict")).group(1)
    page.click("#swap")
    after = re.search(r"([+-]?[\d.]+) points", text(page, "#pair-verdict")).group(1)
    assert float(after) == -float(before)
    assert page.locator("#a option:checked").inner_text() == "b"


def test_recalls_differ_as_in_the_csv(page: Page, run: Results) -> None:
    choose(page, "a", "b")
    recall = run.per_class.pivot(index="class_name", columns="model", values="recall")
    told = text(page, "#recall-about")
    for name, points in re.findall(r"(\d) \(([+-][\d.]+)\)", told):
        assert float(points) == pytest.approx(100 * (recall.loc[name, "a"] - recall.loc[name, "b"]), abs=0.006)
    assert "points" in told or "No class" in told
    assert page.locator("#recall svg .mark-symbol path").count() == 10


def test_what_a_model_answers_surely_is_what_the_csv_says(page: Page, run: Results) -> None:
    choose(page, "b", "a+b")
    told = text(page, "#selective-about")
    scores = run.comparison.drop_duplicates("model").set_index("model")
    for name in ("b", "a+b"):
        row = scores.loc[name]
        assert f"{name} answers {100 * row['coverage_at_1pct_error']:.1f} % of the images at ≤ 1 % error" in told
        found = re.search(rf"{re.escape(name)} answers [^(]*\(AURC ([\d.]+), AUGRC ([\d.]+)\)", told)
        assert [float(value) for value in found.groups()] == pytest.approx([row["aurc"], row["augrc"]], rel=5e-3)
    assert page.get_attribute("#reliability-b svg", "aria-label").startswith("Reliability of a+b")


def test_galleries_open_from_their_list(page: Page) -> None:
    options = page.locator("#gallery option").all_inner_texts()
    alike = next(option for option in options if option.startswith("All wrong alike"))
    page.select_option("#gallery", label=alike)
    assert text(page, "#gallery-title") == alike
    for card in cards(page):
        said = re.findall(r"[AB]: (✓|✗) (\d)", card)
        assert {sign for sign, _ in said} == {"✗"}


def test_tables_sort_both_ways(page: Page, run: Results) -> None:
    table = page.locator("table[data-file='comparison.csv']")
    column = table.locator("th", has_text=re.compile("^latency_p50_ms$"))
    index = column.evaluate("(header) => header.cellIndex")
    expected = run.comparison["latency_p50_ms"].dropna().sort_values()
    for direction, values in (("ascending", expected), ("descending", expected[::-1])):
        column.locator("button").click()
        assert column.get_attribute("aria-sort") == direction
        found = table.locator(f"tbody tr td:nth-child({index + 1})").evaluate_all(
            "(cells) => cells.map((cell) => cell.dataset.value)"
        )
        assert [float(value) for value in found if value] == values.tolist()
        assert found[-1] is None  # the oracle has no latency


def test_a_csv_is_saved_whole(page: Page, run: Results) -> None:
    for name in ("comparison.csv", "latency.csv"):
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        with page.expect_download() as started:
            page.click(f"a[download='{name}']")
        assert Path(started.value.path()).read_bytes() == (run.folder / name).read_bytes()


def test_an_address_brings_back_what_was_chosen(open_page: Open, run: Results) -> None:
    page = open_page(run.folder / PAGE_FILE)
    choose(page, "a+b", "b")
    page.click("#mcnemar [data-cell=both_wrong]")
    title, verdict, address = text(page, "#gallery-title"), text(page, "#pair-verdict"), page.evaluate("location.hash")
    again = open_page(run.folder / PAGE_FILE, address=address)
    assert (text(again, "#gallery-title"), text(again, "#pair-verdict")) == (title, verdict)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_axe_finds_nothing_serious(open_page: Open, run: Results, viewport: dict[str, int], scheme: str) -> None:
    folder = Path(pytest.importorskip("axe_playwright_python").__file__).parent
    page = open_page(run.folder / PAGE_FILE, viewport, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.evaluate((folder / "axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((results) => results.violations)")
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []


def test_a_narrow_page_does_not_scroll_sideways(open_page: Open, run: Results) -> None:
    page = open_page(run.folder / PAGE_FILE, NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_names_that_are_markup_are_shown_and_execute_nothing(open_page: Open, tmp_path: Path) -> None:
    models = ("<img src=x onerror=alert(4)>", "a'b\"c & <b>")
    run = write_folder(tmp_path, findings(models, HOSTILE, [f"{HOSTILE[index % 10]}/{index}.png" for index in range(1000)]))
    page = open_page(run.folder / PAGE_FILE, NARROW)
    choose(page, *models)
    assert models[0] in text(page, "#pair-verdict")
    for cell in ("only_a_right", "both_right"):
        page.click(f"#mcnemar [data-cell={cell}]")
    assert HOSTILE[0] in page.locator("#confusion th").all_text_contents()
    page.hover("#front svg .mark-symbol path")
    assert page.evaluate("document.querySelectorAll('script').length") == 4
    assert page.evaluate("document.querySelectorAll('main img:not([src^=\"data:image/webp\"])').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_two_runs_can_be_paired(open_page: Open, tmp_path: Path) -> None:
    names = {"x": ("m", "n"), "y": ("m", "k")}
    runs = [write_folder(tmp_path / name, findings(models), page=False) for name, models in names.items()]
    page = open_page(write_page(runs, tmp_path / "both.html"))
    options = page.locator("#a option").all_inner_texts()
    choose(page, options[0], options[3])
    assert "models of two runs" in text(page, "#pair-verdict")
    assert page.locator("#changes table tbody tr").count() > 0


def test_vega_is_what_its_package_makes() -> None:
    """`page/vega.js` is the bundle of the locked vl-convert-python, which takes 20 s to make: it is known by its hash."""
    pytest.importorskip("vl_convert")
    from benchmark.report.html import page as pages

    head, bundle = (Path(pages.__file__).parent / "page" / "vega.js").read_text(encoding="utf-8").split("\n", 1)
    assert f"made by vl-convert-python {importlib.metadata.version('vl-convert-python')};" in head
    assert hashlib.sha256(bundle.encode()).hexdigest() == "3425bd951a44d478d0505c6b5d1e8d57656b6e9a4da7bfe88a718ce61d76e572"
