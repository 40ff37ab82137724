"""How the files of a report are called: in one folder, so that it is written and moved whole."""

import re

INDEX, ERRATA, MEANING, OPEN = "index.html", "errata.html", "meaning.html", "open.html"
STYLE = "style.css"


def statement_page(name: str) -> str:
    """Return the page of a statement: ``zhang2024.lemma-17.html`` of ``zhang2024/lemma-17``.

    Different ids have different pages, also where upper and lower case are the same.
    """
    return f"{_plain(name)}.html"


def source_page(path: str) -> str:
    """Return the page of a Python file; no key of a paper has two hyphens, so none is like it."""
    return f"source--{_plain(path.removesuffix('.py'))}.html"


def figure_file(name: str) -> str:
    """Return the file of a figure."""
    return f"figure--{_plain(name)}.svg"


def _plain(text: str) -> str:
    """Return text with dots for slashes, and codes for what is no small letter, digit, _ or -."""
    coded = re.sub(r"[^a-z0-9_/-]", lambda found: f"~{ord(found[0]):x}~", text)
    return coded.replace("/", ".")
