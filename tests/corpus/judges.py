"""Judges for tests; the tasks' processes import this module."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from datatrove.data import Document


class Odd:
    """Drops documents with an odd number, upper-cases the others."""

    def __call__(self, document: Document) -> str | None:
        if int(document.id) % 2:
            return "odd"
        document.text = document.text.upper()
        return None


class Failing:
    """Fails on one document while the file `armed` is there; `how`: raise, or die."""

    def __init__(self, at: str, armed: Path, how: str = "raise") -> None:
        self.at, self.armed, self.how = at, armed, how

    def __call__(self, document: Document) -> str | None:
        if document.id == self.at and self.armed.exists():
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError(f"the sky fell on {document.id}")
        return None
