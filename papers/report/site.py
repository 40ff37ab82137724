"""Makes the pages of the report from verdicts: equal verdicts give equal bytes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from papers.collection import Paper
from papers.dependencies import dependents
from papers.errata import ORDER, errata
from papers.ledger import Fault, Grade, Tier, Verdict
from papers.report import names
from papers.report.coverage import Coverage
from papers.report.figures import Illustration
from papers.report.formula import formula
from papers.report.graph import graph
from papers.report.sources import Place, linker, source_files
from papers.runner import Result


@dataclass(frozen=True)
class Contents:
    """What a report is made of.

    Parameters
    ----------
    papers
        In the order in which they are shown.
    results
        The results on their statements.
    tier, seed
        How they were checked.
    made_with
        The versions of the program and the libraries.
    places
        Where each statement stands in the source, by id.
    source_url
        See `papers.report.sources.linker`; None for pages of the source in the report.
    illustrations
        Figures.
    date
        As it is to be shown; nothing is if it is empty.
    """

    papers: Sequence[Paper]
    results: Sequence[Result]
    tier: Tier
    seed: int
    made_with: str
    places: Mapping[str, Place | None]
    source_url: str | None = None
    illustrations: Sequence[Illustration] = ()
    date: str = ""


def site(contents: Contents) -> dict[str, bytes]:
    """Return the files of the report, by name; all links in it are relative.

    Raises
    ------
    ValueError
        If the address of sources is none, or statements depend on each other in a circle.
    """
    pages = _Pages(contents)
    files = {
        names.INDEX: pages.index(),
        names.ERRATA: pages.errata(),
        names.MEANING: pages.page("meaning.html"),
        names.OPEN: pages.page("open.html"),
        names.STYLE: pages.page("style.css"),
    }
    for number, result in enumerate(contents.results):
        files[names.statement_page(result.statement.id)] = pages.statement(number)
    if contents.source_url is None:
        shown = [result.statement.id for result in contents.results]
        for source in source_files((name, contents.places.get(name)) for name in shown):
            files[names.source_page(source.path)] = pages.page("source.html", source=source)
    figures = {names.figure_file(one.name): one.svg for one in contents.illustrations}
    return {name: text.encode() for name, text in files.items()} | figures


class _Pages:
    """The templates, with what all of them show."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._errata = errata(contents.results)
        self._used_by = dependents(result.statement for result in contents.results)
        self._link = linker(contents.source_url)
        self._environment = Environment(
            loader=PackageLoader("papers.report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "page": names.statement_page,
            "figure_file": names.figure_file,
            "formula": formula,
            "number": _number,
            "prose": prose,
            "grade_class": grade_class,
        }
        self._environment.globals |= {
            "contents": contents,
            "by_id": {result.statement.id: result for result in contents.results},
            "errata": self._errata,
            "Grade": Grade,
            "Verdict": Verdict,
            "Fault": Fault,
        }

    def page(self, template: str, **more: Any) -> str:
        """Fill a template."""
        return self._environment.get_template(template).render(**more)

    def index(self) -> str:
        """Return the first page."""
        groups = [
            (paper, [r for r in self._contents.results if r.statement.paper == paper.key])
            for paper in self._contents.papers
        ]
        return self.page(
            "index.html",
            groups=groups,
            coverage=[(paper.title, paper.key, Coverage.of(some)) for paper, some in groups],
            total=Coverage.of(self._contents.results),
            graph=graph(self._contents.results),
        )

    def errata(self) -> str:
        """Return the page of errata, by kinds of fault."""
        kinds = [(fault, [one for one in self._errata if one.fault is fault]) for fault in ORDER]
        return self.page("errata.html", kinds=kinds)

    def statement(self, number: int) -> str:
        """Return the page of a statement, by its place among the results."""
        results = self._contents.results
        result = results[number]
        said = result.statement
        place = self._contents.places.get(said.id)
        return self.page(
            "statement.html",
            result=result,
            said=said,
            paper=next((one for one in self._contents.papers if one.key == said.paper), None),
            used_by=self._used_by[said.id],
            place=place,
            source_link=None if place is None else self._link(place),
            figures=[one for one in self._contents.illustrations if said.id in one.statements],
            before=results[number - 1] if number else None,
            after=results[number + 1] if number + 1 < len(results) else None,
        )


def prose(text: str) -> Markup:
    """Return a docstring as paragraphs; what stands in backquotes is code."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        parts = re.split(r"``?([^`]+)``?", " ".join(paragraph.split()))
        marked = (
            Markup("<code>{}</code>" if i % 2 else "{}").format(p) for i, p in enumerate(parts)
        )
        paragraphs.append(Markup("<p>{}</p>").format(Markup("").join(marked)))
    return Markup("\n").join(paragraphs)


def grade_class(result: Result) -> str:
    """Return what a statement's colour says: its grade, ``open`` or ``fails``."""
    if not result.verdict.passes:
        return "fails"
    return "open" if result.grade is None else str(result.grade)


def _number(value: float | None) -> str:
    """Return a measured figure for a table: three digits; a dash where there is none."""
    return "–" if value is None else f"{value:.3g}"
