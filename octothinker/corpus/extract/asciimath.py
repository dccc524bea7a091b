"""AsciiMath (`sum_(i=1)^n i^2`) -> TeX."""

from __future__ import annotations

import re

CONSTANTS = ["+-", "pm", "-+", "mp", "xx", "times", "**", "ast", "***", "star", "//", "/", "\\\\", "backslash", "-:", "div", "|><", "ltimes", "><|", "rtimes", "|><|", "bowtie", "@", "circ", "o+", "oplus", "ox", "otimes", "o.", "odot", "sum", "sum", "prod", "prod", "^^", "wedge", "^^^", "bigwedge", "vv", "vee", "vvv", "bigvee", "nn", "cap", "nnn", "bigcap", "uu", "cup", "uuu", "bigcup", "!=", "neq", "<=", "leq", ">=", "geq", "-<", "prec", ">-", "succ", "-<=", "preceq", ">-=", "succeq", "in", "in", "!in", "notin", "sub", "subset", "sup", "supset", "sube", "subseteq", "supe", "supseteq", "-=", "equiv", "~=", "cong", "~~", "approx", "prop", "propto", "not", "neg", "=>", "Rightarrow", "<=>", "Leftrightarrow", "iff", "Leftrightarrow", "AA", "forall", "EE", "exists", "_|_", "perp", "TT", "top", "|--", "vdash", "|==", "models", "int", "int", "oint", "oint", "del", "partial", "grad", "nabla", "O/", "emptyset", "oo", "infty", "aleph", "aleph", ":.", "therefore", ":'", "because", "...", "ldots", "cdots", "cdots", "vdots", "vdots", "ddots", "ddots", "quad", "quad", "/_", "angle", "/_\\", "triangle", "diamond", "diamond", "square", "square", "|__", "lfloor", "__|", "rfloor", "|~", "lceil", "~|", "rceil", "CC", "mathbb{C}", "NN", "mathbb{N}", "QQ", "mathbb{Q}", "RR", "mathbb{R}", "ZZ", "mathbb{Z}", "->", "to", "|->", "mapsto", ">->", "rightarrowtail", "->>", "twoheadrightarrow", "rarr", "rightarrow", "larr", "leftarrow", "harr", "leftrightarrow", "rArr", "Rightarrow", "lArr", "Leftarrow", "hArr", "Leftrightarrow", "uarr", "uparrow", "darr", "downarrow", "alpha", "alpha", "beta", "beta", "gamma", "gamma", "delta", "delta", "epsilon", "epsilon", "varepsilon", "varepsilon", "zeta", "zeta", "eta", "eta", "theta", "theta", "iota", "iota", "kappa", "kappa", "lambda", "lambda", "mu", "mu", "nu", "nu", "xi", "xi", "pi", "pi", "rho", "rho", "sigma", "sigma", "tau", "tau", "upsilon", "upsilon", "phi", "phi", "varphi", "varphi", "chi", "chi", "psi", "psi", "omega", "omega", "Gamma", "Gamma", "Delta", "Delta", "Theta", "Theta", "Lambda", "Lambda", "Xi", "Xi", "Pi", "Pi", "Sigma", "Sigma", "Phi", "Phi", "Psi", "Psi", "Omega", "Omega", "lim", "lim", "sin", "sin", "cos", "cos", "tan", "tan", "sec", "sec", "csc", "csc", "cot", "cot", "arcsin", "arcsin", "arccos", "arccos", "arctan", "arctan", "sinh", "sinh", "cosh", "cosh", "tanh", "tanh", "exp", "exp", "log", "log", "ln", "ln", "det", "det", "dim", "dim", "gcd", "gcd", "min", "min", "max", "max"]
SYMBOLS = {name: "/" if tex == "/" else "\\" + tex for name, tex in zip(CONSTANTS[::2], CONSTANTS[1::2], strict=True)}
SYMBOLS |= {"mod": "\\bmod ", "lcm": "\\operatorname{lcm}", "if": "\\text{if }", "and": "\\text{ and }", "or": "\\text{ or }"}
ONE = {"sqrt": "sqrt", "hat": "hat", "bar": "overline", "vec": "vec", "dot": "dot", "ddot": "ddot", "ul": "underline", "tilde": "tilde"}
ONE |= {"bb": "mathbf", "bbb": "mathbb", "cc": "mathcal", "tt": "mathtt", "fr": "mathfrak", "sf": "mathsf", "cancel": "cancel"}
TWO = {"frac": "frac", "root": "sqrt", "stackrel": "stackrel", "overset": "overset", "underset": "underset"}
AROUND = {"abs": ("|", "|"), "norm": ("\\|", "\\|"), "floor": ("\\lfloor ", "\\rfloor "), "ceil": ("\\lceil ", "\\rceil ")}
BRACKETS = {"(": ")", "[": "]", "{": "}", "(:": ":)", "<<": ">>", "{:": ":}"}
SHOWN = {"(:": "\\langle ", ":)": "\\rangle ", "<<": "\\langle ", ">>": "\\rangle ", "{": "\\{", "}": "\\}", "{:": ".", ":}": "."}
_known = sorted([*SYMBOLS, *ONE, *TWO, *AROUND, *BRACKETS, *BRACKETS.values(), "text", "^", "_", "/"], key=len, reverse=True)
LEXER = re.compile(r'"[^"]*"|' + "|".join(map(re.escape, _known)) + r"|\d+(?:\.\d+)?|[^\W\d_]|\S|\s+")


