"""The papers: ours, those of entry points, and what is refused."""

import subprocess
import sys
import types
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from papers import collection, pathak2023
from papers.collection import BrokenPaperError, Paper, broken_papers, find_papers, papers
from papers.description import Description, as_plain, describe, from_plain
from papers.places import place_of
from tests.papers import toy_paper
from tests.papers.toys import toy, unchecked

TOY = Paper("toy", "Toys", "nobody 2025", "tests.papers.toy_paper")


@pytest.fixture
def entries(monkeypatch):
    """Pretend that other packages have these entry points."""

    def pretend(**values: str) -> None:
        found = EntryPoints(EntryPoint(k, v, collection.GROUP) for k, v in values.items())
        monkeypatch.setattr(collection, "entry_points", lambda group: found.select(group=group))

    return pretend


def test_ours_are_there_with_their_statements(entries):
    entries()
    assert [paper.key for paper in papers()] == ["pathak2023", "zhang2024", "beyond"]
    assert papers()[0].statements == pathak2023.STATEMENTS
    assert papers()[0].folder.name == "pathak2023"
    assert len(collection.statements()) == sum(len(paper.statements) for paper in papers())
    for paper in papers():
        assert paper.title
        assert paper.reference


def test_papers_of_other_packages_come_through_entry_points(entries, monkeypatch):
    monkeypatch.setattr(toy_paper, "PAPER", TOY, raising=False)
    entries(toy="tests.papers.toy_paper:PAPER")
    assert papers()[-1] == TOY
    assert find_papers("toy") == (TOY,)
    assert collection.statements()[-1] is toy_paper.STATEMENTS[-1]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "nowhere.at_all:PAPER",
            "cannot be loaded: ModuleNotFoundError: No module named 'nowhere'",
        ),
        ("tests.papers.toy_paper:PAPER", "cannot be loaded"),
        ("tests.papers.toy_paper:STATEMENTS", "expected a papers.collection.Paper so called"),
        ("tests.papers.test_collection:TOY", "expected a papers.collection.Paper so called"),
    ],
)
def test_bad_entry_points_are_refused(entries, value, told):
    entries(mine=value)
    (broken,) = broken_papers()
    assert told in str(broken)
    assert [paper.key for paper in papers()] == ["pathak2023", "zhang2024", "beyond"]
    with pytest.raises(BrokenPaperError, match=r"entry point mine = ") as caught:
        find_papers("mine")
    assert str(caught.value) == str(broken)


def test_a_key_that_is_taken_is_refused(entries, monkeypatch):
    beyond = Paper("beyond", "Other", "nobody", "tests.papers.toy_paper")
    monkeypatch.setattr(toy_paper, "PAPER", beyond, raising=False)
    entries(beyond="tests.papers.toy_paper:PAPER")
    (broken,) = broken_papers()
    assert "there is a paper beyond already" in str(broken)
    assert find_papers("beyond") == (papers()[2],)
    assert len(papers()) == 3


@pytest.mark.parametrize("key", ["", "Zhang", "a/b", "-a", "a--b", "a b"])
def test_a_key_that_cannot_begin_an_id_is_refused(key):
    with pytest.raises(ValueError, match="expected a-z, 0-9 and single hyphens"):
        Paper(key, "", "", "m")


def test_an_unknown_paper_is_refused_with_near_ones(entries):
    entries()
    with pytest.raises(ValueError, match="no paper 'zhang'; did you mean zhang2024"):
        find_papers("zhang")
    with pytest.raises(ValueError, match="did you mean pathak2023 or zhang2024 or beyond"):
        find_papers("x")


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ({}, "AttributeError"),
        ({"STATEMENTS": (toy("a"), toy("a"))}, "NAME, each once: toy/a"),
        ({"STATEMENTS": (toy("a"), unchecked())}, None),
    ],
)
def test_ids_must_be_the_papers_and_differ(monkeypatch, contents, told):
    module = types.ModuleType("toys_of_a_test")
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, "toys_of_a_test", module)
    paper = Paper("toy", "", "", "toys_of_a_test")
    if told is None:
        assert len(paper.statements) == 2
        with pytest.raises(ValueError, match="other/NAME, each once: toy/a, toy/open"):
            _ = Paper("other", "", "", "toys_of_a_test").statements
        return
    with pytest.raises(ValueError, match="the paper 'toy'") as caught:
        _ = paper.statements
    assert told in str(caught.value)


def test_a_module_that_cannot_be_imported_is_named():
    with pytest.raises(ValueError, match=r"'x': nowhere\.at\.all gives no STATEMENTS: ModuleNot"):
        _ = Paper("x", "", "", "nowhere.at.all").statements
    with pytest.raises(ValueError, match=r"there is no module papers\.nothing"):
        _ = Paper("x", "", "", "papers.nothing").folder


def test_descriptions_say_what_statements_say_and_where_they_stand():
    described = TOY.descriptions()
    assert [said.id for said in described] == [item.id for item in toy_paper.STATEMENTS]
    lemma, slip, *_, left = described
    assert (lemma.reading, slip.reading) == ("as printed", "as corrected")
    assert (described[4].reading, left.reading) == ("beyond the paper", "open")
    assert (lemma.paper, lemma.title, lemma.source) == ("toy", "Title of lemma-1", "Section 7")
    assert lemma.hypotheses == ("x is a number",)
    assert slip.depends_on == ("toy/lemma-1",)
    assert slip.correction.text == "1 for 5 (SLIP)"
    assert slip.mutants == ("two", "1 % more")
    assert lemma.proof == "Compare with 1."
    assert (left.reason, left.is_open, lemma.is_open) == ("nobody knows", True, False)
    for said in described:
        assert said.module == "tests.papers.toy_paper"
        assert from_plain(as_plain(said)) == said


def test_a_place_is_where_the_id_is_written_or_the_check_begins():
    lemma, *_, left = TOY.descriptions()
    lines = {}
    for said in (lemma, left):
        file, line = place_of(said)
        assert file.name == "toy_paper.py"
        lines[said.id] = file.read_text().splitlines()[line - 1]
    assert "@statement(" in lines["toy/lemma-1"]  # ids are made there
    assert lines["toy/conjecture"].strip().startswith('OpenStatement("toy/conjecture"')
    assert place_of(Description("a/b", "", "")) == (None, 1)


def test_every_statement_of_ours_has_a_place_and_is_listed_by_a_module_of_its_paper(entries):
    entries()
    for paper in papers():
        for said in paper.descriptions():
            file, line = place_of(said)
            assert file.parent == paper.folder
            assert 1 < line <= len(file.read_text().splitlines())
            assert said.module.startswith(f"{paper.module}."), said.id


def test_a_description_of_a_statement_that_nobody_lists_has_the_module_of_its_check():
    assert describe(toy()).module == "tests.papers.toys"
    assert describe(unchecked()).module == ""


def test_packages_that_are_passed_over_hold_no_code_but_lists():
    """`LISTS`: what they define would be missing from the versions of code."""
    import ast

    for paper in collection._OURS:
        tree = ast.parse((paper.folder / "__init__.py").read_text())
        kinds = {type(node) for node in tree.body}
        assert kinds == {ast.Expr, ast.ImportFrom, ast.AnnAssign}, paper.key
        (listed,) = (node for node in tree.body if isinstance(node, ast.AnnAssign))
        assert listed.target.id == "STATEMENTS"


def test_the_papers_are_known_without_an_import_of_their_statements():
    code = (
        "import sys; from papers.collection import papers; papers();"
        "print([n for n in ('torch', 'sympy', 'papers.zhang2024') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
