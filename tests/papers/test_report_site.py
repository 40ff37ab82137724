"""The pages: whole, linked, readable by everyone, and the same for the same verdicts."""

import itertools
from dataclasses import replace

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from papers.collection import Paper
from papers.ledger import Fault, Grade, Verdict
from papers.report.coverage import Coverage
from papers.report.figures import Illustration
from papers.report.names import source_page, statement_page
from papers.report.site import Contents, prose, site
from papers.report.sources import find_place
from papers.runner import MutantResult, run
from tests.papers import toy_paper
from tests.papers.pages import Page, broken_links, pages
from tests.papers.toy_paper import one

TOY = Paper("toy", "Toys & <games>", "nobody 2025", "tests.papers.toy_paper")


def contents(*more, **changes) -> Contents:
    results = run([*toy_paper.STATEMENTS, *more], 0)
    places = {r.statement.id: find_place(r.statement) for r in results}
    told = {"tier": "quick", "seed": 0, "made_with": "Python", "places": places}
    return Contents(**{"papers": (TOY,), "results": results, **told, **changes})


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The site of the toys, with a figure and two statements that fail."""
    failing = one("failing", "theorem-1", "elsewhere", printed=2.0, mutants={"one": 1.0})
    crashing = one("crashing", printed="not a number")
    figure = Illustration("f", "A <line>", "Caption. More.\n\nFrom.", ("toy/lemma-1",), b"<svg/>")
    return site(contents(failing, crashing, illustrations=[figure]))


def test_there_is_a_page_for_everything(files):
    assert set(files) == {
        "index.html",
        "errata.html",
        "meaning.html",
        "open.html",
        "style.css",
        "figure--f.svg",
        "source--tests.papers.toy_paper.html",
        *(f"toy.{s.id[4:]}.html" for s in toy_paper.STATEMENTS),
        "toy.failing.html",
        "toy.crashing.html",
    }


def test_pages_are_well_formed_and_every_link_resolves(files):
    assert len(pages(files)) == 13
    assert broken_links(files) == []
    for page in pages(files).values():
        assert len(set(page.ids)) == len(page.ids)


def test_nothing_comes_from_elsewhere_and_nothing_runs(files):
    for name, data in files.items():
        text = data.decode().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("</code></pre>", "") or name.startswith("source--")
        assert "<script" not in text
        assert "@import" not in text
        assert "url(" not in text.replace("url(#tip)", "")
    for page in pages(files).values():
        assert [key for _, a in page.elements for key in a if key.startswith("on")] == []


def test_everybody_can_read_it(files):
    for name, page in pages(files).items():
        assert page.all("html") == [{"lang": "en"}]
        assert len(page.all("main")) == len(page.all("header")) == len(page.all("footer")) == 1
        tags = [tag for tag, _ in page.elements]
        levels = [int(tag[1]) for tag in tags if tag in ("h1", "h2", "h3")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), name
        assert tags.count("table") == tags.count("caption")
        assert all(image["alt"] for image in page.all("img"))
        assert all(head.get("scope") for head in page.all("th"))
        # What scrolls can be reached by keyboard, and says what it is.
        for attributes in page.all("div"):
            if "scroll" in attributes.get("class", "").split():
                assert attributes["tabindex"] == "0"
                assert attributes["aria-labelledby"] in page.ids
        titles = [page.text.strip().split("\n")[0]]
        assert titles[0].endswith("– iclproof")


def test_equal_verdicts_give_equal_bytes_whatever_time_they_took():
    given = contents()
    slower = [replace(result, seconds=99.0) for result in given.results]
    assert site(given) == site(replace(given, results=slower))
    assert site(given) == site(contents())


def test_the_first_page_counts(files):
    page = Page(files["index.html"].decode())
    assert "8 statements, 7 of them checked: 2 as printed, 2 refuted" in page.text
    assert "2 checks fail" in page.text
    assert "Toys & <games>" in page.text
    count = Coverage.of(contents().results)
    assert (count.statements, count.checked, count.holds, count.corrected) == (6, 5, 2, 2)
    assert (count.beyond, count.open, count.fails) == (1, 1, 0)
    assert count.grades == {**dict.fromkeys(Grade, 0), Grade.PROVED: 1, Grade.CERTIFIED: 1} | {
        Grade.CONFIRMED: 3
    }
    assert (count.killed, count.mutants) == (10, 10)


def test_the_graph_has_a_node_a_statement_that_leads_to_its_page(files):
    page = Page(files["index.html"].decode())
    nodes = {a["href"]: a for a in page.all("a") if "node" in a.get("class", "").split()}
    assert set(nodes) == {name for name in files if name.startswith("toy.")}
    assert "g-certified" in nodes["toy.theorem-1.html"]["class"]
    assert "beyond" in nodes["toy.ours.html"]["class"]
    assert "g-open" in nodes["toy.conjecture.html"]["class"]
    assert "g-fails" in nodes["toy.failing.html"]["class"]
    label = nodes["toy.lemma-1.html"]["aria-label"]
    assert label == "toy/lemma-1: Title of lemma-1; holds as printed, proved"


def test_a_statement_page_tells_all(files):
    page = Page(files["toy.lemma-2.html"].decode())
    for told in (
        "Title of lemma-2",
        "Section 7",
        "refuted as printed, holds as corrected",
        "confirmed",
        "x is a number",
        "typing slip",
        "1 for 5 (SLIP)",
        "x = 5.0, not 1",
        "x against 1",
        "0.001",
        "2 of 2 wrong versions rejected",
        "x = 1.01, not 1",
        "Compare with 1.",
        "iclproof show toy/lemma-2",
        "tests/papers/toy_paper.py, line",
    ):
        assert told in page.text
    links = page.links
    assert {"toy.lemma-1.html", "toy.theorem-1.html", "meaning.html#confirmed"} <= set(links)
    assert "<math" in files["toy.lemma-2.html"].decode()


def test_figures_stand_on_their_pages_with_text(files):
    page = Page(files["toy.lemma-1.html"].decode())
    assert [(image["src"], image["alt"]) for image in page.all("img")] == [
        ("figure--f.svg", "A <line>")
    ]
    assert "Caption. More." in page.text
    assert Page(files["toy.lemma-2.html"].decode()).all("img") == []


def test_failures_are_told_and_no_badge_is_colour_alone(files):
    failing = Page(files["toy.failing.html"].decode())
    assert "✗ check fails" in failing.text
    assert "✗ lives" in failing.text
    assert "the check accepts it" in failing.text
    assert "toy/elsewhere" in failing.text
    crashing = Page(files["toy.crashing.html"].decode())
    assert "Traceback" in crashing.text
    assert "The list may lack some: toy/failing" in Page(files["errata.html"].decode()).text


def test_errata_are_by_kind_and_slips_are_last(files):
    page = Page(files["errata.html"].decode())
    heads = [a["id"] for tag, a in page.elements if tag == "h2"]
    assert heads == ["false", "gap", "ambiguous", "slip"]
    text = page.text
    assert (
        text.index("1 for 5 (FALSE)")
        < text.index("Typing slips (1)")
        < text.index("1 for 5 (SLIP)")
    )
    for told in ("toy, Section 11", "x = 5.0, not 1", "confirmed"):
        assert told in text


def test_what_is_open_has_its_reason(files):
    for name in ("open.html", "toy.conjecture.html"):
        assert "nobody knows" in Page(files[name].decode()).text


def test_every_grade_verdict_and_fault_is_explained(files):
    page = Page(files["meaning.html"].decode())
    assert {*map(str, Grade), *(f"verdict-{v.name.lower()}" for v in Verdict)} <= set(page.ids)
    assert all(str(fault) in page.text for fault in Fault)


def test_the_source_has_an_anchor_at_the_line_of_the_statement(files):
    (link,) = {
        link for link in Page(files["toy.lemma-1.html"].decode()).links if "source--" in link
    }
    name, _, line = link.partition("#L")
    lines = files[name].decode().split('<span id="L')
    assert lines[int(line)].startswith(f'{line}">')
    # Its id is made, so that the check's is the place.
    assert "@statement(" in lines[int(line)]


def test_the_source_can_be_on_a_host():
    address = "https://host/code/{path}?plain=1#L{line}"
    files = site(contents(source_url=address))
    assert not any(name.startswith("source--") for name in files)
    links = Page(files["toy.lemma-1.html"].decode()).links
    (link,) = [link for link in links if "host" in link]
    assert link.startswith("https://host/code/tests/papers/toy_paper.py?plain=1#L")


@pytest.mark.parametrize("address", ["javascript:{path}", "https://host/", "/{path}", ""])
def test_addresses_of_sources_that_are_none_are_refused(address):
    with pytest.raises(ValueError, match=r"--source-url is .* expected"):
        site(contents(source_url=address))


def test_a_statement_without_a_source_has_no_link():
    given = contents()
    files = site(replace(given, places=dict.fromkeys(given.places)))
    assert "In the source" not in files["toy.lemma-1.html"].decode()
    assert broken_links(files) == []


def test_tier_seed_and_date_are_shown_where_given():
    text = site(contents(tier="full", seed=7, date="May 2025"))["toy.lemma-1.html"].decode()
    assert "tier full, seed 7, May 2025." in text
    assert "iclproof show toy/lemma-1 --tier full --seed 7" in text
    assert ", seed 0." in site(contents())["index.html"].decode()


def test_no_statements_give_a_site_too():
    files = site(contents(results=[], places={}))
    assert broken_links(files) == []
    assert "0 statements" in Page(files["index.html"].decode()).text


def test_figures_that_are_not_finite_are_shown():
    given = contents()
    first = given.results[0]
    endless = replace(first, printed=replace(first.printed, measured=float("inf")))
    assert ">inf<" in site(replace(given, results=[endless]))["toy.lemma-1.html"].decode()


def test_a_template_that_asks_for_what_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("papers.report.site.Coverage.of", lambda results: object())
    with pytest.raises(UndefinedError):
        site(contents())


def test_text_from_a_statement_is_text():
    nasty = "<script>alert(1)</script>"
    told = one("nasty", printed=1.0)
    (result,) = run([told], 0)
    result = replace(
        result,
        statement=replace(
            result.statement, title=nasty, source=nasty, hypotheses=(nasty,), proof=nasty
        ),
        mutants=(MutantResult(nasty, True, nasty),),
    )
    text = site(contents(results=[result], places={}))["toy.nasty.html"].decode()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 7


def test_ids_of_all_kinds_have_pages_of_their_own():
    ids = ["a/b", "a/B", "a/b_c", "a/b.c", "a/b/c", "a/ü", "a/b c", "A/b", "a.b/c", "a/~b"]
    names = {statement_page(name) for name in ids}
    assert len({name.casefold() for name in names}) == len(ids)
    assert statement_page("zhang2024/lemma-17") == "zhang2024.lemma-17.html"
    assert source_page("papers/x_y/z.py") == "source--papers.x_y.z.html"


def test_docstrings_become_paragraphs():
    assert prose("One ``a < b``\nand `c`.\n\nTwo.") == Markup(
        "<p>One <code>a &lt; b</code> and <code>c</code>.</p>\n<p>Two.</p>"
    )
    assert prose("") == "<p></p>"
