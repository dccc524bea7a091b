"""Text -> one line of tokens for fastText: the same function when it is trained and when it is used.

`symbols` splits into runs of letters, runs of digits and single symbols, so that `\\`, `^`, `=` and `$` are words that a page
can be known by. `paper` is the paper's way (NFKC, lower case, digits to one token, no other symbols), for comparison.

fastText averages over tokens, so a word that a page's template repeats a hundred times drowns what the page says. With
`sublinear_tf` (Manning et al. 2008, 6.4.1) a token stands there the first, second, fourth, eighth … time that it occurs.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Literal

Preparation = Literal["symbols", "paper"]
LONGEST = 100
"""Characters of a token; longer ones are data, not words."""
_SYMBOLS = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_WORDS = re.compile(r"[^\W_]+")


def prepare(text: str, how: Preparation, characters: int, sublinear_tf: bool) -> str:
    """Tokens of the first `characters`, parted by blanks. No token can be a label or an end of line to fastText."""
    text = text[:characters]
    text = (text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)).lower()
    if how == "paper":
        tokens = _WORDS.findall(re.sub(r"\d+", "0", text))
    else:
        tokens = _SYMBOLS.findall(text)
    seen, kept = Counter[str](), []
    for token in tokens:
        seen[token] += 1
        if len(token) <= LONGEST and not (sublinear_tf and seen[token] & (seen[token] - 1)):
            kept.append(token)
    line = " ".join(kept)
    return line.encode(errors="replace").decode()  # a half of a surrogate pair has no UTF-8
