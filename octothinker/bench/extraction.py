"""`octo bench extraction`: do formulas survive? Known TeX, drawn by real renderers, and real pages; ours beside others.

    formulas.txt -> render.js (KaTeX, Temml, MathJax 2 and 3) -> pages of nine kinds of site -> extractors -> TeX between marks
    real pages (--pages) -> truth of their generators -> formulas, prose and furniture kept, pages/s a core

`kept`: the TeX is there, white space apart. `delimited`: what stands between the marks is set in $, $$, \\( \\) or \\[ \\].
`equal`: it renders to the same MathML again (mathml_form.py).
"""

from __future__ import annotations

import random
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from octothinker.bench import extraction_pages as pages
from octothinker.bench.extraction_peers import OURS, Extractor, ours, peers
from octothinker.bench.extraction_truth import Truth, bare, squeezed, truth
from octothinker.bench.mathml_form import form

Say = Callable[[str], None]
Row = dict[str, Any]
REACH = {
    "with TeX": 0.97,
    "without TeX": 0.92,
    "delimited": 0.985,
    "prose": 0.97,
    "furniture": 0.10,
    "pages_per_second": 180.0,
}
DELIMITED = re.compile(r"\s*(?:\$\$(.*)\$\$|\$([^$]*(?:\\\$[^$]*)*)\$|\\\((.*)\\\)|\\\[(.*)\\\])\s*[.,]?\s*", re.S)
SPEED_PAGES = 60


def rows(real: Path | None, smoke: bool, say: Say) -> list[Row]:
    """One row for each extractor and kind of page. `real`: a WARC or folder of pages; `smoke`: no renderer, few formulas."""
    others, missing = ({}, {}) if smoke else peers()
    extractors: dict[str, Extractor] = {OURS: ours, **others}
    out = [{"part": "not here", "extractor": name, "missing": how} for name, how in missing.items()]
    try:
        out += formats(extractors, smoke, say)
    except pages.NoRenderer as error:
        out.append({"part": "rendered pages", "extractor": "all", "missing": str(error)})
    if real is not None:
        out += real_pages(extractors, real, say)
    return out


# ---- known formulas ---------------------------------------------------------------------------------------------------


def formats(extractors: dict[str, Extractor], smoke: bool, say: Say) -> list[Row]:
    known = pages.cases()[:24] if smoke else pages.cases()
    drawn: list[dict[str, str]] = [{} for _ in known]
    folder = None
    if not smoke:
        folder = pages.renderers(say)
        say(f"rendering {len(known)} formulas")
        requests = [{"op": "render", "tex": case.tex, "display": case.display} for case in known]
        drawn = pages.node(folder, requests)
        failed = [case.tex for case, answer in zip(known, drawn, strict=True) if "error" in answer]
        if failed:
            raise pages.NoRenderer(f"{len(failed)} formulas were not rendered, {failed[0]!r} first")
    shipped = pages.UNRENDERED if smoke else {**pages.WITH_TEX, **pages.WITHOUT_TEX}
    found: list[tuple[Row, list[str], list[pages.Case]]] = []
    for name, extract in extractors.items():
        say(f"{name}: {len(shipped)} formats")
        for kind, ship in shipped.items():
            got, cases = _between_marks(extract, ship, known, drawn)
            row: Row = {"part": kind, "extractor": name, "n": len(cases), **_literal(got, cases)}
            row["reach"] = (
                {"equal": REACH["without TeX" if kind in pages.WITHOUT_TEX else "with TeX"]} if not smoke else {}
            )
            found.append((row, got, cases))
    if folder is not None:
        _rendered_again(found, folder)
    return [row for row, _, _ in found]


def _between_marks(
    extract: Extractor, ship: pages.Ship, known: list[pages.Case], drawn: list[dict[str, str]]
) -> tuple[list[str], list[pages.Case]]:
    """What an extractor leaves of each formula: its text between the marks, "" where a mark is lost."""
    got, cases = [], []
    for sheet in pages.sheets(ship, known, drawn):
        text = extract(sheet.html)
        for number, case in sheet.cases.items():
            before, after = pages.mark(number)
            match = re.search(f"{before}(.*?){after}", text, re.S)
            got.append(match[1].strip() if match else "")
            cases.append(case)
    return got, cases


