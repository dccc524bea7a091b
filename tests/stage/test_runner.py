"""Many stages: what runs, in which order, and what is left when one fails or the user stops."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from octothinker.order import makespan, priorities, select, width
from octothinker.runner import Outcome, Watcher, last_lines, run
from octothinker.stage import Stage, locked
from octothinker.typed import ConfigError
from tests.ranks import two_ranks


def stage(name: str, *parents: Stage, **settings: Any) -> Stage:
    from fakes import Work

    inputs: Any = {f"in{i}": parent for i, parent in enumerate(parents)}
    return Stage(name=name, kind=name.split(".")[0], fn="fakes:work", config=Work(**settings), inputs=inputs)


def value(one: Stage, out: Path) -> int:
    return int(json.loads((one.folder(out) / "manifest.json").read_text())["result"]["value"])


def go(stages: list[Stage], out: Path, jobs: int = 2) -> Outcome:
    return run(stages, out, jobs, 1, {}, Watcher())


# ---- order ------------------------------------------------------------------------------------------------------------


def diamond() -> list[Stage]:
    a = stage("midtrain.base.s0", value=1)
    b, c = stage("rl.base.s0", a, value=2), stage("midtrain.long.s0", a, value=3)
    return [a, b, c, stage("rl.long.s0", c, value=4)]


COSTS = {"midtrain.base.s0": 5.0, "rl.base.s0": 6.0, "midtrain.long.s0": 3.0, "rl.long.s0": 4.0}


def test_the_longest_chain_goes_first() -> None:
    assert priorities(diamond(), COSTS) == {
        "rl.long.s0": 4.0,
        "midtrain.long.s0": 7.0,
        "rl.base.s0": 6.0,
        "midtrain.base.s0": 12.0,
    }


def test_makespan_by_hand() -> None:
    assert makespan(diamond(), COSTS, jobs=1) == 18.0
    assert makespan(diamond(), COSTS, jobs=2) == 12.0  # base 5, then long 3 + 4 beside rl.base 6
    assert makespan(diamond()[1:], COSTS, jobs=2) == 7.0  # base is there already
    assert width(diamond()) == 2


def test_only_brings_what_a_stage_needs_and_nothing_else() -> None:
    stages = diamond()
    assert [s.name for s in select(stages, ["rl.long"])] == ["midtrain.base.s0", "midtrain.long.s0", "rl.long.s0"]
    assert select(stages, []) == stages
    assert [s.name for s in select(stages, ["midtrain"])] == ["midtrain.base.s0", "midtrain.long.s0"]
    with pytest.raises(ConfigError, match=r"rl\.lnog.*did you mean 'rl\.long"):
        select(stages, ["rl.lnog"])


# ---- running ----------------------------------------------------------------------------------------------------------


def test_runs_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stages = diamond()
    for one in stages:
        object.__setattr__(one.config, "where", str(log))
    assert go(stages, tmp_path).code == 0
    assert [value(s, tmp_path) for s in stages] == [1, 3, 4, 8]
    first = log.read_text()
    assert len(first.splitlines()) == 4
    assert go(stages, tmp_path).code == 0
    assert log.read_text() == first
    assert all(line.split()[1] == "1" for line in first.splitlines()), "each stage has the threads it was given"


def test_ready_stages_run_side_by_side_but_no_more_than_jobs(tmp_path: Path) -> None:
    class Count(Watcher):
        now = most = 0

        def started(self, stage: Stage, tmp: Path) -> None:
            self.now += 1
            self.most = max(self.most, self.now)

        def finished(self, stage: Stage, seconds: float, error: str | None) -> None:
            self.now -= 1

    stages = [stage(f"x.{i}", value=i, seconds=0.3) for i in range(3)]
    count = Count()
    assert run(stages, tmp_path, 2, 1, {}, count).code == 0
    assert count.most == 2


def test_a_failure_lets_others_finish_and_says_what_it_was(tmp_path: Path) -> None:
    bad = stage("midtrain.bad", action="raise")
    killed = stage("midtrain.killed", action="die")
    good, after = stage("midtrain.good", value=1, seconds=0.5), stage("rl.bad", bad)
    outcome = go([bad, killed, good, after], tmp_path, jobs=3)
    assert outcome.code == 1
    assert outcome.failed["midtrain.bad"] == "RuntimeError: the sky fell"
    assert outcome.failed["midtrain.killed"] == "killed by SIGKILL (out of memory?)"
    assert outcome.blocked == ["rl.bad"]
    assert value(good, tmp_path) == 1
    log = last_lines(outcome.logs["midtrain.bad"])
    assert "working on midtrain.bad" in log
    assert "RuntimeError: the sky fell" in log
    assert (killed.tmp(tmp_path) / "error.txt").read_text().startswith("killed by SIGKILL")


def test_what_was_mended_runs_again_and_the_error_goes(tmp_path: Path) -> None:
    half = stage("midtrain.half", action="resume", value=6)
    assert go([half], tmp_path).code == 1
    assert go([half], tmp_path).code == 0
    assert value(half, tmp_path) == 6
    assert not (half.folder(tmp_path) / "error.txt").exists()


def test_a_stage_that_runs_elsewhere_is_left_to_its_process(tmp_path: Path) -> None:
    one = stage("midtrain.x")
    one.prepare(tmp_path)
    with locked(one.tmp(tmp_path)):
        outcome = go([one], tmp_path)
    assert outcome.code == 1
    assert "another process runs this stage" in outcome.failed["midtrain.x"]
    assert not (one.tmp(tmp_path) / "error.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_stages_and_their_helpers(tmp_path: Path, number: int) -> None:
    from fakes import alive, wait_until

    script = """
        import sys
        from pathlib import Path
        from fakes import Work
        from octothinker.runner import Watcher, run
        from octothinker.stage import Stage, locked
        one = Stage(name="midtrain.long", kind="midtrain", fn="fakes:work", config=Work(action="sleep"))
        raise SystemExit(run([one], Path(sys.argv[1]), 1, 1, {}, Watcher()).code)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)])
    wait_until(lambda: list(tmp_path.glob("stages/*.tmp/pids.txt")) != [])
    (file,) = tmp_path.glob("stages/*.tmp/pids.txt")
    wait_until(lambda: len(file.read_text().split()) == 2)
    pids = [int(pid) for pid in file.read_text().split()]
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    wait_until(lambda: not any(alive(pid) for pid in pids))
    assert not list(tmp_path.glob("stages/*.tmp/error.txt")), "to be stopped is no failure"


@pytest.mark.slow
def test_under_torchrun_training_runs_on_all_ranks_and_the_rest_on_one(tmp_path: Path) -> None:
    script = tmp_path / "go.py"
    log = tmp_path / "log"
    script.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from fakes import Work
        from octothinker.runner import Watcher, run_distributed
        from octothinker.stage import Stage, locked
        where = {str(log)!r}
        data = Stage(name="shards.x", kind="shards", fn="fakes:work", config=Work(value=1, where=where))
        train = Stage(name="midtrain.x", kind="midtrain", fn="fakes:work", config=Work(value=2, where=where),
                      inputs={{"in": data}})
        assert run_distributed([data, train], Path({str(tmp_path)!r}), Watcher()).code == 0
        assert run_distributed([data, train], Path({str(tmp_path)!r}), Watcher()).code == 0
        """)
    )
    two_ranks(script)
    ran = [line.split()[0] for line in log.read_text().splitlines()]
    assert sorted(ran) == ["midtrain.x", "midtrain.x", "shards.x"]
    assert len(list(tmp_path.glob("stages/*/manifest.json"))) == 2
