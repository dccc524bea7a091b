"""Presentation MathML -> TeX that renders to the same MathML again.

What writes MathML on the web are converters (KaTeX, MathJax, Temml, LaTeXML, Word, pandoc): the cases here are what they
write for a TeX command, so that the command comes back. Nesting beyond `DEPTH` gives its bare text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from octothinker.corpus.extract.dom import Node, attributes, children, local, words
from octothinker.corpus.extract.page import names
from octothinker.corpus.extract.symbols import (
    ACCENTS,
    BRACES,
    FUNCTIONS,
    UNDER,
    VARIANTS,
    WIDE,
    escape_text,
    join,
    pairs,
    symbol,
)
from octothinker.corpus.extract.tables import array

DEPTH = 120
OPEN, CLOSE = set("([{⟨〈⌈⌊⟦⟮|∣‖∥⎰."), set(")]}⟩〉⌉⌋⟧⟯|∣‖∥⎱.")
NUMBER = r"-?\d*\.?\d+"
SPACES = ((-0.167, r"\!"), (0.167, r"\,"), (0.222, r"\:"), (0.278, r"\;"), (1.0, r"\quad "), (2.0, r"\qquad "))
UNITS = {"em": 1.0, "ex": 0.43, "px": 0.0625, "pt": 0.1, "mu": 1 / 18, "cm": 2.8, "in": 7.2, "": 1.0}
LEFT = re.compile(r"\\left(?![a-z])")
LIMIT_NAMES = names("lim liminf limsup max min sup inf det gcd Pr injlim projlim")
BIG = set("∑∏∐∫∬∭∮⋃⋂⨄⨆⋁⋀⨀⨂⨁∯∰")
STRETCHED = pairs(
    "→ xrightarrow ⟶ xrightarrow ← xleftarrow ⟵ xleftarrow ⇒ xRightarrow ⟹ xRightarrow ⇐ xLeftarrow ⟸ xLeftarrow "
    "↔ xleftrightarrow ⟷ xleftrightarrow ⇔ xLeftrightarrow ↦ xmapsto ⟼ xmapsto ↪ xhookrightarrow ↩ xhookleftarrow "
    "⇌ xrightleftharpoons"
)
TIDY = (
    (
        re.compile(
            r"\\hspace\{0\.444\d*em\}(?:\\left)?\(\\(?:operatorname|mathrm)\{mod\}\\hspace\{0\.333\d*em\}(.*?)(?:\\right)?\)"
        ),
        r"\\pmod{\1}",
    ),
    (re.compile(r"\\(mathrm|mathbf|mathsf|mathtt|mathit)\{(\w+)\}\\\1\{(\w+)\}"), r"\\\1{\2\3}"),
)
"""What several elements say in one command."""
STRIKES = pairs(
    "updiagonalstrike cancel downdiagonalstrike bcancel horizontalstrike sout box boxed circle boxed roundedbox boxed "
    "top overline bottom underline longdiv overline actuarial overline"
)


def tex(node: Node) -> str:
    """TeX of a `math` element."""
    found = to_tex(node)
    for pattern, better in TIDY:
        before = ""
        while before != found:
            before, found = found, pattern.sub(better, found)
    return found.strip()


def to_tex(node: Node, depth: int = 0) -> str:
    """TeX of one element and what is in it."""
    if depth > DEPTH:
        return symbol(words(node))
    rule = RULES.get(local(node))
    return rule(node, depth + 1) if rule else row(children(node), depth + 1) or symbol(words(node))


def group(node: Node | None, depth: int) -> str:
    return "{" + (to_tex(node, depth).strip() if node is not None else "") + "}"


def row(nodes: list[Node], depth: int) -> str:
    """Elements side by side: fences that belong together become \\left … \\right; a zero-width fraction, a binomial."""
    nodes = [n for n in nodes if local(n) not in ("annotation", "annotation-xml", "none", "mprescripts")]
    if len(nodes) == 1:
        return to_tex(nodes[0], depth)
    if len(nodes) >= 2:
        fenced = _fenced(nodes, depth)
        if fenced is not None:
            return fenced
    return join([to_tex(node, depth) for node in nodes])


def _core(node: Node) -> Node:
    """The element that stands alone within rows and styles."""
    while local(node) in ("mrow", "mstyle", "mpadded", "mtd") and len(inner := children(node)) == 1:
        node = inner[0]
    return node


def _fence(node: Node, which: set[str]) -> str | None:
    """The character of a stretchy fence, "." for an empty one; None when the element is none."""
    core = _core(node)
    if local(core) != "mo":
        return None
    given, text = attributes(core), words(core)
    if given.get("stretchy") == "false":
        return None
    if text == "" and (given.get("fence") == "true" or "OPEN" in str(given) or "CLOSE" in str(given)):
        return "."
    explicit = (
        given.get("fence") == "true"
        or given.get("stretchy") == "true"
        or "data-mjx-texclass" in given
        or "minsize" in given
    )
    return text if text in which and explicit else None


def _matched_inside(nodes: list[Node], left: str | None, right: str | None) -> bool:
    """Whether the first fence closes before the last: `(a)+(b)`."""
    if left is None or right is None or left in "|∣‖∥." or right in "|∣‖∥.":
        return False
    level = 0
    for i, node in enumerate(nodes):
        text = words(node) if local(_core(node)) == "mo" else ""
        level += (text != "" and text in OPEN and text not in "|∣‖∥.") - (
            text != "" and text in CLOSE and text not in "|∣‖∥."
        )
        if level == 0 and i < len(nodes) - 1:
            return True
    return False


def _delimiter(text: str) -> str:
    return {"|": "|", "∣": "|", "‖": r"\|", "∥": r"\|", ".": ".", "〈": r"\langle ", "": "."}.get(text) or (
        symbol(text) + " " if symbol(text)[0] == "\\" and symbol(text)[-1].isalpha() else symbol(text)
    )


def _fenced(nodes: list[Node], depth: int) -> str | None:
    left, right = _fence(nodes[0], OPEN | CLOSE), _fence(nodes[-1], OPEN | CLOSE)
    if (left is None and right is None) or _matched_inside(nodes, left, right):
        return None
    inside = nodes[left is not None : len(nodes) - (right is not None)]
    if left is None or right is None:  # KaTeX leaves the empty fence out
        alone = attributes(_core(nodes[0 if right is None else -1])).get("fence") == "true"
        if not alone and not (len(inside) == 1 and local(_core(inside[0])) == "mtable"):
            return None
        left, right = left or ".", right or "."
    core = _core(inside[0]) if len(inside) == 1 else None
    if core is not None and local(core) == "mtable":
        known = array(core, depth, to_tex, (left, right))
        if known is not None:
            return known
    if core is not None and local(core) == "mfrac" and attributes(core).get("linethickness", "1")[0] == "0":
        top, bottom = children(core)[:2]
        name = {"()": "binom", "[]": "brack", "{}": "brace"}.get(left + right)
        if name == "binom":
            return f"\\binom{group(top, depth)}{group(bottom, depth)}"
        if name:
            return f"{{{to_tex(top, depth)}\\{name} {to_tex(bottom, depth)}}}"
    sized = _core(nodes[0])
    if "minsize" in attributes(sized) and "data-mjx-texclass" not in attributes(sized) and len(nodes) > 2:
        return None  # \big( and its like
    middle = join([_middle(node, depth) for node in inside])
    space = " " if middle[:1].isalpha() and left not in "([|.∣{" else ""
    return f"\\left{_delimiter(left)}{space}{middle}\\right{_delimiter(right)}"


def _middle(node: Node, depth: int) -> str:
    given = attributes(node)
    if local(node) == "mo" and given.get("fence") == "true" and words(node) in ("|", "∣", "‖", "∥", "/"):
        return "\\middle" + _delimiter(words(node))
    return to_tex(node, depth)


# ---- leaves -----------------------------------------------------------------------------------------------------------


def _identifier(node: Node, depth: int) -> str:
    if inner := children(node):
        return row(inner, depth)
    text, variant = words(node), attributes(node).get("mathvariant", "")
    if not text:
        return ""
    tex = symbol(text)
    if len(text) > 1 and not tex.startswith("\\"):
        plain = text.replace("\u2009", " ").replace("\u00a0", " ")
        if plain in FUNCTIONS:
            return "\\" + plain
        if plain in ("lim sup", "lim inf"):
            return "\\" + plain.replace(" ", "")
        command = VARIANTS.get(variant, "mathrm")
        return f"\\{'operatorname' if command == 'mathrm' and _applied(node) else command}{{{tex}}}"
    if variant in ("normal", "") and (tex != text or not text.isalpha()):  # upright anyway: ∞, Γ
        return {"∣": "|", "∥": r"\|", "⊥": r"\bot", "△": r"\triangle"}.get(text, tex)
    if not variant and "-tex-calligraphic" in (attributes(node).get("data-mjx-variant") or ""):
        variant = "script"
    command = VARIANTS.get(variant, "")
    return f"\\{command}{{{tex}}}" if command and variant != "italic" else tex


def _applied(node: Node) -> bool:
    """Whether a name is a function's: an invisible "apply" follows; MathJax, without one, marks the names that are not."""
    around: Node | None = node
    for _ in range(3):
        following = around.next if around is not None else None
        while following is not None and following.tag == "-text":
            following = following.next
        if following is not None:
            if words(following) == "\u2061":
                return True
            break
        around = around.parent if around is not None else None
    while around is not None and around.tag != "mjx-assistive-mml":
        around = around.parent
    return around is not None and attributes(node).get("data-mjx-auto-op") != "false"


