"""What on a page is not its content: elements by their names, roles and classes, blocks by their links.

General habits of web pages; no site is named. Two rules keep a page from being emptied by a bad class name: an element with
more than `SAFE` of the page's text is never dropped for its class, and main content is trusted only when it holds enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from octothinker.corpus.extract.dom import Node

SAFE = 0.5
DROPPED = set(
    ["style", "template", "nav", "iframe", "object", "embed", "canvas", "audio", "video", "button", "input", "select", "option", "optgroup", "textarea", "dialog", "datalist", "progress", "meter", "map", "area", "applet", "noframes", "frameset", "frame", "link", "meta", "base", "head", "footer"]
)
"""Elements that are never content. `script`, `noscript`, `svg` and `aside` are looked into."""
ROLES = {"navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar", "toolbar", "dialog", "alert", "doc-toc", "tablist"}
FURNITURE = re.compile(
    r"^(?:nav|navs|navi|navbar|navigation|nav\w{0,8}(?:bar|box|links?|list|menu|header|footer)|\w*menu(?:bar)?|side-?bar\w*|\w+sidebar\w*|"
    r"breadcrumbs?|crumbs?|pagination|pager|prevnext|doc-?nav|toc(?:tree)?(?:[-_]\w+)?|table-?of-?contents|tableofcontents|footer\w*|site-footer|page-footer|"
    r"copyright|legal|cookies?\w*|gdpr|consent|banner|advert\w*|ads?|adsbygoogle|sponsor\w*|promo\w*|share\w*|sharing|social\w*|"
    r"addthis\w*|related|related[-_]\w+|recommend\w*|widgets?|login|signin|signup|subscribe|newsletter|popup|modal|overlay|search(?:box|form|bar)?|"
    r"skip\w*|screen-reader\w*|sr-only|visually-?hidden|headerlink|viewcode-link|viewcode-back|mw-editsection|editsection|mw-jump-link|printfooter|"
    r"catlinks|navbox\w*|noprint|metadata|mbox-small|sistersitebox|post-(?:meta|footer|tags)|entry-(?:meta|footer)|tag-?links|byline|permalink|"
    r"anchorjs-link|header-anchor|edit-?(?:link|page)|prev-?next|site-header|page-header-\w+|masthead|topbar|top-bar|toolbar|chlink\w*|hidden)$",
    re.I,
)
HEADERLINK = {"¶", "#", "§", "🔗", "\uf0c1", "[edit]", "[source]", "[docs]", "[link]", "Permalink"}
CONTENT = "main, [role=main], article, #content, #main-content, #mw-content-text, .post-content, .entry-content, .article-body, .markdown-body"
CLOSING = re.compile(
    r"^(?:©|\(c\)|copyright\b|all rights reserved|last (?:updated|modified|edited|changed)|(?:this page )?(?:was )?(?:created|generated|built) (?:using|with|by|on)|"
    r"powered by|hosted by|privacy policy|terms of (?:use|service)|previous(?: (?:page|chapter|section|topic))?$|next(?: (?:page|chapter|section|topic))?$|"
    r"(?:home|up|top|back|index|contents|search|menu|print|share|download|sign in|log in|subscribe|quick search|table of contents|this page|"
    r"navigation|page contents|go|skip to (?:main )?content)$|(?:found a bug|report (?:a bug|an issue)|edit (?:this page|on github))\b)",
    re.I,
)


@dataclass
class Block:
    """A paragraph, heading, list item, table or listing with what its links weigh."""

    text: str
    kind: str = "p"  # p, h1 … h6, li, pre, table
    prefix: str = ""
    linked: int = 0
    links: int = 0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.text)

    @property
    def linky(self) -> bool:
        """Mostly links: a menu, a list of contents. A sentence is none, nor is anything with a formula that is not linked."""
        if self.kind in ("pre", "table") or not self.links:
            return False
        share = self.linked / max(self.size, 1)
        return share > 0.75 or (self.links >= 3 and share > 0.5 and not re.search(r"[.!?:](?:\s|$)", self.text))


@lru_cache(maxsize=1 << 14)
def furniture(names: str) -> bool:
    """Whether a class, id or role says that this is not content."""
    return any(FURNITURE.match(name) for name in names.split())


def hidden(given: dict[str, str | None]) -> bool:
    if "hidden" in given:
        return True
    style = given.get("style")
    return bool(style) and "none" in style and bool(re.search(r"display\s*:\s*none", style))  # type: ignore[arg-type]


def main_content(root: Node) -> Node:
    """The element that holds the page's content by its own word, if it holds a good part of the text; else the body."""
    body = root.css_first("body") or root
    found = body.css("main, [role=main]") or body.css("article")
    outer = found[0] if found else None
    if outer is None:
        return body
    whole = len(body.text(deep=True) or "")
    return outer if len(found) == 1 and len(outer.text(deep=True) or "") > 0.3 * whole else body


def kept(blocks: list[Block]) -> list[Block]:
    """Without menus (runs of blocks of links), closing lines, and the headings that nothing is left under."""
    linky = [block.linky for block in blocks]
    stays = []
    for i, block in enumerate(blocks):
        beside = (i > 0 and linky[i - 1]) or (i + 1 < len(blocks) and linky[i + 1])
        at_edge = i < 3 or i >= len(blocks) - 3
        menu = linky[i] and (beside or block.links >= 3 or at_edge) and not block.kind.startswith("h")
        stays.append(not menu and not (block.size < 200 and block.kind != "pre" and CLOSING.match(block.text)))
    out: list[Block] = []
    emptied = [False] * len(blocks)  # headings whose content was dropped
    for i in range(len(blocks) - 1, -1, -1):
        if stays[i] and blocks[i].kind[0] == "h":
            level, j = blocks[i].kind, i + 1
            while j < len(blocks) and (blocks[j].kind[0] != "h" or blocks[j].kind > level) and (not stays[j] or emptied[j]):
                j += 1
            under = j < len(blocks) and not (blocks[j].kind[0] == "h" and blocks[j].kind <= level)
            emptied[i] = not under and any(not s for s in stays[i + 1 : j])
    out = [block for block, stay, empty in zip(blocks, stays, emptied, strict=True) if stay and not empty]
    return out
