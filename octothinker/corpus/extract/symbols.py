"""Unicode <-> TeX: the characters of mathematics by their TeX names, styled alphabets, function names, accents."""

from __future__ import annotations

import re
import unicodedata

NAMES = """
α alpha β beta γ gamma δ delta ε varepsilon ϵ epsilon ζ zeta η eta θ theta ϑ vartheta ι iota κ kappa ϰ varkappa λ lambda μ mu
ν nu ξ xi π pi ϖ varpi ρ rho ϱ varrho σ sigma ς varsigma τ tau υ upsilon φ varphi ϕ phi χ chi ψ psi ω omega ϝ digamma
Γ Gamma Δ Delta Θ Theta Λ Lambda Ξ Xi Π Pi Σ Sigma Υ Upsilon Φ Phi Ψ Psi Ω Omega µ mu ∆ Delta Ω Omega
ℵ aleph ℶ beth ℷ gimel ℸ daleth ℓ ell ℏ hbar ℜ Re ℑ Im ℘ wp ∂ partial ∞ infty ∅ emptyset ∇ nabla ∀ forall ∃ exists ∄ nexists
¬ neg ∠ angle ∡ measuredangle ∢ sphericalangle ⊤ top ⊥ bot ♭ flat ♮ natural ♯ sharp ♣ clubsuit ♢ diamondsuit ♡ heartsuit ♠ spadesuit
♦ blacklozenge ı imath ȷ jmath ð eth Ⅎ Finv ⅁ Game △ triangle ▽ triangledown □ square ◻ square ■ blacksquare ◊ lozenge ★ bigstar ‵ backprime
∑ sum ∏ prod ∐ coprod ∫ int ∬ iint ∭ iiint ∮ oint ∯ oiint ∰ oiiint ⋃ bigcup ⋂ bigcap ⨄ biguplus ⨆ bigsqcup ⋁ bigvee ⋀ bigwedge
⨀ bigodot ⨂ bigotimes ⨁ bigoplus √ surd
± pm ∓ mp × times ÷ div ∗ ast ⋆ star ∘ circ ∙ bullet • bullet ⋅ cdot · cdot ∩ cap ∪ cup ⊎ uplus ⊓ sqcap ⊔ sqcup ∨ vee ∧ wedge
∖ setminus ≀ wr ⋄ diamond ⊕ oplus ⊖ ominus ⊗ otimes ⊘ oslash ⊙ odot † dagger ‡ ddagger ⨿ amalg ⊲ lhd ⊳ rhd ⊴ unlhd ⊵ unrhd
◃ triangleleft ▹ triangleright ◯ bigcirc ⋉ ltimes ⋊ rtimes ⋋ leftthreetimes ⋌ rightthreetimes ⊞ boxplus ⊟ boxminus
⊠ boxtimes ⊡ boxdot ⊛ circledast ⊚ circledcirc ⊝ circleddash ⋒ Cap ⋓ Cup ⊼ barwedge ⊻ veebar ⋎ curlyvee ⋏ curlywedge ∔ dotplus
⊺ intercal ⋇ divideontimes
≤ leq ≥ geq ≠ neq ≡ equiv ≺ prec ≻ succ ∼ sim ⊥ perp ⪯ preceq ⪰ succeq ≃ simeq ∣ mid ≪ ll ≫ gg ≍ asymp ∥ parallel ⊂ subset ⊃ supset
≈ approx ⋈ bowtie ⊆ subseteq ⊇ supseteq ≅ cong ⊏ sqsubset ⊐ sqsupset ⨝ Join ⊑ sqsubseteq ⊒ sqsupseteq ≐ doteq ⌣ smile ⌢ frown
∈ in ∋ ni ∉ notin ∝ propto ⊢ vdash ⊣ dashv ⊨ models ⩽ leqslant ⩾ geqslant ≦ leqq ≧ geqq ≲ lesssim ≳ gtrsim ≶ lessgtr ≷ gtrless
≪ ll ⋘ lll ⋙ ggg ⊊ subsetneq ⊋ supsetneq ⫋ subsetneqq ⊄ not\\subset ⊈ nsubseteq ⊉ nsupseteq ≮ nless ≯ ngtr ≰ nleq ≱ ngeq ∤ nmid
∦ nparallel ≁ nsim ≇ ncong ⊬ nvdash ⊭ nvDash ⊩ Vdash ⊪ Vvdash ≜ triangleq ≔ coloneqq ≕ eqqcolon ∴ therefore ∵ because ≏ bumpeq
≎ Bumpeq ≗ circeq ≖ eqcirc ≑ doteqdot ⋍ backsimeq ∽ backsim ≊ approxeq ⊸ multimap ⋔ pitchfork ≬ between ϶ backepsilon ∁ complement
≼ preccurlyeq ≽ succcurlyeq ⋞ curlyeqprec ⋟ curlyeqsucc ⊀ nprec ⊁ nsucc ⋖ lessdot ⋗ gtrdot ⪅ lessapprox ⪆ gtrapprox ≵ not\\gtrsim
← leftarrow → rightarrow ↔ leftrightarrow ⇐ Leftarrow ⇒ Rightarrow ⇔ Leftrightarrow ↦ mapsto ↩ hookleftarrow ↪ hookrightarrow
↼ leftharpoonup ↽ leftharpoondown ⇀ rightharpoonup ⇁ rightharpoondown ⇌ rightleftharpoons ⟵ longleftarrow ⟶ longrightarrow
⟷ longleftrightarrow ⟸ Longleftarrow ⟹ Longrightarrow ⟺ Longleftrightarrow ⟼ longmapsto ↑ uparrow ↓ downarrow ↕ updownarrow ⇑ Uparrow
⇓ Downarrow ⇕ Updownarrow ↗ nearrow ↘ searrow ↙ swarrow ↖ nwarrow ⇝ rightsquigarrow ↝ leadsto ⇋ leftrightharpoons ↠ twoheadrightarrow
↞ twoheadleftarrow ↣ rightarrowtail ↢ leftarrowtail ⇉ rightrightarrows ⇇ leftleftarrows ⇄ rightleftarrows ⇆ leftrightarrows
↺ circlearrowleft ↻ circlearrowright ↛ nrightarrow ↚ nleftarrow ⇏ nRightarrow ⇍ nLeftarrow ⇎ nLeftrightarrow ↮ nleftrightarrow
↾ upharpoonright ↿ upharpoonleft ⇛ Rrightarrow ⇚ Lleftarrow
⟨ langle ⟩ rangle 〈 langle 〉 rangle ⌈ lceil ⌉ rceil ⌊ lfloor ⌋ rfloor ‖ Vert ⟮ lgroup ⟯ rgroup ⎰ lmoustache ⎱ rmoustache
⌜ ulcorner ⌝ urcorner ⌞ llcorner ⌟ lrcorner ⟦ llbracket ⟧ rrbracket
… ldots ⋯ cdots ⋮ vdots ⋱ ddots ′ prime ∎ blacksquare § S ¶ P © copyright ® circledR £ pounds ¥ yen ° degree ✓ checkmark ✠ maltese
Å text{Å} ⅆ mathrm{d} ⅇ mathrm{e} ⅈ mathrm{i}
"""
PLAIN = {
    **dict.fromkeys("−‒–‐\u2011", "-"),
    "∕": "/", "⁄": "/", "＝": "=", "＋": "+", "∶": ":", "⁎": "*", "ˆ": r"\^{}", "⩵": "==", "ʹ": "'", "″": "''", "‴": "'''",
    "{": r"\{", "}": r"\}", "%": r"\%", "#": r"\#", "$": r"\$", "&": r"\&", "_": r"\_", "~": r"\sim", "\\": r"\backslash",
    "\u00a0": "~", "\u2003": r"\quad ", "\u2009": r"\,", "\u2005": r"\:", "\u2004": r"\;", "\u2006": r"\,", "\u2002": r"\enspace ",
    "∁": r"\complement", "ƛ": r"\lambda", "ħ": r"\hbar", "†": r"\dagger", "⨯": r"\times", "⟂": r"\perp", "\u2044": "/",
    # invisible: function application, times, separator, plus; zero-width and joining characters
    **dict.fromkeys("\u2061\u2062\u2063\u2064\u200b\u200c\u200d\u2060\ufeff\u200a\ufe00\ufe0e\ufe0f", ""),
}
_pairs = NAMES.split()
TEX = {char: "\\" + name for char, name in zip(_pairs[::2], _pairs[1::2], strict=True)} | PLAIN
"""One character -> its TeX."""

