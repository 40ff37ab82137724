"""The report that is looked at, and the browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from papers.collection import Paper, find_papers
from papers.description import Description
from papers.report.figures import illustrations
from papers.report.publish import publish
from papers.report.site import Contents, site
from papers.report.sources import find_place
from papers.runner import run
from tests.browser.webdriver import Browser
from tests.papers import toy_paper
from tests.papers.toy_paper import one

#: Statements that are checked in a moment, the longest formulas and a figure among them.
_CHEAP = (
    "pathak2023/program-line-1",
    "pathak2023/program-line-2",
    "pathak2023/program-line-3",
    "zhang2024/lemma-29",
    "zhang2024/section-5-1-characteristic-polynomial",
    "beyond/flow-in-one-dimension",
)


def _small_report(folder: Path) -> Path:
    """A report on toys, one of which fails, and on a few of our statements."""
    toys = Paper("toy", "Toys", "nobody 2025", "tests.papers.toy_paper")
    papers = [*find_papers(None), toys]
    ours = [s for paper in papers[:-1] for s in paper.statements if s.id in _CHEAP]
    wrong = one("failing", "theorem-1", printed=2.0, mutants={"one": 1.0})
    results = run([*ours, *toy_paper.STATEMENTS, wrong], 0)
    said: list[Description] = [result.statement for result in results]
    contents = Contents(
        papers=papers,
        results=results,
        tier="quick",
        seed=0,
        made_with="tests",
        places={one.id: find_place(one) for one in said},
        illustrations=list(illustrations({"beyond/flow-in-one-dimension"})),
    )
    publish(folder, site(contents))
    return folder


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """The report in $ICLPROOF_REPORT, or a small one."""
    given = os.environ.get("ICLPROOF_REPORT")
    folder = Path(given) if given else _small_report(tmp_path_factory.mktemp("site") / "report")
    assert (folder / "index.html").exists(), f"no report in {folder}: make report writes one"
    return folder.resolve()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory) -> Path:
    """Where pictures go: $ICLPROOF_SCREENSHOTS, or a folder of the tests."""
    given = os.environ.get("ICLPROOF_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
