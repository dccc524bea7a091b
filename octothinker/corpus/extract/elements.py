"""Elements that are a formula: MathML, scripts with TeX, and what KaTeX, MathJax, MediaWiki and others put on a page.

    TeX of the author (annotation, script, data-tex, alttext) -> else content or presentation MathML -> TeX

`formula` answers for one element: None when it is none of these, else the formula, or `SWALLOWED` for the rendered copy of
a formula that stands beside it in another form.
"""

from __future__ import annotations

import re
from functools import lru_cache

from octothinker.corpus.extract import mathml
from octothinker.corpus.extract.asciimath import asciimath
from octothinker.corpus.extract.content import content_tex
from octothinker.corpus.extract.dom import Node, attributes, children, local, parse, words
from octothinker.corpus.extract.page import Formula
from octothinker.corpus.extract.texts import clean

SWALLOWED = Formula("", False, "")
TEX = re.compile(r"(?:^|[/-])(?:x-)?(?:la)?tex\b|^math/tex", re.I)
MATHJAX2 = re.compile(r"^(?:MathJax(?:_\w+)?|MJXp-math|MJXc-display|mjx-chtml|MathJax_SVG_Display)$")
DATA = frozenset(["data-tex", "data-latex", "data-katex", "data-expr", "data-equation", "data-mathtex", "data-math-tex"])
SPOKEN = re.compile(r"[A-Za-z]{3,} [A-Za-z]{2,}")


@lru_cache(maxsize=1 << 14)
def role(classes: str) -> str:
    """What the class of an element says of formulas: katex, wiki, mathjax2, raw, gitlab, or nothing."""
    for name in classes.split():
        if name in ("katex", "katex-display", "katex--inline", "katex--display", "katex-error", "katex-mathml"):
            return "katex"
        if name.startswith("mwe-math-element"):
            return "wiki"
        if MATHJAX2.match(name):
            return "mathjax2"
        if name in ("math", "tex", "latex", "math-tex", "ql-formula", "ztext-math", "tex2jax_process", "tex-math", "math-inline", "math-display"):
            return "raw"
        if name in ("js-render-math", "language-math"):
            return "gitlab"
    return ""


def formula(node: Node, tag: str, given: dict[str, str | None]) -> Formula | None:
    if tag == "math" or tag.endswith(":math"):
        return from_math(node)
    if tag == "script":
        kind = (given.get("type") or "").lower()
        return _script(node, kind) if kind.startswith("math/") else SWALLOWED
    if tag == "mjx-container":
        return _mathjax3(node, given)
    if tag in ("tex-math", "math-renderer", "x-equation"):
        return _raw(words(node), tag == "x-equation" or "$$" in words(node))
    if not DATA.isdisjoint(given):
        value = next(given[name] for name in given if name in DATA)
        if value:
            shown = "display" in (given.get("class") or "") or given.get("data-display") == "true"
            return Formula(clean(value), shown, "attribute")
    classes = given.get("class")
    known = role(classes) if classes else ""
    return _by_class(node, tag, known, given) if known else None


def _by_class(node: Node, tag: str, known: str, given: dict[str, str | None]) -> Formula | None:
    classes = given.get("class") or ""
    if known == "katex":
        if "katex-error" in classes:
            return _raw(words(node), False)
        return _annotated(node, "katex", "katex-display" in classes or "katex--display" in classes)
    if known == "wiki":
        shown = "mwe-math-element-block" in classes or node.css_first(".mwe-math-fallback-image-display, .mwe-math-mathml-display") is not None
        found = _annotated(node, "mediawiki", shown)
        if found is None and (image := node.css_first("img")) is not None:
            alt = clean(image.attributes.get("alt") or "")
            found = Formula(alt, shown, "image") if alt else None
        return found
    if known == "mathjax2":
        return _mathjax2(node, given)
    if known == "gitlab":
        return _raw(words(node), given.get("data-math-style") == "display")
    if value := given.get("data-value"):  # Quill
        return Formula(clean(value), False, "attribute")
    if children(node) or ("notranslate" in classes and tag == "div" and "$" not in words(node) and "\\" not in words(node)):
        return None
    text = words(node)
    if re.search(r"\\\(|\\\[|\$|\\begin\{", text) or tag in ("p", "body") or not text:
        return None  # delimiters say it better
    return _raw(text, "display" in classes or tag == "div") if len(text) < 2000 and not SPOKEN.search(re.sub(r"\{[^}]*\}", "", text)) else None


def _raw(text: str, display: bool) -> Formula | None:
    shown = display or text.lstrip().startswith(("$$", "\\["))
    return Formula(clean(text), shown, "element") if clean(text) else None