def _number(node: Node, depth: int) -> str:
    command = VARIANTS.get(attributes(node).get("mathvariant", "normal"), "mathrm")
    tex = symbol(words(node).replace(" ", "").replace("\u2009", r"\,"))
    tex = re.sub(r"(?<=\d),(?=\d\d\d(?!\d))", "{,}", tex)
    return tex if command == "mathrm" else f"\\{command}{{{tex}}}"


def _operator(node: Node, depth: int) -> str:
    if inner := children(node):  # KaTeX sets what stands over a relation within an operator
        return row(inner, depth)
    text, given = words(node), attributes(node)
    if len(text) > 1 and text.isalpha():
        if text in FUNCTIONS:
            return "\\" + text
        return "\\bmod " if text == "mod" else f"\\operatorname{{{text}}}"
    if re.fullmatch(r"lim\W+(sup|inf)", text):
        return "\\lim" + text[-3:]
    plain = not given.get("fence") and not given.get("stretchy") and given.get("data-mjx-texclass") != "ORD"
    if text in ("|", "∣"):
        relation = (text == "∣" and plain) or given.get("lspace") == "0.22em"  # as Temml writes it
        return "\\mid " if relation else "|"
    if text in ("‖", "∥"):
        return "\\parallel " if text == "∥" and plain else "\\|"
    if text in (":=", "≔"):
        return "\\coloneqq " if text == "≔" else ":="
    if "minsize" in given and text in OPEN | CLOSE | set("/"):
        match = re.match(NUMBER, given["minsize"])
        size = min(max(round((float(match[0]) if match else 1.2) / 0.6) - 1, 1), 4)
        return "\\" + ("big", "Big", "bigg", "Bigg")[size - 1] + _delimiter(text)
    command = {"bold": "boldsymbol"}.get(given.get("mathvariant", ""))
    return f"\\{command}{{{symbol(text)}}}" if command else symbol(text)


