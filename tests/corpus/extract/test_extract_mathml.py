"""MathML -> TeX: what KaTeX, MathJax, Temml, LaTeXML and Word write for a command gives the command back."""

from __future__ import annotations

import pytest

pytest.importorskip("selectolax", reason="needs the corpus extra: selectolax")

from octothinker.corpus.extract import extract

APPLY = "<mo>\u2061</mo>"
PRESENTATION = [
    ("<mfrac><mi>a</mi><mn>2</mn></mfrac>", r"\frac{a}{2}"),
    ("<msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><msub><mi>y</mi><mi>i</mi></msub>", "x^{2}+y_{i}"),
    ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>", "x_{i}^{2}"),
    ("<msup><mi>f</mi><mo>\u2032</mo></msup><mi>x</mi>", "f'x"),
    ("<msqrt><mi>x</mi><mo>\u2212</mo><mn>1</mn></msqrt>", r"\sqrt{x-1}"),
    ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
    (f"<mi>sin</mi>{APPLY}<mi>x</mi>", r"\sin x"),
    (f'<mi mathvariant="normal">Var</mi>{APPLY}<mi>X</mi>', r"\operatorname{Var}X"),
    ('<mi mathvariant="normal">GL</mi>', r"\mathrm{GL}"),
    ('<mi mathvariant="double-struck">R</mi><mi>\u211d</mi>', r"\mathbb{R}\mathbb{R}"),
    ("<mi>α</mi><mi>x</mi><mo>≤</mo><mi>β</mi>", r"\alpha x\leq\beta"),
    ('<mi mathvariant="normal">Γ</mi><mi mathvariant="normal">∞</mi>', r"\Gamma\infty"),
    (
        "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi>",
        r"\sum_{i=1}^{n}i",
    ),
    (
        f"<munder><mrow><mi>lim</mi>{APPLY}</mrow><mrow><mi>x</mi><mo>→</mo><mn>0</mn></mrow></munder>",
        r"\lim_{x\rightarrow0}",
    ),
    ('<mover accent="true"><mi>x</mi><mo>^</mo></mover>', r"\hat{x}"),
    ('<mover accent="true"><mrow><mi>A</mi><mi>B</mi></mrow><mo stretchy="true">\u203e</mo></mover>', r"\overline{AB}"),
    ("<mover><mo>=</mo><mi>d</mi></mover>", r"\overset{d}{=}"),
    ('<mover><mo stretchy="true">→</mo><mi>f</mi></mover>', r"\xrightarrow{f}"),
    (
        '<mrow><mo fence="true">(</mo><mfrac><mi>a</mi><mi>b</mi></mfrac><mo fence="true">)</mo></mrow>',
        r"\left(\frac{a}{b}\right)",
    ),
    ('<mo stretchy="false">(</mo><mi>a</mi><mo stretchy="false">)</mo>', "(a)"),
    (
        "<mo>+</mo>".join(f'<mo fence="true">(</mo><mi>{c}</mi><mo fence="true">)</mo>' for c in "ab"),
        "(a)+(b)",
    ),
    (
        '<mrow><mo fence="true">(</mo><mfrac linethickness="0px"><mi>n</mi><mi>k</mi></mfrac><mo fence="true">)</mo></mrow>',
        r"\binom{n}{k}",
    ),
    ('<mfenced open="[" close=")"><mn>0</mn><mn>1</mn></mfenced>', r"\left[0,1\right)"),
    ('<mtext>if\u00a0</mtext><mspace width="1em"/><mi>x</mi>', r"\text{if }\quad x"),
    ("<mmultiscripts><mi>C</mi><mprescripts/><mn>6</mn><mn>14</mn></mmultiscripts>", "{}_{6}^{14}C"),
    ('<menclose notation="updiagonalstrike"><mi>x</mi></menclose>', r"\cancel{x}"),
]
CELLS = "<mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr>"
TABLES = [
    (f"<mtable>{CELLS}</mtable>", r"\begin{matrix} a & b \\ 1 & 2 \end{matrix}"),
    (
        f'<mrow><mo fence="true">[</mo><mtable>{CELLS}</mtable><mo fence="true">]</mo></mrow>',
        r"\begin{bmatrix} a & b \\ 1 & 2 \end{bmatrix}",
    ),
    (
        f'<mrow><mo fence="true">{{</mo><mtable columnalign="left left">{CELLS}</mtable></mrow>',
        r"\begin{cases} a & b \\ 1 & 2 \end{cases}",
    ),
    (f'<mtable columnalign="right left">{CELLS}</mtable>', r"\begin{aligned} a & b \\ 1 & 2 \end{aligned}"),
    (
        f'<mtable columnalign="center center" columnlines="solid">{CELLS}</mtable>',
        r"\begin{array}{c|c} a & b \\ 1 & 2 \end{array}",
    ),
]
CONTENT = [
    ("<apply><plus/><ci>x</ci><cn>1</cn></apply>", "x+1"),
    ("<apply><times/><apply><plus/><ci>a</ci><ci>b</ci></apply><ci>c</ci></apply>", "(a+b) c"),
    ("<apply><eq/><apply><power/><ci>x</ci><cn>2</cn></apply><cn>4</cn></apply>", "x^{2}=4"),
    ("<apply><divide/><cn>1</cn><apply><sin/><ci>x</ci></apply></apply>", r"\frac{1}{\sin(x)}"),
    (
        "<apply><sum/><bvar><ci>i</ci></bvar><lowlimit><cn>1</cn></lowlimit><uplimit><ci>n</ci></uplimit><ci>i</ci></apply>",
        r"\sum_{i=1}^{n} i",
    ),
    (
        "<apply><int/><bvar><ci>x</ci></bvar><lowlimit><cn>0</cn></lowlimit><uplimit><cn>1</cn></uplimit><ci>x</ci></apply>",
        r"\int_{0}^{1} x\,dx",
    ),
    ("<interval closure='open-closed'><cn>0</cn><cn>1</cn></interval>", "(0, 1]"),
]


@pytest.mark.parametrize(("mathml", "tex"), [*PRESENTATION, *TABLES, *CONTENT])
def test_mathml_becomes_the_command_that_it_came_from(mathml: str, tex: str) -> None:
    page = extract(f"<p>so <math>{mathml}</math> holds</p>")
    assert page.text == f"so ${tex}$ holds"
    assert [formula.kind for formula in page.formulas] == ["mathml"]


def test_prefixes_of_xhtml_are_names_all_the_same() -> None:
    page = extract("<p><m:math><m:mfrac><m:mi>a</m:mi><m:mi>b</m:mi></m:mfrac></m:math></p>")
    assert page.text == r"$\frac{a}{b}$"


def test_the_authors_tex_comes_before_any_conversion() -> None:
    body = (
        "<semantics><mi>x</mi><annotation encoding='application/x-tex'>{\\displaystyle x_{0}}</annotation></semantics>"
    )
    assert extract(f"<math display='block'>{body}</math>").text == "$$x_{0}$$"
    assert extract(r"<math alttext='\frac{1}{2}'><mi>y</mi></math>").text == r"$\frac{1}{2}$"
    assert extract("<math alttext='one half of the cake'><mi>y</mi></math>").text == "$y$", "words for a screen reader"
