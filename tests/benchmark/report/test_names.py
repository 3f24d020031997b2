"""Letters for long names: which, in which order, and when."""

from pathlib import Path

from rich.table import Table

from benchmark.report.names import Names, fitting, letters, short_names
from benchmark.results import Results


def run(*singles: str, **ensembles: tuple[str, str]) -> Results:
    """A run of these single models; of ensembles of the first two, by the rule and under the name given."""
    made = [{"name": name, "members": list(singles[:2]), "rule": rule} for rule, name in ensembles.values()]
    return Results(Path("none"), {"models": [{"name": name} for name in singles], "ensembles": made})


def test_letters_go_on_after_z_and_rules_stay() -> None:
    assert letters(28)[-3:] == ["Z", "AA", "AB"]
    names = short_names(run("x", "y", e=("weighted", "x+y (greedy)"), f=("mean", "x+y")))
    assert names.of("x+y (greedy)") == "A+B (weighted)"
    assert names.of("x+y") == "A+B"
    assert names.of("y+x") == "B+A"
    assert names.of("something else") == "something else"
    assert names.legend() == ["A = x", "B = y"]


def test_two_runs_share_their_letters() -> None:
    assert short_names(run("x", "y"), run("y", "z")).legend() == ["A = x", "B = y", "C = z"]


def of_width(shown: Names, *names: str, besides: int) -> list[list[Table]]:
    return [[Table("".join(shown.of(name) for name in names) + "x" * besides)]]


def test_letters_are_taken_where_they_make_a_table_fit_and_only_there(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    long, short = run("n" * 40, "m" * 40), run("abcd", "efgh")
    for one, besides, lettered in ((long, 10, True), (short, 60, False)):
        shown, _ = fitting(lambda names, one=one, besides=besides: of_width(names, *one.singles, besides=besides), one)
        assert bool(shown.legend()) is lettered
    shown, _ = fitting(lambda names: of_width(names, "abcd", besides=10), short)
    assert shown.legend() == []