def _text(node: Node, depth: int) -> str:
    inner = [child for child in children(node) if local(child) == "math"]
    if inner:
        return join([to_tex(child, depth) for child in inner])
    text = node.text(deep=True)
    if text.strip(" \u00a0\u2009\u2003\u2005\u2004\u200b\u2002\u200a") == "":
        return symbol(text.replace("\u2005\u200a", "\u2004").replace(" ", "\u00a0")).replace("~", "\\ ")
    command = {"bold": "textbf", "italic": "textit", "monospace": "texttt", "sans-serif": "textsf"}
    name = command.get(attributes(node).get("mathvariant", ""), "text")
    return f"\\{name}{{{escape_text(text)}}}"


def _space(node: Node, depth: int) -> str:
    given = attributes(node)
    if given.get("linebreak") == "newline":
        return "\\\\ "
    match = re.fullmatch(rf"\s*({NUMBER})\s*([a-z]*)\s*", given.get("width", "") or "")
    if match is None:
        return ""
    width = float(match[1]) * UNITS.get(match[2], 1.0)
    near = next((tex for size, tex in SPACES if abs(size - width) < 0.002), None)
    return near if near is not None else f"\\hspace{{{width:g}em}}" if abs(width) > 0.05 else ""


# ---- fractions, roots, scripts ----------------------------------------------------------------------------------------


def _two(node: Node, depth: int) -> tuple[str, str]:
    """TeX of the first two elements in this one; "" for one that is missing."""
    first, second = ([to_tex(child, depth).strip() for child in children(node)[:2]] + ["", ""])[:2]
    return first, second


def _fraction(node: Node, depth: int, command: str = "frac") -> str:
    (top, bottom), given = _two(node, depth), attributes(node)
    if re.match(r"0(?!\.?\d*[1-9])", given.get("linethickness", "1")):
        return f"{{{top} \\atop {bottom}}}"
    if given.get("bevelled") == "true":
        return f"{{{top}}}/{{{bottom}}}"
    return f"\\{command}{{{top}}}{{{bottom}}}"


