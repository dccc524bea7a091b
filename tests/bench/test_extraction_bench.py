"""The extraction benchmark: equality of formulas by hand, truth of a page, and that a bad extractor scores badly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("selectolax", reason="needs the corpus extra: selectolax")

from octothinker.bench import extraction, extraction_pages
from octothinker.bench.extraction_peers import ours
from octothinker.bench.extraction_truth import truth
from octothinker.bench.mathml_form import form

MANUAL = """<html><body><div class="related"><ul><li><a>general index page</a></li>
<li><a>python modules</a></li><li><a>next topic</a></li></ul></div>
<div class="body" role="main"><h1>Rings</h1><p>Every ring has a zero and usually a one as well. Short one.</p>
<p>Let <span class="math">\\(R^2\\)</span> be free.</p><p><img class="math" alt="x + y" src="_images/math/a.png"></p>
<pre>print("\\(no formula\\)")</pre></div></body></html>"""


def mathml(inside: str) -> str:
    return f'<span><math xmlns="http://www.w3.org/1998/Math/MathML"><semantics><mrow>{inside}</mrow></semantics></math></span>'


def test_formulas_are_equal_up_to_groups_and_spaces_only() -> None:
    power = "<msup><mi>x</mi><mn>2</mn></msup>"
    assert form(mathml(power)) == form(mathml(f"<mrow>{power}<mspace width='1em'/></mrow>"))
    assert form(mathml(power)) != form(mathml(power.replace("msup", "msub")))
    assert form(mathml(power)) != form(mathml(power.replace("<mi>", "<mi mathvariant='bold'>")))
    assert form(mathml("<mfrac><mi>a</mi><mi>b</mi></mfrac>")) != form(
        mathml("<mfrac linethickness='0px'><mi>a</mi><mi>b</mi></mfrac>")
    )
    assert form(None) is None


def test_the_truth_of_a_manuals_page() -> None:
    found = truth(MANUAL)
    assert found is not None
    assert found.formulas == ["R^2", "x+y"], "code holds none"
    assert found.prose == ["everyringhasazeroandusuallyaoneaswell"]
    assert found.furniture == ["generalindexpagepythonmodulesnexttopic"]
    assert truth("<p>some other generator</p>") is None


def test_shares_of_a_page_by_hand() -> None:
    known = [(MANUAL, truth(MANUAL))]
    good = extraction.kept_of(ours, known)  # type: ignore[arg-type]
    assert (good["kept"], good["delimited"], good["prose"], good["furniture"]) == (1.0, 1.0, 1.0, 0.0)
    bad = extraction.kept_of(lambda html: "general index page, python modules, next topic: R^2", known)  # type: ignore[arg-type]
    assert (bad["kept"], bad["delimited"], bad["prose"], bad["furniture"]) == (0.5, 0.0, 0.0, 1.0)


def test_an_extractor_that_loses_pictures_is_found_out() -> None:
    found = extraction.formats({"blind": lambda html: ours(html.replace("<img", "<hr data-x="))}, True, lambda _: None)
    shares = {row["part"]: row["delimited"] for row in found}
    assert shares["WordPress image"] == 0.0 and shares["delimiters"] == 1.0


def test_what_is_between_delimiters() -> None:
    assert [extraction.inside(t) for t in ("$x$", "\n$$x$$\n", r"\(x\)", "$x$ and $y$", "x", "$x$.")] == [
        "x",
        "x",
        "x",
        None,
        None,
        "x",
    ]


def test_the_formulas_are_many_and_different() -> None:
    known = extraction_pages.cases()
    assert len(known) > 300 and len({case.tex for case in known}) == len(known)


def test_the_command_in_small_without_npm(tmp_path: Path) -> None:
    from octothinker.cli.app import app

    (tmp_path / "a.html").write_text(MANUAL)
    done = CliRunner().invoke(app, ["bench", "extraction", "--smoke", "--json", "--pages", str(tmp_path)])
    assert done.exit_code == 0
    found = {row["part"]: row for row in json.loads(done.stdout)}
    assert set(found) == {*extraction_pages.UNRENDERED, "real pages"}
    assert all(row["kept"] == row["delimited"] == 1.0 for row in found.values())
    assert found["real pages"]["pages_per_second"] > 0