def asciimath(text: str) -> str:
    """TeX of an AsciiMath expression; what its grammar does not know stays as it is."""
    tokens = [token for token in LEXER.findall(text) if not token.isspace()]
    return _Reader(tokens[:2000]).row(()).strip()


class _Reader:
    """Recursive descent over the tokens; nesting beyond 50 is read flat."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def row(self, ends: tuple[str, ...]) -> str:
        parts: list[str] = []
        while self.at < len(self.tokens) and self.tokens[self.at] not in ends:
            part = self.fraction()
            if parts and part[:1].isalpha() and re.search(r"\\[a-zA-Z]+$", parts[-1]):
                part = " " + part
            parts.append(part)
        return "".join(parts)

    def fraction(self) -> str:
        top = self.scripted()
        if self.peek() == "/" and self.at + 1 < len(self.tokens):
            self.at += 1
            return f"\\frac{{{bare(top)}}}{{{bare(self.scripted())}}}"
        return top

    def scripted(self) -> str:
        base, scripts = self.simple(), {}
        while self.peek() in ("^", "_") and self.at + 1 < len(self.tokens):
            mark = self.tokens[self.at]
            self.at += 1
            scripts[mark] = bare(self.simple())
        return base + "".join(f"{mark}{{{scripts[mark]}}}" for mark in "_^" if mark in scripts)

    def simple(self) -> str:
        token = self.peek()
        self.at += 1
        if token in BRACKETS and self.depth < 50:
            self.depth += 1
            inside = self.row((BRACKETS[token],))
            closed = self.peek() == BRACKETS[token]
            self.at += closed
            self.depth -= 1
            return _bracketed(token, inside) if closed else SHOWN.get(token, token) + inside
        if token == "text":
            return f"\\text{{{bare(self.simple())}}}"
        if token in ONE or token in TWO or token in AROUND:
            return self.command(token)
        if token[:1] == '"':
            return f"\\text{{{token[1:-1]}}}"
        return SYMBOLS.get(token) or {"%": "\\%", "#": "\\#", "&": "\\&", "$": "\\$"}.get(token, token)

    def command(self, token: str) -> str:
        if self.at >= len(self.tokens) or self.depth >= 50:
            return token
        self.depth += 1
        first = bare(self.simple())
        out = ""
        if token in AROUND:
            out = first.join(AROUND[token])
        elif token in ONE:
            out = f"\\{ONE[token]}{{{first}}}"
        elif token == "root":
            out = f"\\sqrt[{first}]{{{bare(self.simple())}}}"
        else:
            out = f"\\{TWO[token]}{{{first}}}{{{bare(self.simple())}}}"
        self.depth -= 1
        return out

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""


def _bracketed(token: str, inside: str) -> str:
    """A group; `[[a,b],[c,d]]` is a matrix."""
    rows = re.fullmatch(r"(?:[\[(][^\[\]()]*[\])],?){2,}", inside)
    if token in "([" and rows:
        lines = [line.replace(",", " & ") for line in re.findall(r"[\[(]([^\[\]()]*)[\])]", inside)]
        name = {"(": "pmatrix", "[": "bmatrix"}[token]
        return f"\\begin{{{name}}} " + " \\\\ ".join(lines) + f" \\end{{{name}}}"
    close = BRACKETS[token]
    left, right = SHOWN.get(token, token), SHOWN.get(close, close)
    if "\\frac" in inside or "." in (left, right):
        return f"\\left{left}{inside}\\right{right}"
    return left + inside + right


def bare(tex: str) -> str:
    """An argument without the brackets that only grouped it."""
    for left, right in (("\\left(", "\\right)"), ("(", ")"), ("\\{", "\\}"), ("[", "]")):
        if tex.startswith(left) and tex.endswith(right):
            inside, level = tex[len(left) : -len(right)], 0
            for char in inside:
                level += (char in "([") - (char in ")]")
                if level < 0:
                    return tex
            return inside
    return tex
