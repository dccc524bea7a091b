"""What the report says, from made-up run folders: numbers, claims, the state of an unfinished run, and hostile text."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from make_run import HOSTILE, make_run

from octothinker.insight.compare import COLLAPSED, FIT, LITTLE, Estimate, Verdict
from octothinker.report.claims import UNTESTED, claims
from octothinker.report.collect import TRANSCRIPTS, Run, collect
from octothinker.report.figures import POINTS, charts, models
from octothinker.report.html import page, write_report
from octothinker.report.summary import Row, headline, report_json, rows
from octothinker.typed import ConfigError

Measured = tuple[Run, list[list[Row]]]


@pytest.fixture(scope="module")
def measured(three: Path) -> Measured:
    """The run of three seeds, read once, and its table."""
    run = collect(three)
    return run, rows(run)


@pytest.fixture(scope="module")
def report(three: Path) -> dict[str, Any]:
    return report_json(three)


def samples_of(folder: Path, stage: str) -> list[dict[str, Any]]:
    (file,) = folder.glob(f"stages/{stage}-*/samples.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def accuracy(samples: list[dict[str, Any]], mode: str) -> float:
    graded = [r["correct"] for r in samples if r["mode"] == mode]
    return sum(graded) / len(graded)


# ---- data


def test_json_has_the_promised_shape(report: dict[str, Any]) -> None:
    json.dumps(report, allow_nan=False)
    assert report["seconds"] == 812.5
    assert report["headline"].startswith("long: RL raises")
    inits = ["base", "stable", "short", "long", "hybrid"]
    assert [(r["init"], r["seed"]) for r in report["runs"]] == [(init, seed) for init in inits for seed in (0, 1, 2)]
    assert [(r["init"], r["seeds"]) for r in report["pooled"]] == [(init, [0, 1, 2]) for init in inits]
    for r in report["runs"]:
        assert {
            "init",
            "seed",
            "n",
            "start",
            "rl",
            "gain_sampled",
            "gain_ci",
            "mean_length",
            "truncation",
            "verdict",
        } <= set(r)
        assert set(r["start"]) == set(r["rl"]) == {"sampled", "greedy", "boxed"}
        assert r["n"] == 48
        assert r["gain_ci"][0] <= r["gain_sampled"] <= r["gain_ci"][1]


def test_json_numbers_are_those_of_the_samples(three: Path, report: dict[str, Any]) -> None:
    before, after = samples_of(three, "eval.long.s1"), samples_of(three, "eval.rl-long.s1")
    entry = next(r for r in report["runs"] if r["init"] == "long" and r["seed"] == 1)
    sampled = [r for r in after if r["mode"] == "sampled"]
    assert entry["start"]["sampled"] == pytest.approx(accuracy(before, "sampled"))
    assert entry["rl"]["greedy"] == pytest.approx(accuracy(after, "greedy"))
    assert entry["gain_sampled"] == pytest.approx(accuracy(after, "sampled") - accuracy(before, "sampled"))
    assert entry["rl"]["boxed"] == pytest.approx(sum(r["boxed"] for r in sampled) / len(sampled))
    assert entry["mean_length"] == pytest.approx(sum(r["tokens"] for r in sampled) / len(sampled))
    assert entry["truncation"] == pytest.approx(sum(r["finish"] == "length" for r in sampled) / len(sampled))
    assert len(sampled) == 48 * 4


def test_pooled_value_is_the_mean_of_the_seeds(report: dict[str, Any]) -> None:
    gains = [r["gain_sampled"] for r in report["runs"] if r["init"] == "short"]
    pooled = next(r for r in report["pooled"] if r["init"] == "short")
    assert pooled["gain_sampled"] == pytest.approx(sum(gains) / 3)
    assert len(set(gains)) == 3  # else this test would see nothing


def test_the_answer_names_the_best_model_and_the_base(measured: Measured) -> None:
    run, table = measured
    top = headline(run, table)
    assert top.answer.startswith("long: RL raises its sampled accuracy from")
    assert "RL on base itself: gains little" in top.more
    assert "points above base after the same RL" in top.more
    assert "Also fit for RL: hybrid (" in top.more


def test_a_set_whose_problems_are_rl_prompts_gets_no_headline(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", problems=8, steps=4, seeds=(0,))
    (stage,) = (folder / "stages").glob("contamination-*")
    clean, found = {"problems": 8, "whole": 0, "13": 1, "8": 3}, {"problems": 2, "whole": 1, "13": 1, "8": 1}
    texts = {
        "RL prompts": {"documents": 2, "of": 2, "sets": {"heldout": found}},
        "maths": {"documents": 9, "of": 9, "sets": {"heldout": found}},
        "prose": {"documents": 9, "of": 9, "sets": {"heldout": clean}},
    }
    manifest = json.loads((stage / "manifest.json").read_text())
    (stage / "manifest.json").write_text(json.dumps({**manifest, "result": {"texts": texts}}))
    run = collect(folder)
    assert run.overlap == {"heldout": (1, 2)}
    assert "1 of 2 problems of heldout stand whole in the RL prompts" in " ".join(run.notes)
    assert "1 of 2 problems of heldout stand whole in maths, which was trained on" in " ".join(run.notes)
    assert "prose" not in " ".join(run.notes)
    top = headline(run, rows(run))
    assert top.answer == "No headline from heldout."
    assert "1 of its 2 problems are RL prompts" in top.more
    assert report_json(folder)["headline"].startswith("No headline")


def test_the_answer_can_be_none(measured: Measured) -> None:
    run, table = measured
    flat = [[_with_verdict(group[0], LITTLE)] for group in table]
    assert headline(run, flat).answer == "None, by the rule below."
    assert headline(run, []).answer.startswith("Not known yet")


def _with_verdict(r: Row, word: str, over_base: Estimate | None = None) -> Row:
    return Row(
        r.init, r.seeds, r.n, r.start, r.rl, r.gain, r.gain_greedy, over_base or r.over_base, Verdict(word, "made up")
    )


# ---- claims


def test_claims_follow_the_numbers(measured: Measured) -> None:
    run, table = measured
    found = {claim.says: claim for claim in claims(run, table)}
    best = found["long is the best branch after RL."]
    assert best.name == "C13" and best.status == "holds"
    assert "long over short: +" in best.shown and "long over hybrid: +" in best.shown
    assert found["long writes the longest answers after RL."].status == "holds"
    assert found["Every branch ends above base, after the same RL."].status == "holds"
    harder = found["long beats short after RL where problems are harder (upper half of the levels)."]
    assert "level 3" in harder.shown and "level 4" in harder.shown and "level 1" not in harder.shown
    assert not {claim.name for claim in found.values()} & set(UNTESTED)


@pytest.mark.parametrize(("word", "status"), [(LITTLE, "holds"), (COLLAPSED, "holds"), (FIT, "does not hold")])
def test_claim_about_the_base(measured: Measured, word: str, status: str) -> None:
    run, heads = measured
    table = [[_with_verdict(g[0], word if g[0].init == "base" else FIT)] for g in heads]
    first, second = claims(run, table)[:2]
    assert first.status == status
    assert second.status == "holds"


@pytest.mark.parametrize(
    ("over", "status"),
    [
        (Estimate(0.2, 0.1, 0.3), "holds"),
        (Estimate(0.2, -0.1, 0.3), "undecided"),
        (Estimate(-0.1, -0.2, 0.1), "undecided"),
        (Estimate(-0.2, -0.3, -0.1), "does not hold"),
    ],
)
def test_one_branch_decides(measured: Measured, over: Estimate, status: str) -> None:
    run, heads = measured
    table = [[_with_verdict(g[0], FIT, over if g[0].init == "hybrid" else None)] for g in heads]
    claim = next(c for c in claims(run, table) if c.says.startswith("Every branch ends above"))
    assert claim.status == status


# ---- unfinished, broken, other recipes


def test_an_unfinished_run_says_what_is_missing(unfinished: Path) -> None:
    run = collect(unfinished)
    notes = " ".join(run.notes)
    assert "not finished: 24 of 28 stages" in notes
    assert "eval.rl-hybrid.s0" in notes
    assert "rl.stable.s0 failed: RuntimeError: loss is not finite" in notes
    assert "One seed" in notes
    report = report_json(unfinished)
    assert report["seconds"] == 10.0 * 24  # no wall time yet: what the finished stages took
    by_init = {r["init"]: r for r in report["runs"]}
    assert by_init["hybrid"]["rl"] is None and by_init["hybrid"]["verdict"] == "not measured"
    assert by_init["hybrid"]["start"]["sampled"] > 0
    assert by_init["long"]["verdict"] == FIT
    text = page(run)
    assert "not measured yet" in text and "loss is not finite" in text
    assert any(s["model"] == 4 for s in charts(run, rows(run))["rl-reward"]["series"])  # the RL that runs is drawn


def test_a_run_that_has_only_been_planned(three: Path, tmp_path: Path) -> None:
    shutil.copy(three / "experiment.json", tmp_path)
    text = write_report(tmp_path).read_text()
    assert "Not known yet" in text and "plan.json is missing" in text


def test_a_recipe_without_rl(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), problems=8, with_rl=False)
    text = write_report(folder).read_text()
    assert "This recipe has no RL" in text
    assert 'id="claims"' not in text and 'id="rl"' not in text and 'id="mixtures"' in text
    entry = report_json(folder)["runs"][0]
    assert entry["init"] == "base" and entry["rl"] is None and entry["start"]["sampled"] >= 0


def test_no_run_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run folder: it has no experiment\.json"):
        write_report(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), problems=4, steps=8)
    (file,) = folder.glob("stages/eval.rl-long.s0-*/samples.jsonl")
    file.write_text(file.read_text() + "{not json\n")
    with pytest.raises(ValueError, match=r"samples\.jsonl:21: not valid JSON"):
        collect(folder)


def test_disagreement_and_ungraded_answers_are_noted(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), problems=8, steps=8)
    (file,) = folder.glob("stages/eval.base.s0-*/samples.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for row in lines:
        row["correct"] = None if row["id"] == "p3" else True
    file.write_text("".join(json.dumps(row) + "\n" for row in lines))
    notes = " ".join(collect(folder).notes)
    assert re.search(r"results\.json says \d+\.\d% greedy accuracy on heldout, its samples say 100\.0%", notes)
    assert "4 of 32 sampled answers on heldout could not be graded" in notes


def test_a_plan_cannot_point_outside_the_run(three: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), problems=4, steps=8)
    plan = json.loads((folder / "plan.json").read_text())
    for entry in plan:
        entry["folder"] = "../../" + entry["folder"]
    (folder / "plan.json").write_text(json.dumps(plan))
    assert {stage.folder.parent for stage in collect(folder).stages} == {folder / "stages"}


# ---- charts


def test_a_model_looks_the_same_in_every_chart(measured: Measured) -> None:
    run, table = measured
    styles = models(run)
    assert [m["name"] for m in styles] == ["base", "stable", "short", "long", "hybrid"]
    for theme in ("light", "dark"):
        assert len({m[theme] for m in styles}) == len(styles)
    assert len({(m["dash"], m["symbol"]) for m in styles}) == len(styles)
    assert {s["model"] for s in charts(run, table)["rl-reward"]["series"]} == set(range(5))


def test_branches_start_where_they_fork(measured: Measured) -> None:
    run, table = measured
    loss = charts(run, table)["mid-loss"]
    base = run.experiment.stage("base")
    fork = (
        base.steps * base.tokens_per_step + 64 * base.tokens_per_step
    )  # stable follows base; the branches leave at step 64
    assert [m["x"] for m in loss["marks"]] == [base.steps * base.tokens_per_step, fork]
    first = {s["model"]: s["x"][0] for s in loss["series"]}
    assert first[0] == base.tokens_per_step
    assert first[2] == first[3] == first[4] == fork + base.tokens_per_step


def test_long_lines_are_binned_and_gaps_left_out() -> None:
    from octothinker.report.figures import _series

    (line,) = _series(0, 0, [(float(i), float(i % 2)) for i in range(4 * POINTS)])
    assert len(line["x"]) == POINTS and set(line["y"]) == {0.5}
    (line,) = _series(0, 0, [(0.0, 1.0), (1.0, None), (2.0, 3.0)])
    assert line["x"] == [0.0, 2.0]
    assert _series(0, 0, [(0.0, None)]) == []


# ---- transcripts and hostile text


def test_transcripts_are_chosen_by_id_alone(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), steps=8)
    before = collect(folder).evals["base", 0].shown
    (file,) = folder.glob("stages/eval.base.s0-*/samples.jsonl")
    flipped = [json.loads(line) for line in file.read_text().splitlines()]
    for row in flipped:
        row["correct"], row["response"] = not row["correct"], "another"
    file.write_text("".join(json.dumps(row) + "\n" for row in reversed(flipped)))
    after = collect(folder).evals["base", 0].shown
    assert list(before) == list(after) and len(before) == TRANSCRIPTS
    levels = [row["level"] for row in before.values()]
    assert {levels.count(level) for level in levels} == {TRANSCRIPTS // 4}
    assert all(row["mode"] == "sampled" and row["sample"] == 0 for row in after.values())


class Tags(HTMLParser):
    """Elements of a page, with the attributes that load or run something."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.active: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.active += [(tag, k, v) for k, v in attrs if k.startswith("on") or k in ("src", "href", "srcset", "action")]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), problems=8, steps=8)  # 8 problems: all are shown, the hostile too
    text = write_report(folder).read_text()
    assert "&lt;/script&gt;&lt;img src=x onerror=" in text
    assert HOSTILE[:30] not in text
    tags = Tags()
    tags.feed(text)
    assert "img" not in tags.names
    assert tags.names.count("script") == 3  # the data, plotly.js, and ours
    assert tags.active == [("link", "href", "data:,")]


def test_hostile_names_stay_text_too(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), problems=4, steps=8)
    bad = "</script><img src=x>"
    for name in ("experiment.json", "plan.json"):
        file = folder / name
        file.write_text(file.read_text().replace('"hybrid"', json.dumps(bad)))
    text = write_report(folder).read_text()
    assert "\\u003c/script\\u003e\\u003cimg" in text  # in the charts' JSON
    tags = Tags()
    tags.feed(text)
    assert "img" not in tags.names and tags.names.count("script") == 3


def test_very_long_answers_are_cut_in_the_middle(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), problems=4, steps=8)
    (file,) = folder.glob("stages/eval.base.s0-*/samples.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for row in lines:
        row["response"] = "beginning" + "x" * 10_000 + "end"
    file.write_text("".join(json.dumps(row) + "\n" for row in lines))
    text = write_report(folder).read_text()
    assert "beginning" in text and "xend" in text and "6,012 characters left out" in text


def test_writing_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seeds=(0,), problems=4, steps=8)
    (folder / "report.html").write_text("old")
    assert write_report(folder) == folder / "report.html"
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert not list(folder.glob("*.tmp"))
