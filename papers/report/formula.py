"""Formulas of statements as MathML that browsers draw, without scripts and fonts of our own.

latex2mathml translates; what it writes is then brought to MathML Core, the part that all browsers
draw: letters of other alphabets as characters of their own, names as one identifier, relations as
operators.
"""

import re
import unicodedata
from itertools import accumulate
from xml.etree import ElementTree as ET

from latex2mathml.converter import convert
from markupsafe import Markup

#: Operators that latex2mathml writes as identifiers, which would stand without space around them.
_OPERATORS = frozenset("⟂⟺⊥∥∀∣:;~⪰±⟨⟩⌊⌋")

#: Objects that it writes as operators, which would stand with space around them.
_OBJECTS = frozenset("∞∅")

#: Operators that stand close to what they join, as TeX sets them: browsers would give them space.
_TIGHT = frozenset("/|‖")

#: The alphabets that MathML Core has as characters only, by MathML's name.
_ALPHABETS = {"script": "SCRIPT", "bold": "BOLD", "double-struck": "DOUBLE-STRUCK"}

_TOKEN = re.compile(r"\\begin|\\end|\\left(?![a-z])|\\right(?![a-z])|\\quad|\\.|[{}]|.", re.DOTALL)
#: Sized delimiters that latex2mathml takes as letters only.
_DELIMITERS = {
    "langle": "⟨",
    "rangle": "⟩",
    "lfloor": "⌊",
    "rfloor": "⌋",
    "lceil": "⌈",
    "rceil": "⌉",
}
_SIZED = re.compile(rf"(\\[Bb]igg?[lr]?)\\({'|'.join(_DELIMITERS)})")
_OPENS = frozenset({"\\begin", "\\left", "{"})
_CLOSES = frozenset({"\\end", "\\right", "}"})


def mathml(latex: str) -> str:
    r"""Return a formula as MathML Core, one ``math`` element.

    Parameters
    ----------
    latex
        In math mode, such as ``u_{-1} U_{11} = \Gamma^{-1}``.

    Raises
    ------
    ValueError
        If it cannot be translated whole: a command that is not known, braces that do not match, or
        a control character (a backslash that Python took for its own).
    """
    if any(unicodedata.category(letter) == "Cc" and letter not in "\n" for letter in latex):
        raise ValueError(f"a control character in {latex!r}: is it a raw string?")
    if _depths(latex)[-1] or min(_depths(latex)) < 0:
        raise ValueError(f"cannot be read as LaTeX: {latex!r} (braces do not match)")
    sized = _SIZED.sub(lambda found: found[1] + _DELIMITERS[found[2]], latex)
    try:
        root = ET.fromstring(convert(sized, display="block"))
    except Exception as error:  # latex2mathml raises many kinds, IndexError among them
        raise ValueError(f"cannot be read as LaTeX: {latex!r} ({error!r})") from error
    for element in root.iter():
        element.tag = element.tag.partition("}")[2] or element.tag
    _to_core(root)
    text = ET.tostring(root, encoding="unicode")
    if "\\" in text:
        unknown = ", ".join(sorted(set(re.findall(r"\\[A-Za-z]*", text))))
        raise ValueError(f"unknown in {latex!r}: {unknown}")
    return text


def lines(latex: str) -> list[str]:
    r"""Return the parts between the ``\quad`` of a formula that stand in no bracket or matrix."""
    parts, depth = [""], 0
    for token in _TOKEN.findall(latex):
        depth += (token in _OPENS) - (token in _CLOSES)
        if token == r"\quad" and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts if part.strip()]


def formula(latex: str) -> Markup:
    """Return a formula for a page: a line for each part, or as code if it cannot be translated."""
    try:
        drawn = [mathml(line) for line in lines(latex)]
    except ValueError:
        return Markup('<pre class="formula"><code>{}</code></pre>').format(latex)
    return Markup('<div class="formula" role="group" aria-label="formula">{}</div>').format(
        Markup("\n").join(map(Markup, drawn))
    )


def _depths(latex: str) -> list[int]:
    r"""Return in how many brackets each place is: braces, ``\left``, ``\begin``."""
    steps = ((token in _OPENS) - (token in _CLOSES) for token in _TOKEN.findall(latex))
    return list(accumulate(steps, initial=0))


def _to_core(element: ET.Element) -> None:
    """Replace, from the leaves up, what MathML Core does not have."""
    for child in element:
        _to_core(child)
    variant = element.get("mathvariant")
    if variant in _ALPHABETS:
        del element.attrib["mathvariant"]
        element.text = "".join(_letter(_ALPHABETS[variant], c) for c in element.text or "")
    if element.tag == "mi" and re.fullmatch("[Α-Ω]", element.text or ""):
        element.set("mathvariant", "normal")  # as in print: capital Greek letters stand upright
    if element.tag == "mspace" and element.get("width") == "negativethinmathspace":
        element.set("width", "-0.167em")
    if element.tag == "mi" and element.text in _OPERATORS:
        element.tag = "mo"
        element.set("stretchy", "false")
    if element.tag == "mo" and element.text in _OBJECTS:
        element.tag = "mi"
    if element.tag == "mo" and element.text in _TIGHT:
        element.attrib |= {"lspace": "0", "rspace": "0"}
    if element.tag == "mo" and len(element):
        element.tag = "mrow"
    if element.tag == "mrow":
        _join_name(element)


def _join_name(row: ET.Element) -> None:
    """Make one identifier of a row of two or more upright letters, such as ``tr``."""
    if len(row) == 1 and row[0].tag == "mi" and len(row[0].text or "") > 1:
        row[:], name = [], row[0].text
    elif len(row) > 1 and all(_is_part_of_name(child) for child in row):
        # A thin space, as in "arg min".
        name = "".join(child.text or "\u2009" for child in row)
        row[:] = []
    else:
        return
    row.tag, row.text = "mi", name


def _is_part_of_name(child: ET.Element) -> bool:
    upright = child.tag == "mi" and child.get("mathvariant") == "normal"
    return upright or (child.tag == "mspace" and not (child.get("width") or "").startswith("-"))


def _letter(alphabet: str, letter: str) -> str:
    """Return a letter or digit of an alphabet; itself if the alphabet has none such."""
    name = unicodedata.name(letter, "")
    case = "CAPITAL" if "CAPITAL" in name else "SMALL"
    kind = f"{case} {name.rpartition(' ')[2]}" if letter.isalpha() else name
    for known in (f"MATHEMATICAL {alphabet} {kind}", f"{alphabet} {kind}"):
        try:
            return unicodedata.lookup(known)
        except KeyError:
            continue
    return letter
