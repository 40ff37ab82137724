"""The commands on statements: verify, list, show, status, open, impact, errata, mutants."""

import json
import shutil
from typing import get_args

import pytest

from papers import collection
from papers.collection import Paper
from papers.commands import console
from papers.commands.listing import GradeName, VerdictName
from papers.ledger import Fault, Grade, Verdict
from tests.papers import toy_paper
from tests.papers.toy_paper import corrected, one
from tests.papers.toys import CRASH, toy, unchecked

COMMANDS = ("verify", "list", "status", "errata")
FAILING = (one("good"), one("bad", printed=2.0))


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    papers = (Paper("toy", "Toys", "nobody", "tests.papers.toy_paper"),)
    monkeypatch.setattr(collection, "_OURS", papers)
    monkeypatch.setattr(collection, "entry_points", lambda group: [])


@pytest.fixture
def holding(monkeypatch, tmp_path):
    """Let the paper hold these statements, and the store nothing: no source has changed."""

    def hold(*statements) -> None:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        monkeypatch.setattr(toy_paper, "STATEMENTS", statements)

    return hold


def data_of(done, code: int = 0):
    assert (done.code, done.err) == (code, "")
    return json.loads(done.out)


def ids(data) -> list[str]:
    return [entry["id"].removeprefix("toy/") for entry in data]


# verify

VERDICTS = {
    "holds": (0, (toy(),)),
    "corrected": (0, (toy(printed=2, corrected=1),)),
    "open": (0, (toy(), unchecked())),
    "fails": (1, (toy("good"), toy("bad", printed=2))),
    "idle": (1, (toy(corrected=1),)),
    "mutant lives": (1, (toy(mutants=(1,)),)),
    "mutant crashes": (1, (toy(mutants=(2, CRASH)),)),
    "crashed": (1, (toy(printed=CRASH), toy("good"))),
}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("name", VERDICTS)
def test_verify_exits_with_1_if_anything_is_wrong(holding, iclproof, name, as_json):
    code, statements = VERDICTS[name]
    holding(*statements)
    call = ("verify", "--jobs", 1, *(["--json"] if as_json else []))
    for _ in range(2):  # as checked, and as stored
        done = iclproof(*call)
        assert (done.code, done.err) == (code, "")
        if as_json:
            data = json.loads(done.out)
            assert data["passes"] is (code == 0)
            assert [s["id"] for s in data["statements"]] == [s.id for s in statements]
        else:
            assert ("FAILED" in done.out) == (code == 1)
            assert all(statement.id in done.out for statement in statements)


def test_verify_checks_what_nothing_is_stored_for(iclproof, monkeypatch, tmp_path):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))

    def ran() -> int:
        before = len((tmp_path / "log").read_text()) if (tmp_path / "log").exists() else 0
        assert iclproof("verify", *call).code == 0
        return len((tmp_path / "log").read_text()) - before

    call = ("--jobs", 1)
    first = ran()
    assert first > 0
    assert ran() == 0
    call = ("--jobs", 1, "--seed", 4)
    assert ran() == first
    call = ("--jobs", 1, "--no-cache")
    assert ran() == ran() == first
    call = ("--tier", "full", "toy/lemma-1")
    assert 0 < ran() < first
    assert ran() == 0


def test_verify_says_what_is_damaged_on_standard_error(iclproof, tmp_path):
    assert iclproof("verify", "--jobs", 1).code == 0
    for entry in (tmp_path / "store" / "verdicts").glob("*/entry.json"):
        entry.write_text("{}")
    done = iclproof("verify", "--jobs", 1, "--json")
    assert done.code == 0
    assert done.err.count("it was taken away, and made anew") == 6
    assert json.loads(done.out)["passes"]


def test_tier_and_seed_are_told(iclproof):
    call = ("verify", "toy/lemma-1", "--tier", "full", "--seed", 3, "--json")
    data = data_of(iclproof(*call))
    assert (data["tier"], data["seed"]) == ("full", 3)