# ---- MathML -----------------------------------------------------------------------------------------------------------


def from_math(node: Node, kind: str = "", display: bool = False) -> Formula:
    """A `math` element: its TeX annotation, its alternative text if that is TeX, else converted."""
    given = attributes(node)
    shown = display or given.get("display") == "block" or given.get("mode") == "display"
    for note in node.css("annotation, annotation-xml, m\\:annotation, mml\\:annotation"):
        encoding = note.attributes.get("encoding") or ""
        if TEX.search(encoding) and (found := clean(note.text(deep=True))):
            return Formula(found, shown, kind or "annotation")
        if "ascii" in encoding.lower() and (found := words(note)):
            return Formula(asciimath(found), shown, "asciimath")
    alternative = given.get("alttext", "")
    if alternative and _is_tex(alternative):
        return Formula(clean(alternative), shown, kind or "annotation")
    try:
        found = content_tex(node) or mathml.tex(node)
    except RecursionError:
        found = words(node)
    return Formula(clean(found), shown, "mathml") if found.strip() else SWALLOWED


def _is_tex(text: str) -> bool:
    if SPOKEN.search(re.sub(r"\\\w+\s*(?:\{[^{}]*\})?", "", text)):
        return False
    return bool(re.search(r"[\\^_{}=<>+*/()-]", text)) or len(text) <= 3 or text.replace(".", "").isdigit()


def _annotated(node: Node, kind: str, display: bool) -> Formula | None:
    inside = next((n for n in node.traverse() if local(n) == "math"), None)
    if inside is not None:
        return from_math(inside, kind, display or "katex-display" in (node.attributes.get("class") or ""))
    note = node.css_first("annotation")  # libraries that drop the MathML around it
    return Formula(clean(note.text(deep=True)), display, kind) if note is not None else None


def _fragment(markup: str, display: bool, kind: str = "") -> Formula | None:
    """MathML that stands in an attribute or a script."""
    root = parse(markup)
    inside = next((n for n in root.traverse() if local(n) == "math"), None) if root is not None else None
    return from_math(inside, kind, display) if inside is not None else None


# ---- scripts and MathJax ----------------------------------------------------------------------------------------------


def _script(node: Node, kind: str) -> Formula:
    text = node.text(deep=True)
    text = re.sub(r"^\s*(?:%\s*)?<!\[CDATA\[|(?:%\s*)?\]\]>\s*$", "", text)
    shown = "mode=display" in kind.replace(" ", "")
    if kind.startswith("math/mml"):
        return _fragment(text, shown) or SWALLOWED
    if kind.startswith("math/asciimath"):
        return Formula(asciimath(text), shown, "asciimath")
    found = clean(text)
    return Formula(found, shown, "script") if found else SWALLOWED


def _mathjax2(node: Node, given: dict[str, str | None]) -> Formula | None:
    """What MathJax 2 has rendered: swallowed when its script follows, else read from the MathML that it keeps."""
    following, steps = node, 0
    while following is not None and steps < 6:
        following = following.next  # type: ignore[assignment]
        steps += 1
        if following is not None and following.tag == "script" and (following.attributes.get("type") or "").startswith("math/"):
            return SWALLOWED
    shown = "isplay" in (given.get("class") or "")
    kept = node if given.get("data-mathml") else node.css_first("[data-mathml]")
    if kept is not None:
        return _fragment(kept.attributes.get("data-mathml") or "", shown, "mathjax")
    inside = next((n for n in node.traverse() if local(n) == "math"), None)
    if inside is not None:
        return from_math(inside, "mathjax", shown)
    if "MathJax_Preview" in (given.get("class") or ""):
        return SWALLOWED if not words(node) else None
    if words(node) and node.css_first("script") is not None:
        return None
    return _raw_label(node, shown)


def _raw_label(node: Node, shown: bool) -> Formula | None:
    labelled = node.css_first("[aria-label]")
    label = (labelled.attributes.get("aria-label") or "") if labelled is not None else ""
    return Formula(clean(label), shown, "mathjax") if label and _is_tex(label) else None


def _mathjax3(node: Node, given: dict[str, str | None]) -> Formula | None:
    """MathJax 3: the assistive MathML, or TeX that a site has put beside."""
    shown = given.get("display") == "true"
    for name in (*DATA, "data-original", "alt"):
        if value := given.get(name):
            return Formula(clean(value), shown, "attribute")
    inside = next((n for n in node.traverse() if local(n) == "math"), None)
    if inside is not None:
        return from_math(inside, "mathjax", shown)
    label = given.get("aria-label") or ""
    return Formula(clean(label), shown, "mathjax") if label and _is_tex(label) and re.search(r"[\\^_]", label) else SWALLOWED
