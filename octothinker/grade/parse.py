"""Recursive descent over the LaTeX of a constant or polynomial expression: cleaned text -> exact.Value.

Nothing is evaluated as code. Ambiguous notation (`1/2x`, `3 4`, `x2`, `\\frac123`) and everything unknown is Undecided.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from octothinker.grade import exact
from octothinker.grade.exact import Undecided, Value

MAX_DEPTH = 24
_TOKEN = re.compile(r"\s*(\\[A-Za-z]+|[0-9]{1,120}(?:\.[0-9]{0,120})?|\.[0-9]{1,120}|[A-Za-z]|[-+*/^_(){}\[\]!])\s*")
_NAMES = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi varphi chi "
    "psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell"
)
_GREEK = {f"\\{name}" for name in _NAMES.split(" ")}
_CLOSE = {"(": ")", "{": "}", "[": "]"}


@lru_cache(maxsize=1 << 10)  # a step's groups; a hostile value may take 100 KB
def evaluate(text: str) -> Value:
    """Value of a cleaned expression without commas, relations or ±. Raises Undecided."""
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Undecided(f"character {text[position]!r}")
        tokens.append(match.group(1))
        position = match.end()
    parser = _Parser(tokens)
    value = parser.sum()
    if parser.peek():
        raise Undecided(f"stray {parser.peek()}")
    return value


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def sum(self) -> Value:
        value = self.product(self.sign())
        while self.peek() in ("+", "-"):
            value = exact.add(value, self.product(self.sign()))
        return value

    def sign(self) -> int:
        sign = 1
        while self.peek() in ("+", "-"):
            sign = -sign if self.take() == "-" else sign
        return sign

    def product(self, sign: int) -> Value:
        after_number = self.peek()[:1].isdigit()
        value = self.factor()
        while (token := self.peek()) and (token in "*/" or self.starts_factor(token)):
            if token in "*/":
                self.take()
                signed = exact.mul(exact.constant(self.sign()), self.factor())
                value = exact.mul(value, signed if token == "*" else exact.inverse(signed))
                if token == "/" and self.starts_factor(self.peek()):
                    raise Undecided("a product after a slash")
            elif token[0].isdigit() or token[0] == ".":
                raise Undecided("a number after a factor")
            else:
                factor = self.factor()
                if after_number and token == "\\frac" and exact.rational(factor) is not None:
                    raise Undecided("a mixed number, or a product")
                value = exact.mul(value, factor)
            after_number = False
        return value if sign > 0 else exact.negative(value)

    @staticmethod
    def starts_factor(token: str) -> bool:
        return bool(token) and (token[0].isalnum() or token[0] in ".\\({[")

    def factor(self) -> Value:
        value = self.base()
        if self.peek() == "!":
            self.take()
            value = exact.factorial(value)
        if self.peek() == "^":
            self.take()
            sign = self.sign()
            token = self.peek()
            if token != "{" and not token.isdigit():
                raise Undecided("exponent")
            value = exact.power(value, exact.mul(exact.constant(sign), self.base()))
        if self.peek() in ("^", "!"):
            raise Undecided("a tower")
        return value

    def base(self) -> Value:
        token = self.take()
        if token in _CLOSE:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise Undecided("depth")
            value = self.sum()
            self.depth -= 1
            if self.take() != _CLOSE[token]:
                raise Undecided("brackets")
            return value
        if token[:1].isdigit() or token[:1] == ".":
            if self.peek() == "_":
                raise Undecided("a number base")
            return exact.constant(int(token) if token.isdigit() else Fraction("0" + token.rstrip(".")))
        if token == "\\frac":
            above = self.argument(last=False)
            return exact.mul(above, exact.inverse(self.argument(last=True)))
        if token == "\\sqrt":
            index = exact.rational(self.base()) if self.peek() == "[" else Fraction(2)
            if index is None or index.denominator != 1 or index < 2:
                raise Undecided("index of a root")
            return exact.root(self.argument(last=True), index.numerator)
        if token in _GREEK or token.isalpha():
            return exact.letter(token + self.subscript())
        raise Undecided(f"token {token}")

    def argument(self, last: bool) -> Value:
        """A macro's argument: a group, or one token, of a number one digit (`\\frac12`, but `\\frac123` is ambiguous)."""
        token = self.peek()
        if token.isdigit() and len(token) > 1 and not last:
            self.tokens[self.at] = token[1:]
            return exact.constant(int(token[0]))
        if token == "{" or token.isalpha() or token in _GREEK or (token.isdigit() and len(token) == 1):
            return self.base()
        raise Undecided("argument")

    def subscript(self) -> str:
        if self.peek() != "_":
            return ""
        self.take()
        names = [self.take()]
        if names == ["{"]:
            while self.peek().isalnum():
                names.append(self.take())
            if self.take() != "}":
                raise Undecided("subscript")
        name = "".join(names).lstrip("{")
        if not name.isalnum():
            raise Undecided("subscript")
        return "_" + name
