"""Formulas as MathML Core."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papers import collection
from papers.ledger import Statement
from papers.report.formula import formula, lines, mathml

FORMULAS = {
    item.id: item.latex
    for item in collection.statements()
    if isinstance(item, Statement) and item.latex
}


def test_every_formula_of_ours_is_drawn():
    assert len(FORMULAS) > 90
    code = {name for name, latex in FORMULAS.items() if "<math" not in formula(latex)}
    assert code == set()


def test_what_browsers_draw_is_all_that_is_used():
    """MathML Core's elements; no alphabets but upright, no named spaces, no markup in operators."""
    core = "math mrow mi mo mn mtext mspace mfrac msqrt mroot mstyle msub msup msubsup munder mover"
    known = {*core.split(), "munderover", "mtable", "mtr", "mtd", "mpadded"}
    for latex in FORMULAS.values():
        for line in lines(latex):
            elements = list(ET.fromstring(mathml(line)).iter())
            assert {element.tag for element in elements} <= known
            for element in elements:
                assert element.get("mathvariant") in (None, "normal")
                assert re.fullmatch(r"-?[\d.]+(em)?", element.get("width", "0"))
                assert element.tag not in ("mi", "mo", "mn", "mtext") or not len(element)


@pytest.mark.parametrize(
    ("latex", "inner"),
    [
        (r"\mathrm{tr}(A)", '<mi>tr</mi><mo stretchy="false">(</mo>'),
        (r"\mathcal D_x", "<msub><mi>𝒟</mi><mi>x</mi></msub>"),
        (r"\mathcal{B}", "<mi>ℬ</mi>"),
        (r"\mathbf 1_m", "<msub><mn>𝟏</mn><mi>m</mi></msub>"),
        (r"a\!b", '<mspace width="-0.167em" />'),
        (r"x \iff y", '<mo stretchy="false">⟺</mo>'),
        (r"k \to \infty", "<mi>∞</mi>"),
        (r"\mathop{\mathrm{arg\,min}}_w f", "<mi>arg\u2009min</mi><mi>w</mi>"),
        (r"\mathrm{copy\_down}", "<mi>copy_down</mi>"),
        (r"a < b", "<mo>&lt;</mo>"),
    ],
)
def test_what_mathml_core_lacks_is_replaced(latex, inner):
    assert inner in mathml(latex)


@pytest.mark.parametrize(
    ("latex", "parts"),
    [
        (r"a = 1,\quad b = 2", ["a = 1,", "b = 2"]),
        (r"\text{for } a \quad \quad b", [r"\text{for } a", "b"]),
        (r"\left[a \quad b\right]", [r"\left[a \quad b\right]"]),
        (r"\frac{a \quad b}{c}", [r"\frac{a \quad b}{c}"]),
        (r"\{a \quad b\}", [r"\{a", r"b\}"]),
        (r"a \leftarrow b \quad c", [r"a \leftarrow b", "c"]),
        (r"a \\ b", [r"a \\ b"]),
        ("", []),
    ],
)
def test_a_formula_is_split_between_its_parts_only(latex, parts):
    assert lines(latex) == parts


@pytest.mark.parametrize(
    "latex",
    ["a \to b", r"\nosuchcommand x", r"\frac{1}{2", r"\left( a", r"}", r"\begin{pmatrix} a"],
)
def test_what_cannot_be_translated_stays_as_code(latex):
    with pytest.raises(ValueError, match=r"raw string|cannot be read|unknown in"):
        mathml(latex)
    assert formula(latex).startswith('<pre class="formula"><code>')


@settings(deadline=None)
@given(st.text(alphabet=r"\{}ab_^ &<>$", max_size=12))
def test_whatever_it_is_given_a_page_stays_whole(latex):
    ET.fromstring(f"<div>{formula(latex)}</div>")
