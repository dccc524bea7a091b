"""Formulas that stand in running text: TeX between delimiters, AsciiMath between backticks, `<sup>` and `<sub>`.

The walk hands over a block's text in which what it has already understood (formulas, code) is a token: `HOLD` number `END`.
Tokens put in here go the same way, and all become text at the very end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from octothinker.corpus.extract.asciimath import asciimath
from octothinker.corpus.extract.page import Formula

HOLD, END = "\ufdd0", "\ufdd1"
SUP, SUB, SHUT = "\ufdd2", "\ufdd3", "\ufdd4"
"""What is set above or below the line, until SHUT."""
TOKEN = re.compile(f"{HOLD}(\\d+){END}")
ENVIRONMENTS = "equation|align|alignat|flalign|gather|eqnarray|multline|displaymath|math|split"
DELIMITED = re.compile(
    r"(?<!\\)\\\((?P<round>.+?)(?<!\\)\\\)"
    r"|(?<!\\)\\\[(?P<square>.+?)(?<!\\)\\\]"
    r"|(?<![\\$])\$\$(?P<two>(?:\\.|[^$\\])+?)\$\$(?!\$)"
    rf"|\\begin\{{(?P<name>{ENVIRONMENTS})(?P<star>\*?)\}}(?P<body>.+?)\\end\{{(?P=name)(?P=star)\}}",
    re.S,
)
DOLLAR = re.compile(r"(?<![\\$\w])\$(?![\s$])((?:\\.|[^$\\])+?)(?<!\s)\$(?![\d$])", re.S)
BACKTICK = re.compile(r"(?<!\\)`([^`\n]{1,500})`")
BASE = re.compile(rf"((?:[A-Za-zΑ-ω0-9]{{1,6}}|[)\]}}|∂∇∑∏∫])?)((?:[{SUP}{SUB}][^{SUP}{SUB}{SHUT}]*{SHUT}\s?)+)")
PROSE = re.compile(r"[A-Za-z]{4,}(?![^{}]*\})")
CONFIGURED = re.compile(
    r"""inlineMath["']?\s*:\s*\[[^;]{0,200}?["']\$["']\s*,\s*["']\$["']|left["']?\s*:\s*["']\$["']|['"]\$['"]\s*,\s*['"]\$['"]\s*\]"""
)
ASCII_MATH = re.compile(r"asciimath2jax|ASCIIMath(?:ML)?\.js|ASCIIMathTeXImg|config=AM_|input/asciimath|AM_(?:HTMLorMML|CHTML|SVG)", re.I)


@dataclass(frozen=True)
class Delimiters:
    """What a page's own scripts are told to read as mathematics."""

    dollars: bool
    backticks: bool


def configured(html: str) -> Delimiters:
    """Searched for only where a plain word of it is found: these patterns take longer than the parser."""
    dollars = ("inlineMath" in html or "delimiters" in html) and "$" in html and CONFIGURED.search(html)
    ascii_math = any(word in html for word in ("sciimath", "SCIIMath", "sciiMath", "AM_")) and ASCII_MATH.search(html)
    return Delimiters(bool(dollars), bool(ascii_math))


def mathematics(text: str, page: Delimiters, hold: Callable[[Formula], str], plain: Callable[[str], str]) -> str:
    """The text of a block with its formulas held as tokens, and the dollars that are left escaped.

    hold: keeps a formula and gives its token. plain: the TeX or text behind the tokens of a string.
    """

    def delimited(match: re.Match[str]) -> str:
        name = match["name"]
        if name in ("equation", "displaymath", "math"):
            raw = match["body"]
        elif name:
            raw = match[0]
        else:
            raw = match["round"] or match["square"] or match["two"] or ""
        tex = clean(plain(raw))
        display = match["round"] is None and name != "math"
        return hold(Formula(tex, display, "delimited")) if tex else match[0]

    def dollars(match: re.Match[str]) -> str:
        raw = plain(match[1])
        if not (page.dollars or like_tex(raw)):
            return match[0]
        return hold(Formula(clean(raw), False, "delimited"))

    def backtick(match: re.Match[str]) -> str:
        return hold(Formula(asciimath(plain(match[1])), False, "asciimath"))

    if "\\" in text or "$$" in text:
        text = DELIMITED.sub(delimited, text)
    if "$" in text:
        text = DOLLAR.sub(dollars, text)
        text = re.sub(r"(?<!\\)\$", r"\\$", text)
    if page.backticks and "`" in text:
        text = BACKTICK.sub(backtick, text)
    if SUP in text or SUB in text:
        text = BASE.sub(lambda match: _raised(match, hold, plain), text)
        text = text.replace(SUP, "^").replace(SUB, "_").replace(SHUT, "")
    return text