FUNCTIONS = set(
    ["arccos", "arcsin", "arctan", "arg", "cos", "cosh", "cot", "coth", "csc", "deg", "det", "dim", "exp", "gcd", "hom", "inf", "ker", "lg", "lim", "liminf", "limsup", "ln", "log", "max", "min", "Pr", "sec", "sin", "sinh", "sup", "tan", "tanh", "injlim", "projlim"]
)
ACCENTS = {
    "^": "hat", "ˆ": "hat", "\u0302": "hat", "~": "tilde", "˜": "tilde", "\u0303": "tilde", "∼": "tilde", "¯": "bar", "ˉ": "bar",
    "\u0304": "bar", "‾": "bar", "\u0305": "overline", "―": "overline", "→": "vec", "⃗": "vec", "˙": "dot", "\u0307": "dot",
    "¨": "ddot", "\u0308": "ddot", "⃛": "dddot", "…": "dddot", "ˇ": "check", "\u030c": "check", "˘": "breve", "\u0306": "breve",
    "´": "acute", "\u0301": "acute", "ˊ": "acute", "`": "grave", "\u0300": "grave", "ˋ": "grave", "˚": "mathring", "°": "mathring",
    "\u030a": "mathring", "_": "bar", "-": "bar", "−": "bar", ".": "dot", "⋅": "dot", "∙": "dot", "·": "dot", "..": "ddot",
}
"""What stands over a base as an accent."""
WIDE = {"hat": "widehat", "tilde": "widetilde", "bar": "overline", "overline": "overline", "vec": "overrightarrow", "check": "widecheck"}
BRACES = {"⏞": "overbrace", "︷": "overbrace", "⏜": "overgroup", "←": "overleftarrow", "↔": "overleftrightarrow", "⇀": "overrightharpoon"}
BRACES |= {"⎴": "overbracket", "↼": "overleftharpoon", "→": "overrightarrow", "⃗": "vec", "⃡": "overleftrightarrow"}
UNDER = {"⏟": "underbrace", "︸": "underbrace", "_": "underline", "‾": "underline", "¯": "underline", "―": "underline", "̲": "underline"}
UNDER |= {"\u0332": "underline", "˙": "d", "⏝": "undergroup", "~": "utilde", "→": "underrightarrow", "←": "underleftarrow"}
UNDER |= {"_": "underline", "ˍ": "underline", "↔": "underleftrightarrow", "∼": "utilde", "⎵": "underbracket"}
VARIANTS = {
    "bold": "mathbf", "bold-italic": "boldsymbol", "double-struck": "mathbb", "script": "mathcal", "fraktur": "mathfrak",
    "sans-serif": "mathsf", "monospace": "mathtt", "bold-script": "mathcal", "bold-fraktur": "mathfrak", "normal": "mathrm",
    "bold-sans-serif": "mathsf", "sans-serif-italic": "mathsf", "italic": "mathit",
}
"""mathvariant -> the TeX command."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_GREEK = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡϴΣΤΥΦΧΨΩ∇αβγδεζηθικλμνξοπρςστυφχψω∂ϵϑϰϕϱϖ"
STYLED: dict[str, tuple[str, str]] = {}
"""A styled letter (𝐀, ℝ, 𝒜) -> (command or "", plain letter)."""
for _start, _style in (
    *((0x1D400, "mathbf"), (0x1D434, ""), (0x1D468, "boldsymbol"), (0x1D49C, "mathcal"), (0x1D4D0, "mathcal")),
    *((0x1D504, "mathfrak"), (0x1D538, "mathbb"), (0x1D56C, "mathfrak"), (0x1D5A0, "mathsf"), (0x1D5D4, "mathsf")),
    *((0x1D608, "mathsf"), (0x1D63C, "mathsf"), (0x1D670, "mathtt")),
):
    STYLED |= {chr(_start + i): (_style, letter) for i, letter in enumerate(_LETTERS)}
for _start, _style in ((0x1D6A8, "boldsymbol"), (0x1D6E2, ""), (0x1D71C, "boldsymbol")):
    STYLED |= {chr(_start + i): (_style, letter) for i, letter in enumerate(_GREEK)}
for _start, _style in ((0x1D7CE, "mathbf"), (0x1D7D8, "mathbb"), (0x1D7E2, "mathsf"), (0x1D7F6, "mathtt")):
    STYLED |= {chr(_start + i): (_style, str(i)) for i in range(10)}
STYLED |= {char: ("mathbb", plain) for char, plain in zip("ℂℍℕℙℚℝℤ", "CHNPQRZ", strict=True)}
STYLED |= {char: ("mathcal", plain) for char, plain in zip("ℬℰℱℋℐℒℳℛℯℊℴ", "BEFHILMRego", strict=True)}
STYLED |= {char: ("mathfrak", plain) for char, plain in zip("ℭℌℨ", "CHZ", strict=True)} | {"ℎ": ("", "h"), "𝟏": ("mathbf", "1")}

WORD = re.compile(r"\\[a-zA-Z]+$")


def join(parts: list[str]) -> str:
    """TeX tokens after one another; a space only where a command's name would swallow a letter."""
    out: list[str] = []
    for part in parts:
        if not part:
            continue
        if out and part[0].isalpha() and WORD.search(out[-1]):
            out.append(" ")
        out.append(part)
    return "".join(out)


def symbol(text: str) -> str:
    """TeX of a few characters of mathematics, letter by letter; styled letters get their command."""
    text = unicodedata.normalize("NFC", text) if "\u0338" in text else text  # = and a stroke are ≠
    if len(text) == 1:
        return TEX.get(text) or _styled(text) if text in TEX or text in STYLED else text
    return join([TEX.get(c, c) if c not in STYLED else _styled(c) for c in text])


def _styled(char: str) -> str:
    if char in TEX:  # an invisible one
        return TEX[char]
    style, letter = STYLED[char]
    tex = TEX.get(letter, letter)
    return f"\\{style}{{{tex}}}" if style else tex


def escape_text(text: str) -> str:
    """Text for `\\text{…}`."""
    return re.sub(r"([#$%&_{}])", r"\\\1", text.replace("\\", "\\textbackslash ").replace("\u00a0", " "))
