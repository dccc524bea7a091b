"""The few questions that we ask a parsed page (selectolax, on the lexbor parser: HTML as browsers read it)."""

from __future__ import annotations

from typing import TypeAlias

from selectolax.lexbor import LexborHTMLParser, LexborNode

Node: TypeAlias = LexborNode


def parse(html: str) -> Node | None:
    return LexborHTMLParser(html).root


def local(node: Node) -> str:
    """Name without a prefix: `mml:mi` is `mi`, since HTML knows no namespaces."""
    tag = node.tag or ""
    return tag.rpartition(":")[2] if ":" in tag else tag


def attributes(node: Node) -> dict[str, str]:
    return {name: value or "" for name, value in node.attributes.items()}


def children(node: Node) -> list[Node]:
    """Element children."""
    return [child for child in node.iter() if (child.tag or "-")[0] not in "-!"]


def words(node: Node) -> str:
    """All text within, white space at the ends gone."""
    return (node.text(deep=True) or "").strip(" \t\r\n\f")