def like_tex(raw: str) -> bool:
    """Whether what stands between two dollars is a formula, not the text between two prices."""
    if len(raw) > 400 or "\n\n" in raw:
        return False
    if re.search(r"\\[a-zA-Z]|[\^_]|\\[{}]", raw):
        return True
    return not PROSE.search(raw) and bool(re.fullmatch(r"[A-Za-z]'*|.*[=<>+*/|()≤≥∈-].*|[A-Za-z],\s?[A-Za-z]|-?\d+", raw, re.S))


def _raised(match: re.Match[str], hold: Callable[[Formula], str], plain: Callable[[str], str]) -> str:
    """`x<sup>2</sup>` -> $x^{2}$; ordinals, notes and marks of citations stay what they are."""
    base, marks = match[1], match[2].rstrip()
    parts = re.findall(f"([{SUP}{SUB}])([^{SHUT}]*){SHUT}", marks)
    inside = [plain(text).strip() for _, text in parts]
    rest = match[2][len(marks) :]
    if any(re.fullmatch(r"(?:st|nd|rd|th|TM|®|™|er|e|o)", text) for text in inside) or not any(inside):
        return base + "".join(inside) + rest
    if any(re.match(r"\[|\(?note", text) for text in inside):
        return base + rest
    if not base or (len(base) > 3 and base.isalpha() and not base.isupper()):
        return base + "".join(("^" if mark == SUP else "_") + f"{{{text}}}" for (mark, _), text in zip(parts, inside, strict=True)) + rest
    scripts = "".join(
        ("^" if mark == SUP else "_") + f"{{{_typed(text)}}}" for (mark, _), text in zip(parts, inside, strict=True) if text
    )
    if base in ")]}|":
        return base + scripts + rest
    return hold(Formula(_typed(base) + scripts, False, "sup_sub")) + rest


def _typed(text: str) -> str:
    from octothinker.corpus.extract.symbols import symbol

    return text if "\\" in text or "{" in text else symbol(text)


def clean(tex: str) -> str:
    """TeX as it can stand between dollars: no comments, no empty lines, no dollars of its own, no wrapper of Wikipedia's."""
    tex = tex.replace("\u00a0", " ").replace("\r", "")
    if "%" in tex:
        tex = re.sub(r"(?<!\\)%[^\n]*\n", "", tex)
    tex = re.sub(r"\s*\n\s*", "\n", tex.strip()) if "\n" in tex else tex.strip()
    tex = unwrapped(tex)
    if "$" in tex:
        if (pair := re.fullmatch(r"(\$\$?)([^$]*)\1", tex)) is not None:
            tex = pair[2].strip()
        tex = re.sub(r"(?<!\\)\$([^$]*)(?<!\\)\$", r"\\(\1\\)", tex)
        tex = re.sub(r"(?<!\\)\$", r"\\$", tex)
    if (pair := re.fullmatch(r"\\\((.*)\\\)|\\\[(.*)\\\]", tex, re.S)) is not None and not re.search(r"\\[()\[\]]", pair[1] or pair[2] or ""):
        tex = (pair[1] or pair[2] or "").strip()
    return tex


WRAPPER = re.compile(r"\{\\(displaystyle|textstyle)(?![a-zA-Z])\s*")


def unwrapped(tex: str) -> str:
    """`{\\displaystyle x}` -> `x`, when that brace closes at the very end."""
    start = WRAPPER.match(tex)
    if start is None or not tex.endswith("}"):
        return tex
    level = 0
    for i, char in enumerate(tex):
        if char in "{}" and (i == 0 or tex[i - 1] != "\\" or tex[i - 2 : i] == "\\\\"):
            level += 1 if char == "{" else -1
            if level == 0:
                return tex[start.end() : -1].strip() if i == len(tex) - 1 else tex
    return tex


def as_text(formula: Formula) -> str:
    return f"\n$${formula.tex}$$\n" if formula.display else f"${' '.join(formula.tex.split(chr(10)))}$"