def _root(node: Node, depth: int) -> str:
    base, degree = _two(node, depth)
    return f"\\sqrt[{degree}]{{{base}}}"


def _base(node: Node | None, depth: int) -> str:
    """A base that scripts can be set on: one token, or a group."""
    if node is None:
        return "{}"
    tex = to_tex(node, depth).strip()
    one = len(tex) == 1 or re.fullmatch(
        r"\\[a-zA-Z]+\*?|\\[^a-zA-Z]|\\(?:math[a-z]+|operatorname\*?|text|boldsymbol)\{[^{}]*\}", tex
    )
    fenced = re.fullmatch(r"\\left[^a-z].*\\right.*|\([^()]*\)|\[[^][]*\]", tex, re.S) and len(LEFT.findall(tex)) <= 1
    return tex if one or fenced or tex.startswith(("\\overbrace", "\\underbrace")) else "{" + tex + "}"


def _script(mark: str, tex: str) -> str:
    """`^{…}`; primes as they are written."""
    tex = tex.strip()
    if mark == "^" and re.fullmatch(r"(\\prime\s*|')+", tex):
        return "'" * (tex.count("\\prime") + tex.count("'"))
    if mark == "^" and (primed := re.fullmatch(r"('+)([^'].*)", tex, re.S)):
        return f"{primed[1]}^{{{primed[2]}}}"
    return f"{mark}{{{tex}}}" if tex else ""


def _scripts(node: Node, depth: int) -> str:
    """msub, msup, msubsup."""
    base, *rest = children(node) or [None]  # type: ignore[list-item]
    marks = {"msub": "_", "msup": "^"}.get(local(node), "_^")
    return _base(base, depth) + "".join(_script(m, to_tex(s, depth)) for m, s in zip(marks, rest, strict=False))


def _prescripts(node: Node, depth: int) -> str:
    """mmultiscripts: base, (sub, sup)*, then after <mprescripts/> those before the base."""
    base, *rest = children(node) or [None]  # type: ignore[list-item]
    cut = next((i for i, n in enumerate(rest) if local(n) == "mprescripts"), len(rest))

    def pairs(nodes: list[Node]) -> str:
        tex = ["" if local(n) in ("none", "mrow") and not children(n) else to_tex(n, depth) for n in nodes]
        return "".join(_script("_^"[i % 2], t) for i, t in enumerate(tex))

    before = pairs(rest[cut + 1 :])
    return ("{}" + before if before else "") + _base(base, depth) + pairs(rest[:cut])


def _limits(node: Node, depth: int) -> str:
    """munder, mover, munderover: accents, braces, limits of operators, labelled arrows, and what stands over or under."""
    base, *rest = [n for n in children(node) if words(n) != "\u2061" and local(n) != "mspace"] or [None]  # type: ignore
    if base is None or not rest:
        return group(base, depth)
    name = local(node)
    under, over = (rest[0] if name != "mover" else None), (rest[-1] if name != "munder" else None)
    if name == "mover" and (accent := _accent(base, rest[0], depth)):
        return accent
    if name == "munder" and (mark := UNDER.get(words(rest[0]))) and local(_core(rest[0])) == "mo":
        return f"\\{mark}{group(base, depth)}"
    core = _core(base)
    arrow = STRETCHED.get(words(core)) if local(core) == "mo" else None
    if arrow and (attributes(core).get("stretchy") != "false" or "data-mjx-texclass" in attributes(base)):
        below = f"[{_label(under, depth)}]" if under is not None else ""
        return f"\\{arrow}{below}{{{_label(over, depth)}}}"
    tex = _base(base, depth)
    bare = tex[1:-1].strip() if tex.startswith("{") and tex.endswith("}") else tex
    name_of = re.fullmatch(r"\\(?:operatorname\*?\{([a-zA-Z]+)\}|([a-zA-Z]+))", bare)
    word = (name_of[1] or name_of[2]) if name_of else ""
    if words(core) in BIG or word in LIMIT_NAMES or re.match(r"\\(under|over)(brace|bracket)\b", bare):
        tex = bare if words(core) in BIG or word in LIMIT_NAMES else tex
    elif word and bare.startswith("\\operatorname"):
        tex = f"\\operatorname*{{{word}}}"
    else:
        tex = f"\\overset{group(over, depth)}{{{bare}}}" if over is not None else bare
        return f"\\underset{group(under, depth)}{{{tex}}}" if under is not None else tex
    low = _script("_", to_tex(under, depth)) if under is not None else ""
    return tex + low + (_script("^", to_tex(over, depth)) if over is not None else "")