def test_progress_is_shown_on_a_terminal_only(iclproof, monkeypatch):
    told = []

    class Terminal(console.Progress):
        def update(self, *arguments, **options):
            told.append(options["completed"])

    monkeypatch.setattr(console, "Progress", Terminal)
    assert iclproof("verify", "--jobs", 1).err == ""
    assert told == [1, 2, 3, 4, 5, 6]


# list, open, status


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["lemma-1", "lemma-2", "theorem-1", "corollary-1", "ours", "conjecture"]),
        (("--grade", "proved"), ["lemma-1"]),
        (("--grade", "certified"), ["theorem-1"]),
        (("--verdict", "corrected"), ["lemma-2", "corollary-1"]),
        (("--verdict", "beyond"), ["ours"]),
        (("--verdict", "open"), ["conjecture"]),
        (("--verdict", "corrected", "--grade", "proved"), []),
        (("--paper", "toy", "--verdict", "holds"), ["lemma-1", "theorem-1"]),
    ],
)
def test_list_chooses_by_grade_and_verdict(iclproof, options, expected):
    call = ("list", "--jobs", 1, *options)
    assert ids(data_of(iclproof(*call, "--json"))["statements"]) == expected
    shown = iclproof(*call)
    assert (shown.code, shown.err) == (0, "")
    assert f"{len(expected)} of 6 statements" in shown.out
    assert all(f"toy/{name} " in shown.out for name in expected)


def test_open_tells_why_and_checks_nothing(iclproof, monkeypatch, tmp_path, holding):
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    (left,) = data_of(iclproof("open", "--json"))["open"]
    assert left == {
        "id": "toy/conjecture",
        "title": "A conjecture",
        "source": "Section 9",
        "reason": "nobody knows",
    }
    shown = iclproof("open").out
    assert "nobody knows" in shown
    assert "1 of 6 statements are open" in shown
    assert not (tmp_path / "log").exists()
    holding(one("a"))
    assert iclproof("open").out == "0 of 1 statements are open\n"


def test_status_counts_by_verdict_and_grade(iclproof):
    data = data_of(iclproof("status", "--jobs", 1, "--json"))
    assert data["papers"] == {"toy": data["all"]}
    assert data["all"] == {
        "statements": 6,
        "checked": 5,
        "passes": True,
        "verdicts": {
            "holds as printed": 2,
            "refuted as printed, holds as corrected": 2,
            "holds (beyond the paper)": 1,
            "open": 1,
        },
        "grades": {"proved": 1, "confirmed": 3, "certified": 1},
        "mutants": {"killed": 10, "all": 10},
    }
    shown = iclproof("status").out
    assert "10 of 10 mutants killed" in shown
    assert "crashed" not in shown


# show, mutants


def test_show_tells_all_of_a_statement(iclproof):
    data = data_of(iclproof("show", "toy/lemma-2", "--json"))
    assert data["latex"] == "x = 5"
    assert data["hypotheses"] == ["x is a number"]
    assert data["verdict"] == "refuted as printed, holds as corrected"
    assert data["evidence"]["as printed"]["counterexample"] == "x = 5.0, not 1"
    assert data["correction"] == {
        "text": "1 for 5 (SLIP)",
        "fault": "typing slip",
        "latex": "x = 1",
    }
    assert (data["depends_on"], data["used_by"]) == (["toy/lemma-1"], ["toy/theorem-1"])
    assert data["file"].endswith("toy_paper.py")
    assert data["proof"] == "Compare with 1."
    shown = iclproof("show", "toy/lemma-2")
    assert (shown.code, shown.err) == (0, "")
    for told in (
        "Title of lemma-2\nSection 7\n",
        "statement, as printed\nx = 5\n\nstatement, as corrected\nx = 1\n",
        "hypotheses\nx is a number\n",
        "does not hold: x = 5.0, not 1\n",
        "1 for 5 (SLIP) (typing slip)\n",
        "confirmed: deterministic numerics",
        "measured: 0, limit 0.001\n",
        "killed: 1 % more: x = 1.01, not 1\n",
        "stands on\ntoy/lemma-1\n",
        "on it stand\ntoy/theorem-1\n",
        f"toy_paper.py:{data['line']}\n",
    ):
        assert told in shown.out


