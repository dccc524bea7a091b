"""What is on real pages: formulas, prose and furniture, read off the markup of the generators that made them.

The truth is of three families of manuals whose templates say what is what: Sphinx (MathJax text, or pictures with TeX in
`alt`), GAPDoc (MathJax text) and DocBook. It tells how an extractor does on these; it says nothing of forums, blogs or
homework sites. Nothing here is shared with our extractor but the HTML parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from octothinker.corpus.extract.dom import Node, parse

FURNITURE = (
    "div.related, div.sphinxsidebar, div.footer, div.chlinktop, div.chlinkprevnexttop, div.chlinkprevnextbot, div.chlinkbot, "
    "p#mathjaxlink, p.foot, ul.docnav, p#title, div#banner, div.mobile-nav, header, nav, footer"
)
BODY = "div.body, [role=main]"
MATH = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)
SENTENCE = re.compile(r"(?<=[.!?])\s+")


class Truth(NamedTuple):
    formulas: list[str]
    prose: list[str]
    """Sentences of six words or more without formulas, letters and digits only."""
    furniture: list[str]
    """Three lines of a menu, header or footer after one another, letters and digits only, that the content does not hold."""


def bare(text: str) -> str:
    """Letters and digits, in lower case."""
    return re.sub(r"[\W_]+", "", text.lower())


def squeezed(tex: str) -> str:
    return re.sub(r"\s+", "", tex)


def truth(html: str) -> Truth | None:
    """None for a page of another generator."""
    root = parse(html)
    body = root.css_first("body") if root is not None else None
    if root is None or body is None:
        return None
    sphinx, gapdoc, docbook = (root.css_first(s) is not None for s in (BODY, "div.chlinktop", "ul.docnav"))
    if not (sphinx or gapdoc or docbook):
        return None
    content = root.css_first(BODY) if sphinx else body
    assert content is not None
    outside = {n.mem_id for part in body.css(FURNITURE) for n in part.traverse()}
    inside = [n for n in content.css("p, div.para") if n.mem_id not in outside]
    prose: list[str] = []
    for part in inside:
        if any(
            n.mem_id != part.mem_id for n in part.css("math, img, script, sup, sub, table, pre, ul, ol, dl, p, div")
        ):
            continue  # (css finds the element itself as well)
        text = part.text(deep=True) or ""
        if not re.search(r"[\\$`^_]", text):
            prose += [bare(s) for s in SENTENCE.split(text.strip()) if len(s.split()) >= 6]
    held = bare(content.text(deep=True) or "") if sphinx else bare("".join(part.text(deep=True) for part in inside))
    menus: list[str] = []
    for part in body.css(FURNITURE):
        lines = [bare(line) for line in (part.text(deep=True, separator="\n") or "").split("\n")]
        lines = [line for line in lines if line]
        menus += ["".join(lines[i : i + 3]) for i in range(0, len(lines), 3)]
    menus = [menu for menu in dict.fromkeys(menus) if len(menu) >= 12 and menu not in held]
    return Truth(_formulas(content, outside), prose, menus)


def _formulas(content: Node, outside: set[int]) -> list[str]:
    """TeX between MathJax's delimiters, code apart, and in the `alt` of formula images; each spelling once."""
    found = []
    code = {n.mem_id for part in content.css("pre, code") for n in part.traverse(include_text=True)}
    for node in content.traverse(include_text=True):
        if node.tag == "img" and "math" in (node.attributes.get("class") or "").split():
            found.append(node.attributes.get("alt") or "")
        elif node.tag == "-text" and node.mem_id not in code and node.mem_id not in outside:
            found += [a or b for a, b in MATH.findall(node.text_content or "")]
    return [tex for tex in dict.fromkeys(squeezed(tex) for tex in found) if tex]
