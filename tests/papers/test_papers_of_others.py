"""Papers of other distributions: found where they are installed, named where they are broken."""

import importlib
import json
import sys

import pytest

from papers import collection
from papers.collection import Paper, find_papers

TOY = Paper("toy", "Toys", "nobody", "tests.papers.toy_paper")


@pytest.fixture
def install(on_path, monkeypatch):
    """Install a paper, the distribution iclproof-other, as pip does; beside it is ours, of toys."""
    monkeypatch.setattr(collection, "_OURS", (TOY,))

    def put(name: str = "other", **sources: str) -> None:
        about = on_path / "iclproof_other-0.1.0.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text("Name: iclproof-other\nVersion: 0.1.0\n")
        (about / "entry_points.txt").write_text(f"[{collection.GROUP}]\n{name} = other:PAPER\n")
        (on_path / "other").mkdir(exist_ok=True)
        for file, source in {**GOOD, **sources}.items():
            (on_path / "other" / f"{file}.py").write_text(source)
        for module in [module for module in sys.modules if module.split(".")[0] == "other"]:
            del sys.modules[module]
        importlib.invalidate_caches()

    return put


GOOD = {
    "__init__": "from papers.collection import Paper\n"
    "PAPER = Paper('other', 'Other', 'others', 'other.statements')\n",
    "statements": "from tests.papers.toys import drawing\nSTATEMENTS = (drawing('other/a'),)\n",
}
BROKEN = {
    "no such import": ({"__init__": "import nowhere"}, "ModuleNotFoundError: No module"),
    "another key": (
        {"__init__": GOOD["__init__"].replace("'other',", "'others',")},
        "expected a papers.collection.Paper so called",
    ),
    "a bad key": ({"__init__": GOOD["__init__"].replace("'other',", "'A b',")}, "ValueError"),
    "no paper": ({"__init__": ""}, "has no attribute 'PAPER'"),
    "not Python": ({"statements": "STATEMENTS = ("}, "SyntaxError: '(' was never closed"),
    "a name": ({"statements": "\nx = 1\nSTATEMENTS = (y,)"}, "other/statements.py:3)"),
    "no statements": ({"statements": ""}, "has no attribute 'STATEMENTS'"),
    "no list": ({"statements": "STATEMENTS = 1"}, "'int' object is not iterable"),
    "no statement": ({"statements": "STATEMENTS = ('a',)"}, "STATEMENTS has 'a'; expected"),
    "twice": ({"statements": GOOD["statements"] + "STATEMENTS *= 2"}, "each once: other/a"),
    "another paper's id": (
        {"statements": GOOD["statements"].replace("other/", "toy/")},
        "not as expected, other/NAME, each once: toy/a",
    ),
    "no mutants": (
        {"statements": "from tests.papers.toys import toy\nSTATEMENTS = (toy(mutants=()),)"},
        "ValueError: statement 'toy/a' has no mutants",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_paper_is_named_and_the_others_are_checked(install, iclproof, name):
    sources, told = BROKEN[name]
    install(**sources)
    done = iclproof("verify", "--jobs", 1, "--no-cache", "--json")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert told in done.err
    assert "of the distribution iclproof-other" in done.err
    assert "python -m pip uninstall iclproof-other" in done.err
    data = json.loads(done.out)
    assert (len(data["statements"]), data["passes"]) == (6, False)
    # Asked for, it is an error; if others are, it does not matter.
    done = iclproof("verify", "--paper", "other", "--no-cache")
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert done.err.count("\n") == 1
    done = iclproof("verify", "--paper", "toy", "--jobs", 1, "--no-cache")
    assert (done.code, done.err) == (0, "")
    done = iclproof("verify", "toy/lemma-1", "--no-cache")
    assert done.code == 0
    assert told in done.err


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("list", "--jobs", 1), 2),
        (("status", "--jobs", 1), 2),
        (("errata", "--jobs", 1), 2),
        (("open",), 2),
        (("show", "toy/lemma-1"), 0),
        (("mutants", "toy/lemma-1"), 0),
        (("impact", "toy/theorem-1", "--jobs", 1), 0),
    ],
)
def test_what_is_about_all_papers_fails_with_code_2(install, iclproof, command, code):
    install(statements="import nowhere")
    for more in ((), ("--json",)):
        done = iclproof(*command, "--no-cache", *more)
        assert done.code == code
        assert "No module named 'nowhere'" in done.err
        assert done.out


def test_a_paper_that_is_mended_counts_again_with_the_store(install, iclproof):
    def ids(code: int) -> list[str]:
        done = iclproof("verify", "--jobs", 1, "--json")
        assert (done.code, done.err.count("\n")) == (code, code // 2)
        return [entry["id"] for entry in json.loads(done.out)["statements"]]

    install()
    assert ids(0)[6:] == ["other/a"]
    install(statements="import nowhere")
    assert ids(2)[6:] == []
    assert ids(2)[6:] == []  # no index was written
    install()
    assert ids(0)[6:] == ["other/a"]


def test_a_module_that_only_a_check_imports_crashes_that_check(install, iclproof):
    source = (
        "from papers.ledger import statement\n"
        "@statement(id='other/a', title='', source='', latex='', printed=1, mutants={'m': 2})\n"
        "def A(claim, rng):\n"
        "    import other.later\n"
        "STATEMENTS = (A,)\n"
    )
    install(statements=source, later="STATEMENTS = (")
    done = iclproof("verify", "--jobs", 1, "--json")
    assert done.code == 1
    verdicts = {entry["id"]: entry["verdict"] for entry in json.loads(done.out)["statements"]}
    assert verdicts.pop("other/a") == "check crashed"
    assert "check crashed" not in verdicts.values()


def test_a_key_that_is_taken_by_ours_leaves_ours(install):
    install("toy")
    (broken,) = collection.broken_papers()
    assert "there is a paper toy already; choose another key" in str(broken)
    assert find_papers(None) == find_papers("toy") == (TOY,)


def test_a_key_that_two_distributions_have_is_neithers(install, on_path):
    install()
    about = on_path / "second-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: second\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{collection.GROUP}]\nother = other:PAPER\n")
    assert find_papers(None) == (TOY,)
    for broken in collection.broken_papers():
        assert "distribution iclproof-other and second" in str(broken)
    with pytest.raises(ValueError, match="there is a paper other already"):
        find_papers("other")


def test_a_broken_paper_does_not_keep_a_new_one_from_its_key(install, iclproof, tmp_path):
    install(statements="import nowhere")
    assert iclproof("new-paper", "mine2025", "--out", tmp_path / "mine").code == 0
    assert "there is a paper" in iclproof("new-paper", "other", "--out", tmp_path / "b").err


def test_each_statement_of_theirs_has_the_code_of_its_own_file(install):
    """An edit of one file leaves the verdicts on the statements of others."""
    install(
        statements="from other import one, two\nSTATEMENTS = (*one.STATEMENTS, *two.STATEMENTS)",
        one="from tests.papers.toys import drawing\nSTATEMENTS = (drawing('other/a'),)",
        two="from tests.papers.toys import drawing\nSTATEMENTS = (drawing('other/b'),)",
    )
    (paper,) = find_papers("other")
    assert [said.module for said in paper.descriptions()] == ["other.one", "other.two"]
