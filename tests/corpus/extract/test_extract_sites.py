"""How sites ship formulas, one page each: the TeX, whether it is set apart, and what it was read from."""

from __future__ import annotations

import pytest

pytest.importorskip("selectolax", reason="needs the corpus extra: selectolax")

from octothinker.corpus.extract import extract

NOTE = "<math><semantics><mi>x</mi><annotation encoding='application/x-tex'>x^2</annotation></semantics></math>"
ASSISTIVE = "<mjx-assistive-mml><math><msup><mi>x</mi><mn>2</mn></msup></math></mjx-assistive-mml>"
WIKI = NOTE.replace("x^2", "{\\displaystyle x^2}")
SITES = [
    (
        f"<span class='katex'><span class='katex-mathml'>{NOTE}</span><span class='katex-html'>x2</span></span>",
        "katex",
        False,
    ),
    (
        f"<span class='katex-display'><span class='katex'><span class='katex-mathml'>{NOTE}</span>x2</span></span>",
        "katex",
        True,
    ),
    ("<span class='katex-error' title='ParseError'>x^2</span>", "element", False),
    (
        "<span class='MathJax_Preview'>x2</span><span class='MathJax'>x2</span><script type='math/tex'>x^2</script>",
        "script",
        False,
    ),
    ("<script type='math/tex; mode=display'>% <![CDATA[\nx^2 %]]></script>", "script", True),
    (
        "<span class='MathJax' data-mathml='<math><msup><mi>x</mi><mn>2</mn></msup></math>'><nobr>x2</nobr></span>",
        "mathml",
        False,
    ),
    (f"<mjx-container display='true'><mjx-math>junk</mjx-math>{ASSISTIVE}</mjx-container>", "mathml", True),
    (
        f"<span class='mwe-math-element'><span style='display:none'>{WIKI}</span><img alt='y' src='y.svg'></span>",
        "mediawiki",
        False,
    ),
    (
        "<span class='mwe-math-element'><img class='mwe-math-fallback-image' alt='{\\displaystyle x^2}' src='y.svg'></span>",
        "image",
        False,
    ),
    ("<img src='https://s0.wp.com/latex.php?latex=x%5E2&bg=ffffff' alt='x^2' class='latex'>", "image", False),
    ("<img src='https://latex.codecogs.com/gif.latex?\\dpi{120}&space;x^2'>", "image", False),
    ("<img src='/cgi-bin/mimetex.cgi?x^2'>", "image", False),
    ("<img class='formulaInl' alt='$ x^2 $' src='form_1.png'>", "image", False),
    ("<p class='formulaDsp'><img class='formulaDsp' alt='\\[ x^2 \\]' src='form_2.png'></p>", "image", True),
    ("<div class='math'><p><img src='_images/math/1.png' alt='x^2'></p></div>", "image", True),
    ("<img eeimg='1' alt='x^2' src='//zhihu.com/equation?tex=x%5E2'>", "image", False),
    (
        "<img class='lazy' src='data:image/gif;base64,R0' data-src='https://chart.googleapis.com/chart?cht=tx&chl=x%5E2'>",
        "image",
        False,
    ),
    ("<span class='wp-katex-eq' data-display='false'>x^2</span>", "delimited", False),
    ("<span data-expr='x^2'><b>x2</b></span>", "attribute", False),
    ("<span class='math inline'>x^2</span>", "element", False),
    ("<span class='math'>\\(x^2\\)</span>", "delimited", False),
    ("\\[x^2\\]", "delimited", True),
    ("$$x^2$$", "delimited", True),
    ("\\begin{equation}x^2\\end{equation}", "delimited", True),
    ("<i>x</i><sup>2</sup>", "sup_sub", False),
    ("<math-renderer>$x^2$</math-renderer>", "element", False),
    ("<code class='js-render-math' data-math-style='display'>x^2</code>", "element", True),
]


@pytest.mark.parametrize(("html", "kind", "display"), SITES)
def test_a_formula_comes_out_once_and_delimited(html: str, kind: str, display: bool) -> None:
    if "wp-katex-eq" in html:
        html = html.replace(">x^2<", ">$x^2$<")
    page = extract(f"<p>before</p><div>{html}</div><p>after</p>")
    tex = page.formulas[0].tex.replace("{2}", "2")
    shown = "$$x^2$$" if display else "$x^2$"
    assert (tex, page.formulas[0].display, page.formulas[0].kind) == ("x^2", display, kind)
    assert page.text.replace("{2}", "2") == f"before\n\n{shown}\n\nafter"


def test_environments_stay_what_they_are() -> None:
    page = extract(r"<p>so \begin{align*}a &amp;= b\\ c &amp;&lt; d\end{align*}</p>")
    assert page.text == "so\n$$\\begin{align*}a &= b\\\\ c &< d\\end{align*}$$"


def test_prices_are_no_formulas() -> None:
    assert extract("<p>It costs $5, not $10 or $7.50.</p>").text == r"It costs \$5, not \$10 or \$7.50."
    assert extract("<p>Let $x$ be $n+1$ and $y_1$.</p>").text == "Let $x$ be $n+1$ and $y_1$."


def test_dollars_are_read_as_the_pages_own_script_says() -> None:
    text = "<p>the $small category$ of sets</p>"
    script = "<script>MathJax = {tex: {inlineMath: [['$', '$'], ['\\\\(', '\\\\)']]}}</script>"
    assert extract(text).formulas == []
    assert [f.tex for f in extract(script + text).formulas] == ["small category"]


def test_asciimath_is_read_where_the_page_loads_it() -> None:
    text = "<p>`sum_(i=1)^n i^2 = (n(n+1))/2`</p>"
    script = "<script src='MathJax.js?config=AM_HTMLorMML'></script>"
    assert extract(text).formulas == []
    assert extract(script + text).formulas[0].tex == r"\sum_{i=1}^{n}i^{2}=\frac{n(n+1)}{2}"


def test_code_is_no_formula() -> None:
    page = extract(r"<p>Type <code>\(x\)</code> here.</p><pre>$a = \[1\]$</pre>")
    assert page.formulas == []
    assert page.text == "Type `\\(x\\)` here.\n\n```\n$a = \\[1\\]$\n```"


def test_ordinals_and_notes_are_no_powers() -> None:
    assert extract("<p>the 5<sup>th</sup> day of H<sub>2</sub>O</p>").text == "the 5th day of $H_{2}$O"
    assert extract("<p>as shown<sup><a href='#note1'>[1]</a></sup> before</p>").text == "as shown before"


def test_pictures_are_no_formulas() -> None:
    page = extract(
        "<p>A cat <img src='cat.png' alt='a cat'> and <img src='logo.svg' class='equation-logo' alt='logo.svg'></p>"
    )
    assert page.formulas == []
