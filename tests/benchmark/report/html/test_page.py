"""A page holds what the CSVs hold, names are text in it, and it is made again from the folder alone."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from benchmark.report.html.command import main
from benchmark.report.html.contents.pictures import NAMES_FILE, PICTURES_FILE
from benchmark.report.html.page import PAGE_FILE, page, write_page
from benchmark.results import Results, read_results
from core.errors import UserError
from tests.made_folder import findings, write_folder

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "<!--",
    "{{ 7*7 }}",
    "\N{PILE OF POO}\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "עברית",
    "]]>",
    "\\u003cscript\\u003e",
    "&lt;b&gt;",
)


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.scripts += [""] if tag == "script" else []

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data


def data_of(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found.group(1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return write_folder(tmp_path_factory.mktemp("runs"))


def test_a_stored_run_without_an_answer_is_said_to_be_of_an_earlier_version_and_no_latency_is_denied(run: Results) -> None:
    older = Results(run.folder, {name: value for name, value in run.run.items() if name != "answers"})
    text = page([older])
    assert "No answer is stored with this run" in text
    assert "not measured" not in text.partition("<main")[0]
    assert "No answer" not in page([run])


def test_the_page_of_a_run_is_made_again_from_its_folder(run: Results) -> None:
    assert page([run]) == (run.folder / PAGE_FILE).read_text(encoding="utf-8")
    assert (run.folder / PAGE_FILE).stat().st_size < 5_000_000


def test_figures_are_those_of_the_csvs(run: Results) -> None:
    data = data_of(page([run]))
    names = [model["name"] for model in data["models"]]
    table = run.pairs.set_index(["model_a", "model_b"])
    assert len(data["pairs"]) == len(table)
    for pair in data["pairs"]:
        row = table.loc[names[pair["a"]], names[pair["b"]]]
        assert pair["difference"] == pytest.approx(row["accuracy_difference"], abs=1e-8)
        assert (pair["low"], pair["high"]) == pytest.approx((row["difference_ci95_low"], row["difference_ci95_high"]))
    for place in data["places"]:
        rows = run.comparison[run.comparison["batch_size"] == place["batch_size"]].set_index("model")
        for point in place["points"]:
            assert point["p50_ms"] == rows.loc[point["model"], "latency_p50_ms"]
            assert point["accuracy"] == rows.loc[point["model"], "top1_accuracy"]
    scores = run.comparison.drop_duplicates("model").set_index("model")
    for model in data["models"]:
        for column in ("aurc", "augrc", "coverage_at_1pct_error"):
            assert model["selective"][column] == pytest.approx(scores.loc[model["name"], column], rel=1e-7)


def test_a_csv_is_saved_as_it_is(run: Results) -> None:
    links = [values for tag, values in Elements(page([run])).tags if tag == "a" and "download" in values]
    assert {link["download"] for link in links} >= {"comparison.csv", "pairs.csv", "per_class.csv", "latency.csv", "confusion.csv"}
    for link in links:
        saved = base64.b64decode(link["href"].removeprefix("data:text/csv;charset=utf-8;base64,"))
        assert saved == (run.folder / link["download"]).read_bytes()


def test_names_are_text_and_never_markup(tmp_path) -> None:
    models = ("<img src=x onerror=alert(4)>", "a'b\"c & <b>")
    files = [f"{HOSTILE[index % 10]}/{index}.png" for index in range(1000)]
    hostile = page([write_folder(tmp_path / "hostile", findings(models, HOSTILE, files))])
    plain = page([write_folder(tmp_path / "plain", findings(("one", "two"), files=[f"{index}.png" for index in range(1000)]))])
    one, other = Elements(hostile), Elements(plain)
    assert [tag for tag, _ in one.tags] == [tag for tag, _ in other.tags]
    assert not any(name.startswith("on") for _, values in one.tags for name in values)
    assert len(one.scripts) == 4
    data = data_of(hostile)
    assert tuple(data["classes"]) == HOSTILE
    assert data["models"][0]["name"] == models[0]
    assert data["images"][0]["name"] in files


def test_nothing_is_asked_of_a_network(run: Results) -> None:
    found = Elements(page([run])).tags
    addresses = [value for tag, values in found for name, value in values.items() if name in ("src", "href", "srcset", "action")]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    (policy,) = (values["content"] for tag, values in found if values.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_a_run_without_pictures_or_names_says_so(tmp_path) -> None:
    old = write_folder(tmp_path, page=False)
    assert not (old.folder / PICTURES_FILE).exists()
    text = page([old])
    assert "made before pictures were kept" in text
    assert not any(image["picture"] for image in data_of(text)["images"])


def test_names_of_files_and_pictures_are_kept_in_the_folder(tmp_path) -> None:
    files = [f"c{index % 10}/{index}.png" for index in range(1000)]
    run = write_folder(tmp_path, findings(files=files))
    assert (run.folder / NAMES_FILE).is_file()
    images = data_of(page([run]))["images"]
    assert all(image["picture"] for image in images)
    assert {image["name"] for image in images} <= set(files)


def test_two_runs_stand_beside_each_other(tmp_path, capsys) -> None:
    old, new = (write_folder(tmp_path / name, findings(models)) for name, models in (("old", ("m", "n")), ("new", ("m", "k"))))
    assert main([str(old.folder), str(new.folder), "--out", str(tmp_path / "both.html")]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'both.html'}\n"
    text = (tmp_path / "both.html").read_text(encoding="utf-8")
    data = data_of(text)
    assert len({model["name"] for model in data["models"]}) == 6
    assert len(data["pairs"]) == 15
    assert len(data["places"]) == 4
    assert "What changed" in text


def test_runs_on_other_images_are_refused(tmp_path) -> None:
    one = write_folder(tmp_path / "one", page=False)
    other = Results(one.folder, {**one.run, "dataset": {**one.run["dataset"], "sha256": "f" * 64}})
    with pytest.raises(UserError, match="predicted other images"):
        page([one, other])


def test_a_page_of_two_runs_needs_a_place(tmp_path) -> None:
    with pytest.raises(UserError, match="--out FILE"):
        main([str(tmp_path / "a"), str(tmp_path / "b")])


def test_a_run_without_latency_has_no_speed_section(tmp_path) -> None:
    found = findings()
    found.latencies, found.latency_pairs, found.latency_run = [], [], None
    text = page([write_folder(tmp_path, found)])
    assert 'id="speed"' not in text
    assert "Answer, on accuracy alone, as no latency was measured: deploy" in text
    assert data_of(text)["places"] == []


def test_a_run_whose_folder_has_no_utf_8_name_has_a_page(tmp_path) -> None:
    made = write_folder(tmp_path / "runs").folder
    odd = made.rename(tmp_path / "rr\udcff")
    assert "rr�" in write_page([read_results(odd)], tmp_path / PAGE_FILE).read_text(encoding="utf-8")
