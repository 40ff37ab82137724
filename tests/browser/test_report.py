"""The report as Chromium shows it: on a phone and on a desk, light and dark, and in print."""

import base64
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from matplotlib.image import imread

from tests.papers.pages import Page

pytestmark = pytest.mark.browser

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
VIEWS = {
    "phone-light": {**PHONE, "dark": False},
    "phone-dark": {**PHONE, "dark": True},
    "desk-light": {**DESK, "dark": False},
    "desk-dark": {**DESK, "dark": True},
}
GENERAL = ("index.html", "errata.html", "open.html", "meaning.html")

#: What is wider than the window and cannot be scrolled to inside of something.
OVERFLOW = "return document.documentElement.scrollWidth - window.innerWidth"

#: Formulas without a size, and pictures that did not load.
NOT_DRAWN = """
for (const image of document.images) image.loading = 'eager';
return [...document.querySelectorAll('math')].filter(m => {
  const box = m.getBoundingClientRect(); return box.width < 4 || box.height < 4;
}).length"""
LOADED = "return Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"

#: Text whose contrast with what is behind it is below WCAG's 4.5 to 1.
FAINT = """
const channel = c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
const parse = text => text.match(/[\\d.]+/g).map(Number);
const light = c => .2126 * channel(c[0]) + .7152 * channel(c[1]) + .0722 * channel(c[2]);
const behind = e => {
  for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c;
  }
  throw 'nothing behind';
};
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
for (let node; (node = walker.nextNode());) {
  const e = node.parentElement;
  if (!node.data.trim() || !e.getClientRects().length) continue;
  let ink, paper;
  if (e.closest('svg')) {
    const box = e.closest('.node')?.querySelector('rect');
    if (!box) continue;
    ink = parse(getComputedStyle(e).fill); paper = parse(getComputedStyle(box).fill);
  } else { ink = parse(getComputedStyle(e).color); paper = behind(e); }
  const [a, b] = [light(ink), light(paper)];
  seen += 1;
  if ((Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5) faint.push(node.data.trim());
}
if (!seen) throw 'no text';
return faint.slice(0, 5)"""


def names(report: Path) -> list[str]:
    return sorted(path.name for path in report.glob("*.html"))


def address(report: Path, link: str) -> str:
    name, _, anchor = link.partition("#")
    return (report / name).as_uri() + (f"#{anchor}" if anchor else "")


def representative(report: Path) -> list[str]:
    """The general pages, one of a source, and of the statements: the longest, and every kind."""
    listed = [name for name in names(report) if name not in GENERAL]
    statements = [name for name in listed if not name.startswith("source--")]
    sources = [name for name in listed if name.startswith("source--")]
    statements.sort(key=lambda name: (report / name).stat().st_size)
    return [*GENERAL, *sources[:1], statements[0], *statements[-3:]]


@pytest.mark.parametrize("view", ["phone-light", "desk-dark"])
def test_every_page_loads_fits_and_is_drawn(report, browser, view):
    browser.look(**VIEWS[view])
    wrong = {}
    for name in names(report):
        browser.open(address(report, name))
        told = browser.complaints()
        if browser.ask(OVERFLOW) > 0 or browser.ask(NOT_DRAWN) or told:
            wrong[name] = told or "too wide, or a formula without a size"
        assert all(width > 0 for width in browser.ask(LOADED)), name
    assert wrong == {}


def test_every_internal_link_leads_to_its_place(report, browser):
    browser.look(**VIEWS["desk-light"])
    links = set()
    for name in names(report):
        for link in Page((report / name).read_text()).links:
            if link.partition("#")[0].endswith(".html") or link.startswith("#"):
                links.add(link if not link.startswith("#") else name + link)
    assert len(links) > 20
    for page in sorted({link.partition("#")[0] for link in links}):
        browser.open(address(report, page))
        assert browser.ask("return document.querySelectorAll('main').length") == 1, page
        anchors = [link.partition("#")[2] for link in links if link.startswith(f"{page}#")]
        missing = browser.ask(
            "return arguments[0].filter(name => !document.getElementById(name))", anchors
        )
        assert missing == [], page


@pytest.mark.parametrize("view", VIEWS)
def test_text_stands_out_from_what_is_behind_it(report, browser, view):
    browser.look(**VIEWS[view])
    for name in representative(report):
        browser.open(address(report, name))
        assert browser.ask(FAINT) == [], name


@pytest.mark.parametrize("view", ["phone-light", "desk-dark"])
def test_a_click_in_the_graph_opens_the_statement(report, browser, view):
    browser.look(**VIEWS[view])
    browser.open(address(report, "index.html"))
    wanted = browser.ask("return document.querySelector('.node').getAttribute('href')")
    browser.click("a.node")
    assert unquote(Path(urlsplit(browser.address).path).name) == wanted


def test_the_graph_scrolls_inside_of_its_frame_and_by_keyboard(report, browser):
    browser.look(**VIEWS["phone-light"])
    browser.open(address(report, "index.html"))
    measured = browser.ask(
        "const g = document.querySelector('.graph');"
        "return [g.scrollWidth - g.clientWidth, g.tabIndex, g.getBoundingClientRect().right]"
    )
    assert measured[0] > 0
    assert measured[1] == 0
    assert measured[2] <= PHONE["width"]


def test_light_and_dark_are_what_is_asked_for(report, browser):
    shades = {}
    for view in ("phone-light", "phone-dark"):
        browser.look(**VIEWS[view])
        browser.open(address(report, "index.html"))
        shades[view] = browser.ask("return getComputedStyle(document.body).backgroundColor")
    assert shades == {"phone-light": "rgb(253, 253, 251)", "phone-dark": "rgb(22, 24, 27)"}


def test_it_is_read_without_scripts_and_asks_no_network(report, browser):
    browser.look(**VIEWS["desk-light"])
    browser.open(address(report, "index.html"))
    fetched = browser.ask("return performance.getEntriesByType('resource').map(e => e.name)")
    assert all(name.startswith(("file:", "data:")) for name in fetched)
    assert browser.ask("return document.scripts.length") == 0


def test_a_line_of_the_source_is_shown_and_marked(report, browser):
    browser.look(**VIEWS["desk-light"])
    statement = next(n for n in representative(report)[::-1] if n not in GENERAL)
    links = Page((report / statement).read_text()).links
    (link,) = [link for link in links if link.startswith("source--")]
    browser.open(address(report, link))
    top, colour = browser.ask(
        "const line = document.querySelector(':target');"
        "return [line.getBoundingClientRect().top, getComputedStyle(line).backgroundColor]"
    )
    assert 0 <= top < DESK["height"]
    assert colour == "rgb(251, 238, 218)"


def test_it_prints(report, browser):
    browser.look(**VIEWS["desk-dark"])
    browser.open(address(report, representative(report)[-1]))
    printed = base64.b64decode(browser.devtools("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF-")


@pytest.mark.parametrize("view", VIEWS)
def test_screenshots(report, browser, screenshots, view):
    """For people to look at; a window of one colour would be a page that shows nothing."""
    browser.look(**VIEWS[view])
    for name in representative(report):
        browser.open(address(report, name))
        path = screenshots / f"{Path(name).stem}-{view}.png"
        browser.screenshot(path)
        assert len(np.unique(imread(path))) > 20, name