def test_show_tells_why_a_statement_is_open(iclproof):
    shown = iclproof("show", "toy/conjecture")
    assert shown.code == 0
    assert "why it is open\nnobody knows\n" in shown.out
    assert "mutants" not in shown.out
    assert data_of(iclproof("show", "toy/conjecture", "--json"))["reading"] == "open"


def test_mutants_tells_why_each_was_killed_and_which_one_lives(iclproof, holding):
    data = data_of(iclproof("mutants", "toy/lemma-1", "--json"))
    assert data["mutants"] == [
        {"name": "two", "killed": True, "reason": "x = 2.0, not 1"},
        {"name": "1 % more", "killed": True, "reason": "x = 1.01, not 1"},
    ]
    assert "2 of 2 killed; holds as printed" in iclproof("mutants", "toy/lemma-1").out
    holding(one("weak", mutants={"two": 2.0, "same": 1.0}))
    assert not data_of(iclproof("mutants", "toy/weak", "--json"), code=1)["passes"]
    shown = iclproof("mutants", "toy/weak")
    assert shown.code == 1
    assert "LIVES" in shown.out
    assert "the check accepts it" in shown.out
    assert "LIVES: same: the check accepts it" in iclproof("show", "toy/weak").out


# impact


def test_impact_is_what_stands_on_a_statement(iclproof):
    data = data_of(iclproof("impact", "toy/lemma-1", "--jobs", 1, "--json"))
    assert (data["id"], data["verdict"]) == ("toy/lemma-1", "holds as printed")
    found = {entry["id"][4:]: (entry["steps"], entry["through"]) for entry in data["impact"]}
    assert found == {
        "lemma-2": (1, ["toy/lemma-1"]),
        "theorem-1": (1, ["toy/lemma-1", "toy/lemma-2"]),
        "ours": (1, ["toy/lemma-1"]),
        "corollary-1": (2, ["toy/theorem-1"]),
    }
    shown = iclproof("impact", "toy/lemma-1").out
    assert shown.splitlines() == [
        "toy/lemma-1: holds as printed",
        "├── toy/lemma-2: refuted as printed, holds as corrected",
        "│   └── toy/theorem-1: holds as printed",
        "│       └── toy/corollary-1: refuted as printed, holds as corrected",
        "├── toy/theorem-1: holds as printed (unfolded above)",
        "└── toy/ours: holds (beyond the paper)",
        "4 of 6 statements stand on toy/lemma-1",
    ]
    assert data_of(iclproof("impact", "toy/conjecture", "--json"))["impact"] == []


def test_impact_ends_where_statements_stand_on_each_other(iclproof, holding):
    holding(one("a", "c"), one("b", "a"), one("c", "b", "nowhere"))
    data = data_of(iclproof("impact", "toy/a", "--jobs", 1, "--json"))
    assert ids(data["impact"]) == ["b", "c"]
    assert "toy/a: holds as printed (unfolded above)" in iclproof("impact", "toy/a").out


# errata


def test_errata_come_by_weight_with_slips_last(iclproof):
    data = data_of(iclproof("errata", "--jobs", 1, "--json"))
    assert data["passes"]
    false, slip = data["errata"]
    assert false == {
        "id": "toy/corollary-1",
        "title": "Title of corollary-1",
        "where": "Section 11",
        "printed": "x = 5",
        "corrected": "x = 1",
        "fault": "false statement",
        "is_slip": False,
        "counterexample": "x = 5.0, not 1",
        "correction": "1 for 5 (FALSE)",
        "grade": "confirmed",
    }
    assert (slip["id"], slip["is_slip"]) == ("toy/lemma-2", True)
    shown = iclproof("errata").out
    assert shown.index("false statement: 1") < shown.index("typing slip: 1")
    assert (
        "  printed: x = 5\n  counterexample: x = 5.0, not 1\n  correction: 1 for 5 (FALSE)\n"
        "  corrected, confirmed: x = 1\n" in shown
    )


