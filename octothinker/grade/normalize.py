r"""One normal form for the LaTeX of answers.

    $\left(3,\dfrac{\pi}{2}\right)$.   ->   (3,\frac{\pi}{2})
    \$32,\!348                         ->   32,348

Only ASCII digits are digits (full-width forms are mapped to them). Idempotent but for what a second reading of removed
markup may uncover; never an error.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_LENGTH = 400
"""Characters of an answer; what is longer is no final answer."""

INTEGER = re.compile(r"-?[0-9]{1,400}")
THOUSANDS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
"""No space after a thousands comma: `32, 349` is two numbers."""
NAME = re.compile(
    r"(?:\\angle\s*)?(?:\\[a-zA-Z]+|\\text\{[^{}]*\}|[A-Za-z]+)'*(?:_(?:\{\w+\}|\w))?(?:\([^()=]*\))?"
    r"|\((?:[a-zA-Z]\s*,\s*)+[a-zA-Z]\)"
)
r"""Left side of an assignment: x, AB, f(x), x_1, \theta, \angle ABC, \text{Area}, (x,y)."""

_CHARACTERS = r"""
- − ‐ ‑ – —
* × ⋅ · ∗
/ ÷ ⁄
^\circ° °
\pi° π
\theta° θ
\infty° ∞
\sqrt° √
\le° ≤
\ge° ≥
\ne° ≠
\approx° ≈
\pm° ±
\cup° ∪
\in° ∈
^{2} ²
^{3} ³
\frac{1}{2} ½
"""  # target, then what is written for it; ° stands for a space
_UNICODE = {
    **{0xFF01 + i: chr(0x21 + i) for i in range(94)},  # full-width forms of ASCII
    **dict.fromkeys(map(ord, "\u00a0\u2009\u200a\u202f\u3000"), " "),
    **dict.fromkeys(map(ord, "€£¥\u200b\u2061"), ""),
    **{
        ord(c): line.split(" ", 1)[0].replace("°", " ")
        for line in _CHARACTERS.strip().splitlines()
        for c in line.split(" ")[1:]
    },
}
_SPELLINGS = r"""
\frac: dfrac tfrac cfrac
*: times cdot ast
/: div
\le°: leq leqslant le
\ge°: geq geqslant ge
\ne°: neq ne
<: lt
>: gt
\{: lbrace
\}: rbrace
\approx: simeq
\emptyset: varnothing
°: quad qquad , ; : >
: left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle
: bf rm it underline boldsymbol bm emph $ ( ) [ ] !
"""
_COMMANDS = {
    " ": " ",
    **{
        name: line.split(": ", 1)[0].replace("°", " ")
        for line in _SPELLINGS.strip().splitlines()
        for name in line.split(": ", 1)[1].split(" ")
    },
    "colon": ":",
}
_COMMAND = re.compile(r"\\\\|\\(?:left|right)\s*\.(?![0-9])|\\([a-zA-Z]+|!\s*|.)", re.DOTALL)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ(?![a-zA-Z])\s*\}?|\\degree(?![a-zA-Z]))")
_COLOR = re.compile(r"\\(?:textcolor|color)\s*\{[^{}]*\}")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf)|[mh]box|operatorname)\*?\s*\{([^{}]*)\}")
_WORD = re.compile(
    r"(\s*,?\s*)(?<![a-zA-Z\\])(and|or|infinity|inf|oo|pi|sqrt(?=\s*\()|percentage|percent|pct)(?![a-zA-Z])(\s*)"
)
_WORDS = {"pi": "\\pi ", "infinity": "\\infty ", "inf": "\\infty ", "oo": "\\infty ", "sqrt": "\\sqrt"}
_SQRT = re.compile(r"\\sqrt\s*\(([^()]*)\)")
_PERCENT = re.compile(r"\s*\\text\{\s*\\%\s*\}|(?<!\\)%")
_COMMAS = re.compile(r" ?,(?: ?,)*")
_SPACED_THOUSANDS = re.compile(r"(?<![0-9.,])([0-9]{1,3}) (?=[0-9]{3}(?: [0-9]{3})*(?![0-9]))")


def _command(match: re.Match[str]) -> str:
    name = match.group(1)
    if name is None:  # a line break, or \left. and \right.
        return match.group() if match.group() == "\\\\" else ""
    return _COMMANDS.get(name if name.isalpha() else name[0], match.group())


def _text(match: re.Match[str]) -> str:
    content = match.group(1).strip()
    if content in ("and", "or"):
        return ", "
    return f"\\text{{{content}}}" if re.search("[A-Za-z]{2}|[A-Za-z][. ]", content) else content


def _word(match: re.Match[str]) -> str:
    before, word, after = match.groups()
    if word in ("and", "or"):
        return ", "
    return before + _WORDS[word] + after if word in _WORDS else "\\%"


@lru_cache(maxsize=1 << 14)
def clean(text: str) -> str:
    """Normal form: no `$`, sizes, spacing commands, degrees or final dot; one spelling for each operator."""
    text = text.strip()
    if INTEGER.fullmatch(text):
        return text
    if not text.isascii():
        text = text.translate(_UNICODE)
    if "\\" in text:
        if "color" in text:
            text = _COLOR.sub("", text)
        text = _DEGREES.sub("", _COMMAND.sub(_command, text)).replace("$", "")
        text = _TEXT.sub(_text, text)
        if "\\approx" in text and "," not in text:  # `x \approx 11` -> x=11; `2/3 \approx 0.67` -> 2/3
            first, second, *_ = text.split("\\approx")
            text = f"{first}={second}" if NAME.fullmatch(first.strip()) else first if first.strip() else second
    if "{,}" in text:
        text = re.sub(r"\{,\}\s*", ",", text)
    text = _WORD.sub(_word, text.replace("$", "").replace("~", " ").strip("* \n"))
    if "%" in text:
        text = _PERCENT.sub(r"\\%", text)
    if "(" in text and "\\sqrt" in text:
        text = _SQRT.sub(r"\\sqrt{\1}", text)
    if "=" in text or "**" in text:
        text = text.replace("**", "^").replace("<=", "\\le ").replace(">=", "\\ge ").replace("!=", "\\ne ")
    text = _COMMAS.sub(",", " ".join(text.split()))
    if " " in text:
        text = _SPACED_THOUSANDS.sub(r"\1,", text)
    return text.lstrip(" ,;:").rstrip(" .,;:")


@lru_cache(maxsize=1 << 14)
def squash(text: str) -> str:
    """A cleaned text without the spaces that do not matter: one between two digits, or after a comma, does."""
    return re.sub(r"(?<![0-9,]) | (?![0-9])", "", text)
