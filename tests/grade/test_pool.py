"""The grader as a whole: who decides, what is counted, and that a worker can hang, die or lie down without harm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from octothinker.grade import pool, worker
from octothinker.grade.pool import Grader, usable_gold
from octothinker.grade.verdict import Item, Verdict

STUB = str(Path(__file__).with_name("stub_worker.py"))


def box(answer: str, gold: str, truncated: bool = False) -> Item:
    return Item(f"so \\boxed{{{answer}}}", gold, truncated=truncated)


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(timeout=20.0) as g:
        yield g


def test_kinds(grader: Grader) -> None:
    items = [
        box("7", "7"),
        box("8", "7"),
        Item("no box: 7", "7"),
        Item("7 and so on", "7", truncated=True),
        box("7", "7", truncated=True),
        Item("\\boxed{7", "7", truncated=True),
        Item("\\boxed{}", "7"),
        box("7", " "),
        box("7", "{"),
    ]
    assert [(v.correct, v.kind, v.extracted) for v in grader.grade(items)] == [
        (True, "equal", "7"),
        (False, "different", "8"),
        (False, "no_answer", None),
        (False, "truncated", None),
        (True, "equal", "7"),  # cut off after its box was closed
        (False, "truncated", None),
        (False, "no_answer", None),
        (None, "bad_gold", None),
        (None, "bad_gold", None),
    ]


def test_the_slow_path_is_math_verify(grader: Grader) -> None:
    """Truths and untruths that only algebra beyond the exact path can tell apart."""
    pairs = [
        ("\\tan^2 y+1", "\\sec^2 y", True),
        ("\\tan^2 y+1", "\\sec^2 y+1", False),
        ("2 \\sin b \\cos a", "2\\cos a \\sin b", True),
        ("\\sqrt{x+1}", "\\sqrt{1+x}", True),
        ("3^x-2^x", "2^x-3^x", False),
        ("\\sqrt{2}", "1.414214", True),
        ("\\sqrt{2}", "1.414215", False),
    ]
    verdicts = grader.grade([box(answer, gold) for gold, answer, _ in pairs])
    assert [v.how for v in verdicts] == ["slow"] * len(pairs)
    assert [v.correct for v in verdicts] == [right for *_, right in pairs]


def test_guards_answer_for_the_slow_path(grader: Grader) -> None:
    (verdict,) = grader.grade([box("\\sin x_2", "\\cos x_1")])
    assert verdict == Verdict(False, "different", "\\sin x_2", "guard")


def test_counts_tell_who_decided() -> None:
    with stub("mixed") as g:
        g.grade(
            [
                box("7", "7"),
                box("\\yes", "\\sin x"),
                box("\\sum k", "\\sin x"),
                Item("7", "7"),
                box("7", ""),
                box("\\die", "\\sin x"),
            ]
        )
        assert dict(g.counts) == {
            "graded": 4, "no_box": 1, "fast": 1, "slow": 1, "slow_true": 1, "guard": 1, "rule": 1, "bad_gold": 1, "timeout": 1,
        }  # fmt: skip


def stub(mode: str, timeout: float = 30.0, workers: int = 1) -> Grader:
    return Grader(timeout, workers, command=[sys.executable, STUB, mode])


@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_that_hangs_dies_or_runs_out_of_memory_costs_one_verdict(workers: int) -> None:
    with stub("mixed", timeout=0.5, workers=workers) as g:
        answers = ["\\yes 1", "\\hang", "\\yes 2", "\\die", "\\no 3", "\\memory", "\\yes 4"]
        verdicts = g.grade([box(answer, "\\sin x") for answer in answers])
        assert [v.correct for v in verdicts] == [True, None, True, None, False, None, True]
        assert [v.kind for v in verdicts if v.correct is None] == ["timeout"] * 3


def test_a_worker_that_died_between_calls_is_replaced_without_a_trace() -> None:
    with stub("leaves") as g:
        for i in range(4):
            assert [v.correct for v in g.grade([box(f"\\yes {i}", "\\sin x")])] == [True]


def test_equal_pairs_are_asked_once_and_timeouts_again() -> None:
    with stub("mixed") as g:
        g.grade([box("\\yes", "\\sin x")] * 5)
        g.grade([box("\\yes", "\\sin x"), box("\\no", "\\sin x")])
        assert g.calls == 2
        g.grade([box("\\die", "\\sin x")])
        g.grade([box("\\die", "\\sin x")])
        assert g.calls == 6, "a worker's death costs a second try"


def test_an_interrupted_call_does_not_leave_its_answer_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with stub("mixed") as g:
        g.grade([box("\\no 1", "\\sin x")])
        read = pool.Worker._read
        monkeypatch.setattr(pool.Worker, "_read", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            g.grade([box("\\no 2", "\\sin x")])
        monkeypatch.setattr(pool.Worker, "_read", read)
        assert [v.correct for v in g.grade([box("\\yes 3", "\\sin x")])] == [True]


@pytest.mark.parametrize(
    ("mode", "said"), [("broken", "antlr4-python3-runtime 4.7"), ("silent", "ended without a word")]
)
def test_a_worker_that_is_not_fit_for_use_stops_the_run(mode: str, said: str) -> None:
    with stub(mode) as g, pytest.raises(RuntimeError, match=said):
        g.grade([box("\\yes", "\\sin x")])


def test_an_unknown_antlr_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a runtime that has no parser math-verify would only ever compare strings."""
    monkeypatch.setattr(worker, "version", lambda name: "4.7.2")
    with pytest.raises(RuntimeError, match=r"4\.7\.2"):
        worker.load()


def test_integers_never_start_a_process_and_closing_leaves_none() -> None:
    with stub("mixed") as g:
        g.grade([box(str(i), "7") for i in range(50)] + [box("2+5", "7")])
        assert g.pids == []
        g.grade([box("\\yes", "\\sin x")])
        (pid,) = g.pids
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_script_without_a_main_guard_can_grade(tmp_path: Path) -> None:
    """multiprocessing's spawn would run the script again, for ever."""
    script = tmp_path / "script.py"
    script.write_text(
        "from octothinker.grade.pool import Grader, Item\n"
        "with Grader(timeout=60.0) as g:\n"
        "    print([v.correct for v in g.grade([Item('\\\\boxed{\\\\sec^2 x}', '1+\\\\tan^2 x')])])\n"
    )
    (tmp_path / "sympy.py").write_text("raise SystemExit('imported from the working folder')")
    environment = {**os.environ, "PYTHONPATH": str(Path(pool.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("[True]\n", 0), done.stderr


@pytest.mark.parametrize(
    ("gold", "reason"),
    [
        ("7", None),
        ("\\left\\{1\\right\\}", None),
        ("\\boxed{7}", None),
        ("$\\boxed{7}$.", None),
        ("\\boxed{7} cm", "box"),
        ("", "empty"),
        ("$ $", "empty"),
        ("{7", "braces"),
        ("x" * 2000, "characters"),
        (7, "int"),
    ],
)
def test_usable_gold(gold: str, reason: str | None) -> None:
    said = usable_gold(gold)
    assert said is None if reason is None else said is not None and reason in said
