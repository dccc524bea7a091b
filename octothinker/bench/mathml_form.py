"""When two formulas are equal: KaTeX gives the same MathML for both, up to what does not show.

Left out of the comparison: groups (mrow, mstyle, mpadded), white space, invisible operators, and all attributes but
the letters' variant and a fraction's line. Scripts, fractions, roots, tables and accents must stand at the same places.
"""

from __future__ import annotations

import re
import unicodedata
from xml.etree import ElementTree

TRANSPARENT = {"mrow", "semantics", "mstyle", "mpadded", "math"}
INVISIBLE = "\u2061\u2062\u2063\u200b"
SPACES = " \u00a0\u2003\u2004\u2005\u2009\u200a\u2002\u2063\u200b"


def form(mathml: str | None) -> str | None:
    """A text that two equal formulas share; None when there is none."""
    found = re.search(r"<math.*</math>", mathml or "", re.S)
    if found is None:
        return None
    text = unicodedata.normalize("NFC", found[0]).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    return repr(_forms(ElementTree.fromstring(text)))


def _forms(element: ElementTree.Element) -> list[object]:
    name, text = element.tag, (element.text or "") if len(element) == 0 else ""
    if name == "annotation" or name == "mspace" or (name == "mtext" and not text.strip(SPACES) and len(element) == 0):
        return []
    if name == "mo" and text and not text.strip(INVISIBLE):
        return []
    if name in TRANSPARENT:
        return [form for child in element for form in _forms(child)]
    variant = element.get("mathvariant", "")
    thickness = element.get("linethickness", "") if name == "mfrac" else ""
    return [
        (name, "" if variant == "normal" else variant, thickness, text, *[tuple(_forms(child)) for child in element])
    ]
