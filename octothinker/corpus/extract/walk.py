"""One walk over a page: blocks of light Markdown, formulas held as tokens until the end.

    page -> main content -> walk (elements: formula | dropped | block | inline) -> blocks -> menus out -> text, formulas

The tree is only read, never changed, and visited once; nesting is bounded by `Limits.depth`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from octothinker.corpus.extract import elements, images
from octothinker.corpus.extract.blocks import (
    DROPPED,
    HEADERLINK,
    ROLES,
    SAFE,
    Block,
    furniture,
    hidden,
    kept,
    main_content,
)
from octothinker.corpus.extract.dom import Node, parse
from octothinker.corpus.extract.grid import grid
from octothinker.corpus.extract.page import Formula, Limits, Page, PageError, check_depth, decode
from octothinker.corpus.extract.texts import END, HOLD, SHUT, SUB, SUP, TOKEN, as_text, configured, mathematics

BLOCKS = set(
    ["p", "div", "section", "article", "main", "header", "aside", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "pre", "blockquote", "table", "figure", "figcaption", "address", "details", "summary", "fieldset", "form", "legend", "hgroup", "tr", "td", "th", "tbody", "thead", "tfoot", "caption", "center", "dir", "menu", "hr", "body"]
)
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
LOOKED_AT = {"span", "div", "p", "table", "ul", "ol", "li", "section", "a", "aside", "header", "td", "dl", "form", "sup", "em", "code", "center", "tr"}
"""Elements whose class, id and style are read; on others they say nothing that we use."""
CODE = "\ufdd5"
CODES = re.compile(f"{CODE}(\\d+){END}")
BREAK = "\ufdd6"


def extract(html: str | bytes, url: str = "", limits: Limits | None = None, charset: str | None = None) -> Page:
    """Title, light Markdown with `$…$` and `$$…$$`, and the formulas of a page.

    Pure: no input, no output, no state. `charset` is the HTTP header's, used when the bytes are not UTF-8. `limits.seconds`
    is not held here but by pool.py. PageError when a limit is passed or nothing is left.
    """
    limits = limits or Limits()
    if len(html) > limits.bytes:
        raise PageError("too_large", f"{len(html)} bytes")
    text = closed(decode(html, charset))
    check_depth(text, limits.depth)
    root = parse(text)
    if root is None:
        raise PageError("empty")
    walk = _Walk(text, limits)
    top = main_content(root)
    walk.whole = len(top.text(deep=True) or "")
    try:
        walk.children(top, 0)
    except RecursionError:
        raise PageError("too_deep", "elements within each other") from None
    walk.flush()
    page = walk.page(_title(root))
    if not page.text:
        raise PageError("empty")
    return page


XHTML = re.compile(r"<\?xml|<!DOCTYPE[^>]*XHTML|<html[^>]*xmlns=", re.I)
SELF_CLOSED = re.compile(r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)\b)([a-zA-Z][\w:.-]*)((?:\s[^<>]*)?)/>")


def closed(html: str) -> str:
    """XHTML read as HTML: `<script …/>` gets an end tag, or the rest of the page would be its text."""
    return SELF_CLOSED.sub(r"<\1\2></\1>", html) if XHTML.search(html[:2000]) else html


def _title(root: Node) -> str:
    for name in ("title", "h1"):
        found = root.css_first(name)
        title = " ".join((found.text(deep=True) or "").split()) if found is not None else ""
        if title:
            return title.rstrip("¶# ").strip()
    return ""


class _Walk:
    def __init__(self, html: str, limits: Limits) -> None:
        self.limits, self.delimiters, self.whole = limits, configured(html), 0
        self.blocks: list[Block] = []
        self.inline: list[str] = []
        self.formulas: list[Formula] = []
        self.codes: list[str] = []
        self.kind, self.prefix = "p", ""
        self.lists: list[str] = []
        self.linked = self.links = 0
        self.in_link = False
        self.shown = 0  # within an element that centres its formula

    # ---- elements

    def children(self, node: Node, depth: int) -> None:
        if depth > self.limits.depth:
            raise PageError("too_deep", f"more than {self.limits.depth} elements within each other")
        append = self.inline.append
        for child in node.iter(include_text=True):
            tag = child.tag or ""
            if tag == "-text":
                text = child.text_content or ""
                append(text)
                if self.in_link:
                    self.linked += len(text.strip())
                continue
            if tag in DROPPED or tag[0] in "-!":
                continue
            given = child.attributes
            if given or tag in FORMULA_TAGS:
                found = elements.formula(child, tag, given)
                if found is not None:
                    if found is not elements.SWALLOWED:
                        self.formula(found)
                    continue
                if tag in LOOKED_AT and self.dropped(child, tag, given):
                    continue
            handler = HANDLERS.get(tag)
            if handler is not None:
                handler(self, child, given, depth + 1)
            elif tag in BLOCKS:
                self.flush()
                centred = tag in ("div", "p", "center") and "math" in (given.get("class") or "").split()
                self.shown += centred
                self.children(child, depth + 1)
                self.shown -= centred
                self.flush()
            else:
                self.children(child, depth + 1)
            append = self.inline.append

    def dropped(self, node: Node, tag: str, given: dict[str, str | None]) -> bool:
        if hidden(given) or (given.get("role") in ROLES and tag != "form"):
            return True
        names = given.get("class")
        if (names and furniture(names)) or ((name := given.get("id")) and furniture(name)):
            return tag == "a" or len(node.text(deep=True) or "") < SAFE * self.whole
        return tag == "header" and given.get("role") == "banner"

    def link(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        if not given.get("href") or self.in_link:
            return self.children(node, depth)
        before = len(self.inline)
        self.in_link = True
        self.children(node, depth)
        self.in_link = False
        self.links += 1
        if len(self.inline) - before == 1 and self.inline[-1].strip() in HEADERLINK:
            self.linked -= len(self.inline.pop().strip())
            self.links -= 1
        return None

    def heading(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        self.flush()
        self.kind = node.tag or "h1"
        self.prefix = "#" * int(self.kind[1]) + " "
        self.children(node, depth)
        self.flush()

    def listing(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        self.flush()
        self.lists.append("ol" if node.tag == "ol" else "ul")
        self.children(node, depth)
        self.flush()
        self.lists.pop()

    def item(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        self.flush()
        level = min(max(len(self.lists) - 1, 0), 8)
        self.prefix = "  " * level + ("1. " if self.lists and self.lists[-1] == "ol" else "- ")
        self.kind = "li"
        self.children(node, depth)
        self.flush()

    def preformatted(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        """A listing; or, when formulas stand in it, text with its lines kept."""
        self.flush()
        if node.css_first("math, img, script, mjx-container, .katex, .MathJax") is not None:
            self.children(node, depth)
            return self.flush()
        text = (node.text(deep=True) or "").strip("\n").rstrip()
        if text.strip():
            self.codes.append(text)
            self.blocks.append(Block(f"```\n{CODE}{len(self.codes) - 1}{END}\n```", "pre"))
        return None

    def code(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        text = " ".join((node.text(deep=True) or "").split())
        only = node.child
        simple = only is None or (only.tag == "-text" and only.next is None)
        if not text or not (simple or node.css_first("math, img, script, sup, sub") is None):
            return self.children(node, depth)
        if self.in_link:
            self.linked += len(text) + 2
        self.codes.append(f"`{text}`" if "`" not in text else f"`` {text} ``")
        self.inline.append(f"{CODE}{len(self.codes) - 1}{END}")
        return None

    def raised(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        """`sup` and `sub`; marks of notes, which are links, go out."""
        if node.css_first("a") is not None:
            if node.css_first("a[href^='#']") is None:
                self.children(node, depth)
            return None
        text = node.text(deep=True) or ""
        if len(text) > 60 or not text.strip():
            return self.children(node, depth)
        self.inline.append(SUP if node.tag == "sup" else SUB)
        self.children(node, depth)
        self.inline.append(SHUT)

    def table(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        self.flush()
        rows = grid(node)
        if rows is None:
            self.children(node, depth)
            return self.flush()
        lines = []
        for row in rows:
            cells = [self.cell(cell, depth + 3) for cell in row]
            if any(cells):
                lines.append("| " + " | ".join(cells) + " |")
        if lines:
            width = max(len(row) for row in rows)
            head = [lines[0], "|" + " --- |" * width] if len(lines) > 1 else lines[:1]
            self.blocks.append(Block("\n".join([*head, *lines[1:]]), "table", "", self.linked, self.links))
        self.linked = self.links = 0
        return None

    def cell(self, node: Node, depth: int) -> str:
        outer, self.inline = self.inline, []
        self.children(node, depth)
        text = self.finish()
        self.inline = outer
        return text.replace("|", "\\|").replace(BREAK, " ")

    def line_break(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        self.inline.append(BREAK)

    def image(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        found = images.formula({name: value for name, value in given.items() if value})
        if found is not None:
            self.formula(found._replace(display=found.display or bool(self.shown)))

    def ruby(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        return None

    def noscript(self, node: Node, given: dict[str, str | None], depth: int) -> None:
        """Nothing: what it stands for is on the page too, unless it was all there is."""
        if self.whole and len(node.text(deep=True) or "") > SAFE * self.whole:
            self.children(node, depth)

    # ---- formulas and text

    def formula(self, found: Formula) -> None:
        self.inline.append(self.hold(found))
        if self.in_link:
            self.linked += len(found.tex)

    def hold(self, found: Formula) -> str:
        if not found.tex:
            return ""
        if len(self.formulas) >= self.limits.formulas:
            raise PageError("too_many_formulas", f"more than {self.limits.formulas}")
        self.formulas.append(found)
        return f"{HOLD}{len(self.formulas) - 1}{END}"

    def plain(self, text: str) -> str:
        """What tokens of formulas and code stand for, within the TeX of a larger formula."""
        if HOLD in text:
            text = TOKEN.sub(lambda m: self.formulas[int(m[1])].tex, text)
        if CODE in text:
            text = CODES.sub(lambda m: self.codes[int(m[1])].strip("`").strip(), text)
        if SUP in text or SUB in text:
            text = re.sub(f"([{SUP}{SUB}])([^{SHUT}]*){SHUT}", lambda m: ("^" if m[1] == SUP else "_") + f"{{{m[2]}}}", text)
        return text.replace(BREAK, "\n")

    def finish(self) -> str:
        """The inline pieces as one text, its formulas found."""
        text = " ".join("".join(self.inline).split())
        self.inline.clear()
        if "\\" in text or "$" in text or "`" in text or SUP in text or SUB in text:
            text = mathematics(text, self.delimiters, self.hold, self.plain)
        return text

    def flush(self) -> None:
        if self.inline:
            text = self.finish()
            if text and text.strip(BREAK + " "):
                self.blocks.append(Block(text, self.kind, self.prefix, self.linked, self.links))
                self.prefix = " " * len(self.prefix) if self.kind == "li" else ""
        self.kind, self.linked, self.links = "p", 0, 0
        if not self.lists:
            self.prefix = ""

    def page(self, title: str) -> Page:
        out: list[Formula] = []

        def show(match: re.Match[str]) -> str:
            found = self.formulas[int(match[1])]
            out.append(found)
            return as_text(found)

        parts: list[str] = []
        for block in kept(self.blocks):
            text = re.sub(f" ?{BREAK} ?", "\n", block.text).strip() if BREAK in block.text else block.text
            text = TOKEN.sub(show, text) if HOLD in text else text
            text = CODES.sub(lambda m: self.codes[int(m[1])], text) if CODE in text else text
            if block.kind not in ("pre", "table"):
                text = re.sub(r"[ \n]*\n[ \n]*", "\n", text).strip(" \n")
                text = text.replace("\n", " ") if block.kind[0] == "h" else text
            close = parts and block.kind == "li" and parts[-1].lstrip().startswith(("- ", "1. "))
            parts.append(("\n" if close else "\n\n") if parts else "")
            parts.append(block.prefix + text)
        return Page(title, "".join(parts).strip(), out)


FORMULA_TAGS = {"math", "mml:math", "m:math", "script", "mjx-container", "tex-math", "math-renderer", "x-equation"}
HANDLERS: dict[str, Callable[[_Walk, Node, dict[str, str | None], int], None]] = {
    "a": _Walk.link, "li": _Walk.item, "pre": _Walk.preformatted, "listing": _Walk.preformatted, "table": _Walk.table,
    **dict.fromkeys(("code", "tt", "kbd", "samp"), _Walk.code),
    **dict.fromkeys(("sup", "sub"), _Walk.raised),
    **dict.fromkeys(("ul", "ol"), _Walk.listing),
    **dict.fromkeys(HEADINGS, _Walk.heading),
    "br": _Walk.line_break, "img": _Walk.image, "rt": _Walk.ruby, "rp": _Walk.ruby, "noscript": _Walk.noscript, "svg": _Walk.ruby,
}