def _label(node: Node | None, depth: int) -> str:
    """What stands on an arrow, without the space that Temml and MathJax set around it."""
    if node is None:
        return ""
    inside = children(node)
    if local(node) in ("mover", "munder") and len(inside) == 2 and local(inside[1]) == "mspace":
        node = inside[0]
    return re.sub(r"\\hspace\{[^}]*\}", "", to_tex(node, depth)).strip()


def _accent(base: Node, mark: Node, depth: int) -> str | None:
    core = _core(mark)
    text, given = words(core), attributes(core)
    if local(core) not in ("mo", "mtext", "mi") or not text:
        return None
    if local(_core(base)) == "mo" and text in STRETCHED and words(_core(base)) in STRETCHED:
        return None
    inside = to_tex(base, depth).strip()
    long = len(inside) > 1 and not re.fullmatch(r"\\[a-zA-Z]+|\\math[a-z]+\{.\}|\\boldsymbol\{.\}", inside)
    name = ACCENTS.get(text)
    stretched = given.get("stretchy") == "true" or (given.get("stretchy") is None and long)
    if name and (stretched or (text in "‾―" and given.get("stretchy") != "false")):
        name = WIDE.get(name, name)
    if text in BRACES and (name is None or name == "vec") and (stretched or name is None):
        name = BRACES[text]
    if name is None or (local(core) == "mi" and text.isalpha()):
        return None
    return f"\\{name}{{{inside}}}"


# ---- containers -------------------------------------------------------------------------------------------------------


def _row(node: Node, depth: int) -> str:
    return row(children(node), depth)


def _style(node: Node, depth: int) -> str:
    inside, given = children(node), attributes(node)
    shown = given.get("displaystyle")
    if len(inside) == 1 and local(inside[0]) == "mfrac" and shown in ("true", "false"):
        return _fraction(inside[0], depth, "dfrac" if shown == "true" else "tfrac")
    tex = row(inside, depth)
    if shown == "true" and given.get("scriptlevel") == "0" and tex and local(node.parent or node) != "mtd":
        return f"{{\\displaystyle {tex}}}"
    return tex


def _fences(node: Node, depth: int) -> str:
    """mfenced: open, close and separators as attributes."""
    given, parts = attributes(node), [to_tex(child, depth) for child in children(node)]
    marks = (given.get("separators", ",") or "").replace(" ", "")
    out = parts[:1]
    for i, part in enumerate(parts[1:]):
        out += [symbol(marks[min(i, len(marks) - 1)]) if marks else "", part]
    left, right = _delimiter(given.get("open", "(")), _delimiter(given.get("close", ")"))
    return f"\\left{left}{join(out)}\\right{right}"


def _phantom(node: Node, depth: int) -> str:
    inside = row(children(node), depth)
    return f"\\phantom{{{inside}}}" if inside else ""


def _enclosed(node: Node, depth: int) -> str:
    inside, notation = row(children(node), depth), attributes(node).get("notation", "longdiv").split()
    if {"updiagonalstrike", "downdiagonalstrike"} <= set(notation):
        return f"\\xcancel{{{inside}}}"
    name = next((STRIKES[n] for n in notation if n in STRIKES), None)
    return f"\\{name}{{{inside}}}" if name else inside


def _first(node: Node, depth: int) -> str:
    inside = children(node)
    return to_tex(inside[0], depth) if inside else ""


RULES: dict[str, Callable[[Any, int], str]] = {
    "mi": _identifier,
    "mn": _number,
    "mo": _operator,
    "mspace": _space,
    "mfrac": _fraction,
    "msqrt": lambda node, depth: f"\\sqrt{{{_row(node, depth).strip()}}}",
    "mroot": _root,
    "mmultiscripts": _prescripts,
    "mstyle": _style,
    "mfenced": _fences,
    "mphantom": _phantom,
    "menclose": _enclosed,
    "mtable": lambda node, depth: array(node, depth, to_tex, None) or "",
    **dict.fromkeys(("mtext", "ms"), _text),
    **dict.fromkeys(("mrow", "mpadded"), _row),
    **dict.fromkeys(("msub", "msup", "msubsup"), _scripts),
    **dict.fromkeys(("munder", "mover", "munderover"), _limits),
    **dict.fromkeys(("maction", "semantics"), _first),
    **dict.fromkeys(
        ("annotation", "annotation-xml", "none", "mprescripts", "maligngroup", "malignmark"), lambda *_: ""
    ),
}
