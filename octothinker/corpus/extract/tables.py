"""MathML tables -> TeX environments."""

from __future__ import annotations

from collections.abc import Callable

from octothinker.corpus.extract.dom import Node, attributes, children, local

MATRICES = {("(", ")"): "pmatrix", ("[", "]"): "bmatrix", ("{", "}"): "Bmatrix", ("|", "|"): "vmatrix", ("∣", "∣"): "vmatrix"}
MATRICES |= {("‖", "‖"): "Vmatrix", ("∥", "∥"): "Vmatrix"}


def array(node: Node, depth: int, to_tex: Callable[[Node, int], str], fences: tuple[str, str] | None) -> str | None:
    """A table as matrix, cases, aligned, or array with its rules; None: these fences need \\left and \\right.

    `fences`: the characters around it. Beyond them, what tells the environments apart is the alignment of columns.
    """
    given = attributes(node)
    rows = [child for child in children(node) if local(child) in ("mtr", "mlabeledtr")]
    cells = [[cell for cell in children(line) if local(cell) == "mtd"] for line in rows]
    tags = [cell[0] if local(line) == "mlabeledtr" and cell else None for line, cell in zip(rows, cells, strict=True)]
    cells = [cell[1:] if tag is not None else cell for cell, tag in zip(cells, tags, strict=True)]
    aligned = given.get("columnalign", "").split() or _by_class(cells)
    columns = max((len(line) for line in cells), default=0)
    body = " \\\\ ".join(" & ".join(_cell(cell, depth, to_tex) for cell in line) for line in cells)
    ruled = "solid" in given.get("columnlines", "") or "solid" in given.get("rowlines", "")
    spacing = given.get("columnspacing", "")
    is_aligned = aligned[:2] == ["right", "left"] and "aligned"
    name = None
    if fences:
        if ruled:
            return None
        if fences[0] == "{" and fences[1] == "." and columns <= 2:
            name = "cases"
        elif fences[0] == "." and fences[1] == "}":
            name = "rcases"
        elif set(aligned) <= {"center"}:
            name = MATRICES.get(fences)
        if name is None:
            return None
    elif is_aligned and not ruled:
        name = "aligned"
    elif not ruled and set(aligned) <= {"center"}:
        tight = spacing == "" and given.get("displaystyle") == "true" and columns == 1
        name = "gathered" if tight else "substack" if columns == 1 and given.get("rowspacing", "").startswith("0.1") else "matrix"
    if name == "substack":
        return f"\\substack{{{body}}}"
    if name:
        return f"\\begin{{{name}}} {body} \\end{{{name}}}"
    return f"\\begin{{array}}{{{_columns(aligned, given, columns)}}} {_ruled(cells, given, depth, to_tex)} \\end{{array}}"


def _by_class(cells: list[list[Node]]) -> list[str]:
    """Temml aligns by the class of a cell."""
    found = [attributes(cell).get("class", "") for cell in max(cells, key=len, default=[])]
    return [c.removeprefix("tml-") for c in found] if any(c in ("tml-left", "tml-right") for c in found) else []


def _cell(cell: Node, depth: int, to_tex: Callable[[Node, int], str]) -> str:
    tex = to_tex(cell, depth + 1).strip()
    if tex.startswith("{\\displaystyle ") and tex.endswith("}") and _closes_at_end(tex):
        tex = tex[len("{\\displaystyle ") : -1].strip()
    return tex.removeprefix("{}").strip() if tex.startswith("{}") else tex


def _closes_at_end(tex: str) -> bool:
    level = 0
    for i, char in enumerate(tex):
        level += (char == "{") - (char == "}")
        if level == 0:
            return i == len(tex) - 1
    return False


def _columns(aligned: list[str], given: dict[str, str], count: int) -> str:
    letters = [{"left": "l", "right": "r"}.get(a, "c") for a in aligned] or ["c"]
    letters = (letters + [letters[-1]] * count)[:count]
    lines = given.get("columnlines", "").split()
    bars = ["|" if line != "none" else "" for line in (lines + lines[-1:] * count)[: max(count - 1, 0)]]
    return "".join(letter + bar for letter, bar in zip(letters, [*bars, ""], strict=False))


def _ruled(cells: list[list[Node]], given: dict[str, str], depth: int, to_tex: Callable[[Node, int], str]) -> str:
    lines = given.get("rowlines", "").split()
    lines = (lines + (lines[-1:] or [""]) * len(cells))[: max(len(cells) - 1, 0)] + [""]
    out = []
    for line, rule in zip(cells, lines, strict=False):
        out.append(" & ".join(_cell(cell, depth, to_tex) for cell in line))
        out.append(" \\\\ " + ("\\hline " if rule and rule != "none" else ""))
    return "".join(out[:-1])
