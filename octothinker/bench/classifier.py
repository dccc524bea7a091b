"""How well the classifier knows mathematics on sites it has never seen: our preparation beside the paper's.

    pages (octo corpus extract) + labels by address -> folds by site -> precision, recall, F1, calibration -> rows

The hyper-parameters are those of corpus.classify.Classifier, the threshold is the one of best F1 on the other folds. The split
by page is there to show what such a split hides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from octothinker.corpus.classify import Classifier, Example, measure, site_of
from octothinker.data.files import Position, read
from octothinker.typed import ConfigError, check

REACH = 0.975
WAYS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("symbols, sublinear tf", "by site", {}),
    ("symbols", "by site", {"sublinear_tf": False}),
    ("paper, sublinear tf", "by site", {"preparation": "paper"}),
    ("paper", "by site", {"preparation": "paper", "sublinear_tf": False}),
    ("symbols, sublinear tf", "by page", {}),
)
POSITIVE = ("math", "yes", "1", "true")


def labelled(pages: Path, labels: Path | None) -> list[dict[str, Any]]:
    """Rows {"id", "site", "label", "text"} of the pages that have a label, in their own row or in the one of `labels` with
    the same `url`. The site is the label row's `source`, where it names one, else the host."""
    known: dict[str, dict[str, Any]] = {}
    for row in read(labels, Position()) if labels else ():
        check("url" in row.fields and "label" in row.fields, f"{row.where}: a label has `url` and `label`")
        known[row.fields["url"]] = row.fields
    rows = []
    for row in read(pages, Position()):
        fields = {**row.fields, **known.get(str(row.fields.get("url")), {})}
        check(isinstance(fields.get("text"), str), f"{row.where}: a page has a `text`")
        if "label" in fields:
            site = str(fields.get("source") or site_of({"url": fields.get("url")}))
            label = str(fields["label"]).lower() in POSITIVE
            rows.append(
                {"id": str(fields.get("url") or row.where), "site": site, "label": label, "text": fields["text"]}
            )
    if len({row["site"] for row in rows}) < 2:
        raise ConfigError(f"{pages}: pages with labels of two sites or more are needed; {len(rows)} have one")
    return rows


def compare(pages: Path, labels: Path | None, config: Classifier, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row for each of WAYS: all that classify.measure finds, and what the goal is."""
    found = labelled(pages, labels)
    rows = []
    for name, split, how in WAYS:
        say(f"{name}, split {split}: {config.folds} models on {len(found)} pages")
        mine = dataclasses.replace(config, **how)
        examples = [
            Example(row["id"], row["site" if split == "by site" else "id"], row["label"], mine.line(row["text"]))
            for row in found
        ]
        measured = measure(examples, mine)
        say(f"  F1 {measured['held_out']['f1']:.3f}, threshold {measured['threshold']:g}: {measured['reason']}")
        if split == "by page":  # as if pages of one site told nothing of each other
            del measured["sites"], measured["f1_interval"]
        rows.append({"work": "classifier", "preparation": name, "split": split, **measured})
    return [{**row, "reach": None if i else REACH} for i, row in enumerate(rows)]