def test_a_check_that_fails_gives_no_erratum_and_is_told(iclproof, holding):
    holding(
        one("a", printed=5.0, correction=corrected(Fault.GAP)["correction"], mutants={"b": 1.0})
    )
    done = iclproof("errata", "--jobs", 1)
    assert done.code == 1
    assert "toy/a is not listed: a mutant lives" in done.out
    assert data_of(iclproof("errata", "--json"), code=1)["errata"] == []


# Exit codes and bad calls


@pytest.mark.parametrize("command", ["verify", "list", "status"])
def test_a_failure_gives_exit_code_1(iclproof, holding, command):
    holding(*FAILING)
    assert iclproof(command, "--jobs", 1).code == 1
    assert iclproof(command, "--jobs", 1, "--json").code == 1


@pytest.mark.parametrize("command", ["show", "mutants", "impact"])
def test_a_failure_of_one_statement_gives_exit_code_1(iclproof, holding, command):
    holding(*FAILING)
    assert iclproof(command, "toy/bad").code == 1
    assert iclproof(command, "toy/good").code == 0


def test_list_fails_for_what_it_lists(iclproof, holding):
    holding(*FAILING)
    assert iclproof("list", "--verdict", "holds", "--jobs", 1).code == 0
    assert ids(data_of(iclproof("list", "--verdict", "fails", "--json"), 1)["statements"]) == [
        "bad"
    ]


@pytest.mark.parametrize("command", ["verify", "show", "mutants", "impact"])
def test_an_unknown_id_is_refused_with_near_ones(iclproof, command):
    done = iclproof(command, "lemma-2", "--json")
    assert (done.code, done.out) == (2, "")
    assert "no statement lemma-2 among the 6; did you mean toy/lemma-2?" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", ["list", "verify"])
def test_ids_are_whole_on_a_narrow_terminal(iclproof, monkeypatch, holding, command):
    monkeypatch.setenv("COLUMNS", "80")
    long = "section-5-1-negative-eigenvalues-of-it"
    holding(one(long))
    assert f"toy/{long}" in iclproof(command, "--jobs", 1).out


def test_nothing_is_said_in_words(iclproof, holding):
    assert iclproof("mutants", "toy/conjecture").out == (
        "toy/conjecture is open, and has no mutants: nobody knows\n"
    )
    holding(one("a"))
    assert iclproof("errata", "--jobs", 1).out == "no errata\n"
    assert iclproof("list", "--verdict", "fails").out == "0 of 1 statements\n"


@pytest.mark.parametrize("command", [*COMMANDS, "open"])
def test_an_unknown_paper_is_refused_with_near_ones(iclproof, command):
    done = iclproof(command, "--paper", "toys")
    assert (done.code, done.out) == (2, "")
    assert "there is no paper 'toys'; did you mean toy?" in done.err


@pytest.mark.parametrize(
    "call",
    [
        ("verify", "--tier", "slow"),
        ("list", "--grade", "good"),
        ("list", "--verdict", "true"),
        ("status", "--jobs", "0"),
        ("show",),
    ],
)
def test_a_call_that_cannot_be_read_is_refused(iclproof, call):
    done = iclproof(*call)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1


def test_grades_and_verdicts_that_can_be_asked_for_are_all():
    assert get_args(GradeName) == tuple(map(str, Grade))
    assert get_args(VerdictName) == tuple(verdict.name.lower() for verdict in Verdict)
