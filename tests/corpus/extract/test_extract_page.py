"""A page as light Markdown: what stays, what goes, and that a broken page is only ever a PageError."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("selectolax", reason="needs the corpus extra: selectolax")

from octothinker.corpus.extract import Limits, PageError, extract, plain_text, strip_formulas
from octothinker.corpus.extract.texts import unwrapped

PAGE = """<!DOCTYPE html><html><head><title>On squares</title><style>p {}</style></head><body>
<header role="banner">My site</header><nav><a href="/">Home</a> <a href="/b">Blog</a></nav>
<div class="breadcrumb"><a href="/m">Maths</a> / Squares</div>
<main><h1>Squares<a class="headerlink" href="#squares">¶</a></h1>
<p>The square of <em>n</em> is \\(n^2\\),
   as <a href="/q">everybody</a> knows.</p>
<h2>Examples</h2><ul><li>one</li><li>two<ol><li>deep</li></ol></li></ul>
<table><tr><th>n</th><th>n²</th></tr><tr><td>2</td><td>\\(4\\)</td></tr></table>
<pre>for n in range(3):
    print(n * n)</pre>
<div class="sidebar"><p>A note beside the text, which says something of its own. It is prose, and it is long enough to be
worth reading. It has no links at all. Somebody wrote it, with care. So it stays here,
in its place, among the rest of it.</p></div>
<div style="display: none">hidden</div>
<h2>See also</h2><ul><li><a href="/1">Cubes</a></li><li><a href="/2">Roots</a></li><li><a href="/3">Powers</a></li></ul>
</main><footer>Copyright 2020</footer></body></html>"""


def test_a_page_as_light_markdown() -> None:
    page = extract(PAGE, "http://x.example/")
    assert page.title == "On squares"
    head, _, rest = page.text.partition("A note beside")
    assert head == (
        "# Squares\n\nThe square of n is $n^2$, as everybody knows.\n\n## Examples\n\n- one\n- two\n  1. deep\n\n"
        "| n | n² |\n| --- | --- |\n| 2 | $4$ |\n\n```\nfor n in range(3):\n    print(n * n)\n```\n\n"
    )
    assert rest.endswith("among the rest of it."), "no hidden text, no links for the sake of links, no empty heading"


def test_a_bad_class_name_does_not_empty_a_page() -> None:
    text = "This whole page stands in an element that is called a menu. " * 20
    assert extract(f"<div class='menu'><p>{text}</p></div>").text == text.strip()


def test_xhtml_with_empty_elements_is_read_to_its_end() -> None:
    head = '<html xmlns="http://www.w3.org/1999/xhtml"><head><script src="a.js"/><title/></head>'
    html = f'<?xml version="1.0"?>{head}<body><a id="t"/><p>All here.</p></body></html>'
    assert extract(html).text == "All here."


def test_encodings() -> None:
    assert extract("<p>naïve café, Größe über alles</p>".encode("latin-1")).text == "naïve café, Größe über alles"
    assert extract("<p>вес и мера</p>".encode("cp1251"), charset="cp1251").text == "вес и мера"
    assert extract("<p>naïve</p>".encode("latin-1"), charset="no-such-charset").text == "naïve"
    assert extract(b"<p>a\0b</p>").text == "ab"
    assert extract("<p>\ufdd00\ufdd1 is no token of ours</p>").text == "0 is no token of ours"


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("<p>" + "x" * 2_000_000, "too_large"),
        ("<div>" * 100_000 + "x", "too_deep"),
        ("<sup>" * 3_000 + "x", "too_deep"),
        ("<b><i>" * 2_000 + "x", "too_deep"),
        ("<math><mi>x</mi></math>" * 200, "too_many_formulas"),
        ("\\(x\\) " * 200, "too_many_formulas"),
        ("", "empty"),
        ("<nav>only a menu</nav>", "empty"),
    ],
)
def test_a_page_beyond_the_limits_is_given_up_under_its_reason(html: str, reason: str) -> None:
    with pytest.raises(PageError) as error:
        extract(html, limits=Limits(bytes=1_000_000, formulas=100))
    assert error.value.reason == reason


SOUP = (
    "<p> </p> <div> </div> <math> </math> <mi> <mo> <msup> <mfrac> <mtable> <mtr> <mtd> <mover> <munder> </script> "
    "<sup> </sup> <table> <tr> <td> </table> <ul> <li> <a href='#'> </a> <pre> <code> \\( \\) "
    "\\[ \\] $ $$ \\begin{align} \\end{align} ` { } "
    "<img class='tex' alt='x'> <span class='katex'> <mjx-container> <annotation encoding='TeX'> \\ ^ _ x 2 α \ufdd0 \ufdd1 \0"
)
PIECES = st.sampled_from(
    SOUP.split(" ")
    + [
        "<mmultiscripts>",
        "<mprescripts/>",
        "<script type='math/tex'>",
        "<apply>",
        "<plus/>",
        "<ci>",
        "<mfenced>",
        "<span class='MathJax' data-mathml='<math>'>",
        " ",
        "\n",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=40))
def test_any_soup_of_tags_is_a_page_or_a_page_error(pieces: list[str]) -> None:
    try:
        page = extract("".join(pieces))
    except PageError:
        return
    assert "\ufdd0" not in page.text and "\ufdd5" not in page.text, "every token has become text"
    for formula in page.formulas:
        assert formula.tex and (
            f"${' '.join(formula.tex.split(chr(10)))}$" in page.text or f"$${formula.tex}$$" in page.text
        )


def test_the_wrapper_is_taken_off_only_when_its_brace_closes_at_the_end() -> None:
    assert unwrapped(r"{\displaystyle \frac{a}{b}}") == r"\frac{a}{b}"
    assert unwrapped(r"{\displaystyle a}+{b}") == r"{\displaystyle a}+{b}"


def test_the_cheap_pass_keeps_all_text_and_the_stripped_one_only_words() -> None:
    assert "everybody" in plain_text(PAGE) and "Blog" in plain_text(PAGE)
    text = r"Let $\alpha_1 < 3$ be a root, \[x^2=1\] and \emph{then} `f(x)` holds: 42."
    assert strip_formulas(text) == "Let be a root, and then holds: ."
