"""Pages of a report as the tests read them: well-formed, with their links and anchors."""

from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

_VOID = frozenset(["meta", "link", "img", "br", "hr"])


class Page(HTMLParser):
    """What a page has; elements that are not closed in order are refused.

    ``elements`` are ``(tag, attributes)`` in order, ``text`` is all text.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> is in the wrong place"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *tags: str) -> list[dict[str, str]]:
        """The attributes of all elements of some tags."""
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def ids(self) -> list[str]:
        """The anchors."""
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    @property
    def links(self) -> list[str]:
        """What it points to or shows: other pages, figures, styles."""
        found = [a.get("href") or a.get("src", "") for a in self.all("a", "link", "img")]
        return [link for link in found if link != "data:,"]


def pages(files: Mapping[str, bytes]) -> dict[str, Page]:
    """The pages of a site by name."""
    return {name: Page(data.decode()) for name, data in files.items() if name.endswith(".html")}


def broken_links(files: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """``(page, link)`` for each link that leads nowhere in the site."""
    read = pages(files)
    broken = []
    for name, page in read.items():
        for link in page.links:
            parts = urlsplit(link)
            target = unquote(parts.path) or name
            inside = not parts.scheme and not parts.netloc and target in files
            anchored = not parts.fragment or parts.fragment in read[target].ids if inside else False
            if not (inside and anchored):
                broken.append((name, link))
    return broken
