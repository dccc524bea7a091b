"""Content MathML (what a formula means, not how it looks) -> TeX."""

from __future__ import annotations

from octothinker.corpus.extract.dom import Node, attributes, children, local, words
from octothinker.corpus.extract.symbols import FUNCTIONS, join, symbol

HEADS = {"apply", "ci", "cn", "csymbol", "set", "list", "vector", "matrix", "interval", "piecewise", "lambda", "bind", "reln"}
BETWEEN = {
    "eq": "=", "neq": "\\neq ", "lt": "<", "gt": ">", "leq": "\\leq ", "geq": "\\geq ", "equivalent": "\\equiv ", "approx": "\\approx ",
    "and": "\\land ", "or": "\\lor ", "xor": "\\oplus ", "implies": "\\Rightarrow ", "in": "\\in ", "notin": "\\notin ",
    "subset": "\\subseteq ", "prsubset": "\\subset ", "union": "\\cup ", "intersect": "\\cap ", "setdiff": "\\setminus ",
    "cartesianproduct": "\\times ", "tendsto": "\\to ", "compose": "\\circ ", "vectorproduct": "\\times ", "scalarproduct": "\\cdot ",
    "plus": "+", "minus": "-", "times": " ", "rem": "\\bmod ", "factorof": "\\mid ",
}
WEAK = {"plus": 1, "minus": 1, "times": 2, "divide": 3, "power": 4}
"""How tightly arithmetic binds: weaker operands of a stronger one are put in brackets."""
CONSTANTS = {
    "pi": "\\pi", "exponentiale": "e", "imaginaryi": "i", "infinity": "\\infty", "emptyset": "\\emptyset", "eulergamma": "\\gamma",
    "integers": "\\mathbb{Z}", "reals": "\\mathbb{R}", "rationals": "\\mathbb{Q}", "naturalnumbers": "\\mathbb{N}",
    "complexes": "\\mathbb{C}", "primes": "\\mathbb{P}", "true": "\\mathrm{true}", "false": "\\mathrm{false}",
}
AROUND = {"abs": ("|", "|"), "floor": ("\\lfloor ", "\\rfloor "), "ceiling": ("\\lceil ", "\\rceil "), "card": ("|", "|")}
NAMED = {"determinant": "det", "real": "Re", "imaginary": "Im", "grad": "nabla ", "not": "neg ", "forall": "forall ", "exists": "exists "}
NEW_ROW = " \\\\ "
BIG = {"sum": "\\sum", "product": "\\prod", "int": "\\int", "limit": "\\lim"}


def content_tex(math: Node) -> str | None:
    """TeX of a `math` element that holds content markup; None when it holds presentation."""
    inside = children(math)
    if len(inside) == 1 and local(inside[0]) == "semantics":
        inside = children(inside[0])[:1]
    return _tex(inside[0], 0) if inside and local(inside[0]) in HEADS else None


def _tex(node: Node, depth: int) -> str:
    name, parts = local(node), children(node)
    if name in CONSTANTS:
        return CONSTANTS[name]
    if depth > 100 or (name in ("ci", "csymbol", "cn") and not [p for p in parts if local(p) != "sep"]):
        return _leaf(node, name)
    if name in ("apply", "reln", "bind") and parts:
        return _apply(parts[0], parts[1:], depth + 1)
    inside = [_tex(part, depth + 1) for part in parts]
    if name == "set":
        return "\\{" + ", ".join(inside) + "\\}"
    if name == "interval":
        closure = attributes(node).get("closure", "closed")
        left, right = "(" if closure in ("open", "open-closed") else "[", ")" if closure in ("open", "closed-open") else "]"
        return left + ", ".join(inside) + right
    if name in ("vector", "matrix"):
        return f"\\begin{{pmatrix}} {NEW_ROW.join(inside)} \\end{{pmatrix}}"
    if name == "matrixrow":
        return " & ".join(inside)
    if name == "piecewise":
        return f"\\begin{{cases}} {NEW_ROW.join(inside)} \\end{{cases}}"
    if name in ("piece", "otherwise"):
        return " & ".join(inside) if name == "piece" else f"{inside[0] if inside else ''} & \\text{{otherwise}}"
    if name == "list":
        return "[" + ", ".join(inside) + "]"
    if name in ("degree", "logbase", "uplimit", "lowlimit", "bvar", "condition", "ci", "mrow"):
        return join(inside)
    return join(inside) or symbol(words(node))