def inside(text: str) -> str | None:
    """The TeX between delimiters, if the text is just that."""
    match = DELIMITED.fullmatch(text)
    return next((group.strip() for group in match.groups() if group is not None), None) if match else None


def _literal(got: list[str], cases: list[pages.Case]) -> dict[str, float]:
    kept = [squeezed(case.tex) in squeezed(text) for text, case in zip(got, cases, strict=True)]
    delimited = [inside(text) is not None for text in got]
    return {"kept": sum(kept) / len(kept), "delimited": sum(delimited) / len(delimited)}


def _rendered_again(found: list[tuple[Row, list[str], list[pages.Case]]], folder: Path) -> None:
    """Sets `equal`: the TeX between the delimiters, or all of the text where there are none, gives the same MathML."""
    wanted: dict[str, None] = {}
    for _, got, cases in found:
        wanted |= dict.fromkeys(case.tex for case in cases)
        wanted |= dict.fromkeys(inside(text) or text for text in got if text and len(text) < 2000)
    texts = list(wanted)
    answers = pages.node(folder, [{"op": "mathml", "tex": tex, "display": False} for tex in texts])
    forms = {tex: form(answer["mathml"]) for tex, answer in zip(texts, answers, strict=True)}
    for row, got, cases in found:
        same = []
        for text, case in zip(got, cases, strict=True):
            mine = forms.get(inside(text) or text)
            same.append(mine is not None and mine == forms[case.tex])
        row["equal"] = sum(same) / len(same)


# ---- real pages -------------------------------------------------------------------------------------------------------


def real_pages(extractors: dict[str, Extractor], path: Path, say: Say) -> list[Row]:
    from octothinker.corpus.extract.page import decode
    from octothinker.corpus.read import Reader

    htmls = [decode(page.html) for page in Reader(str(path))]
    known = [(html, found) for html in htmls if (found := truth(html)) is not None]
    say(f"{len(htmls)} pages, {len(known)} of known generators")
    timed = random.Random(0).sample(htmls, min(SPEED_PAGES, len(htmls)))
    out = []
    for name, extract in extractors.items():
        say(f"{name}: {len(known)} real pages")
        row: Row = {"part": "real pages", "extractor": name, **kept_of(extract, known)}
        row["pages_per_second"] = speed(extract, timed)
        row["reach"] = {k: REACH[k] for k in ("delimited", "prose", "furniture", "pages_per_second")}
        out.append(row)
    base = out[0]["pages_per_second"]
    for row in out:
        row["speed_of_ours"] = row["pages_per_second"] / base
    return out


def kept_of(extract: Extractor, known: list[tuple[str, Truth]]) -> dict[str, float]:
    """Shares of formulas (kept, delimited), sentences and furniture over all pages together."""
    count = dict.fromkeys(("n", "kept", "delimited", "sentences", "prose", "menus", "furniture"), 0)
    for html, real in known:
        text = extract(html)
        whole, letters = squeezed(text), bare(text)
        shown = [squeezed(next(g for g in groups if g)) for groups in SHOWN.findall(text) if any(groups)]
        between = set(shown)
        count["n"] += len(real.formulas)
        count["kept"] += sum(tex in whole for tex in real.formulas)
        count["delimited"] += sum(tex in between for tex in real.formulas)
        count["sentences"] += len(real.prose)
        count["prose"] += sum(sentence in letters for sentence in real.prose)
        count["menus"] += len(real.furniture)
        count["furniture"] += sum(menu in letters for menu in real.furniture)
    return {
        "n": count["n"],
        "kept": count["kept"] / max(count["n"], 1),
        "delimited": count["delimited"] / max(count["n"], 1),
        "sentences": count["sentences"],
        "prose": count["prose"] / max(count["sentences"], 1),
        "menus": count["menus"],
        "furniture": count["furniture"] / max(count["menus"], 1),
    }


SHOWN = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$((?:\\.|[^$\\])+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)


def speed(extract: Extractor, htmls: list[str]) -> float:
    """Pages a second of processor time, this process's and its children's, the better of two rounds."""

    def used() -> float:
        own, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime

    best = float("inf")
    for _ in range(2):
        began = used()
        for html in htmls:
            extract(html)
        best = min(best, used() - began)
    return len(htmls) / max(best, 1e-9)
