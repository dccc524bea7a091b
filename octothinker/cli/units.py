"""How numbers are written for people."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """`42 s`, `3:07`, `2:05:09`, `12 days`."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 72:
        return f"{hours / 24:.0f} days"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def amount(value: float | None) -> str:
    """Three digits and a letter: `1.65M`, `74.2B`."""
    if value is None:
        return "?"
    letters = ["", "k", "M", "B", "T", "P", "E", "Z", "Y"]
    while abs(value) >= 999.5 and len(letters) > 1:
        value, letters = value / 1000, letters[1:]
    digits = f"{value:.0f}" if letters[0] == "" and value == int(value) else f"{value:.3g}"
    return f"{digits}{letters[0]}"


def size(memory: float) -> str:
    """Bytes in decimal units: `42.3 GB`."""
    text = amount(memory)
    return f"{text[:-1]} {text[-1].replace('B', 'G').replace('k', 'K')}B" if text[-1].isalpha() else f"{text} B"