def _leaf(node: Node, name: str) -> str:
    text = words(node)
    if name == "cn" and "<sep" in (node.html or ""):
        pieces = [(child.text_content or "").strip() for child in node.iter(include_text=True) if child.tag == "-text"]
        kind = attributes(node).get("type", "")
        if len(pieces) == 2:
            return f"\\frac{{{pieces[0]}}}{{{pieces[1]}}}" if kind == "rational" else f"{pieces[0]} \\times 10^{{{pieces[1]}}}"
    if len(text) > 1 and text.isalpha() and name != "cn":
        return f"\\{text}" if text in FUNCTIONS else f"\\mathrm{{{text}}}"
    return symbol(text)


def _apply(head: Node, rest: list[Node], depth: int) -> str:
    name = local(head)
    bound = {local(n): _tex(n, depth) for n in rest if local(n) in ("degree", "logbase", "uplimit", "lowlimit", "bvar", "condition")}
    nodes = [n for n in rest if local(n) not in bound]
    parts = [_wrapped(n, name, depth) for n in nodes]
    first = parts[0] if parts else ""
    if name in BIG:
        return _big(name, bound, first)
    if name in ("forall", "exists"):
        return join([f"\\{name}", " " + bound.get("bvar", ""), "\\," if parts else "", *parts])
    if name == "diff":
        degree = bound.get("degree", "")
        return f"\\frac{{d{first}}}{{d{bound.get('bvar', 'x')}}}" if not degree else f"\\frac{{d^{{{degree}}}{first}}}{{d{bound['bvar']}}}"
    if name == "partialdiff":
        return f"\\frac{{\\partial {first}}}{{\\partial {bound.get('bvar', 'x')}}}"
    if name == "minus" and len(parts) == 1:
        return "-" + first
    if name in BETWEEN and parts:
        return join([piece for i, part in enumerate(parts) for piece in ([BETWEEN[name], part] if i else [part])])
    if name == "divide" and len(parts) == 2:
        return f"\\frac{{{parts[0]}}}{{{parts[1]}}}"
    if name == "power" and len(parts) == 2:
        return f"{first if len(first) == 1 or first.startswith('(') else '{' + first + '}'}^{{{parts[1]}}}"
    if name == "root":
        degree = bound.get("degree", "")
        return f"\\sqrt[{degree}]{{{first}}}" if degree and degree != "2" else f"\\sqrt{{{first}}}"
    if name in AROUND:
        return first.join(AROUND[name])
    if name == "factorial":
        return f"{first}!"
    if name == "conjugate":
        return f"\\overline{{{first}}}"
    if name == "inverse":
        return f"{first}^{{-1}}"
    if name == "transpose":
        return f"{first}^{{T}}"
    if name == "selector" and len(parts) > 1:
        return f"{first}_{{{', '.join(parts[1:])}}}"
    if name == "log":
        base = bound.get("logbase", "")
        return join([f"\\log_{{{base}}}" if base else "\\log", f" {first}"])
    if name in NAMED:
        return join(["\\" + NAMED[name], first])
    function = f"\\{name}" if name in FUNCTIONS else _tex(head, depth) or f"\\operatorname{{{name}}}"
    return f"{function}({', '.join(parts)})" if parts else function


def _wrapped(node: Node, outer: str, depth: int) -> str:
    """An operand, in brackets where its operator binds less tightly than the one around it."""
    tex = _tex(node, depth)
    inner = local(children(node)[0]) if local(node) == "apply" and children(node) else ""
    weak = (WEAK.get(inner, 9) < WEAK.get(outer, 0) and outer != "divide") or (outer == "minus" and inner in ("plus", "minus"))
    return f"({tex})" if weak else tex


def _big(name: str, bound: dict[str, str], body: str) -> str:
    low, high, var = bound.get("lowlimit", ""), bound.get("uplimit", ""), bound.get("bvar", "")
    condition = bound.get("condition", "")
    if name == "int":
        limits = (f"_{{{low}}}" if low else "") + (f"^{{{high}}}" if high else "")
        return f"\\int{limits} {body}\\,d{var}"
    below = condition or (f"{var} \\to {low}" if name == "limit" else f"{var}={low}" if low else var)
    return BIG[name] + (f"_{{{below}}}" if below else "") + (f"^{{{high}}}" if high else "") + " " + body
