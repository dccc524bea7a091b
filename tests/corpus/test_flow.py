"""A step over shards: what it keeps, how it fails, how it goes on, and on which engine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from octothinker.corpus.config import Engine
from octothinker.corpus.flow import DroppedTooMuch, score_band, sift
from octothinker.corpus.ledger import LedgerError
from octothinker.typed import ConfigError
from tests.corpus.judges import Failing, Odd
from tests.corpus.shards_here import read_all, write_documents

ROWS: list[dict[str, Any]] = [
    {"id": str(i), "text": f"text {i}", "metadata": {"source": "s", "year": str(2000 + i % 2)}} for i in range(12)
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_documents(tmp_path / "in", ROWS, shards=3)


def step(judge: Any, source: Path, out: Path, limit: float = 0.9, **engine: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    return sift(judge, source, out, Engine(**engine), limit)


@pytest.mark.parametrize("workers", [1, 2])
def test_keeps_drops_and_counts(source: Path, tmp_path: Path, workers: int) -> None:
    result = step(Odd(), source, tmp_path / "out", workers=workers)
    assert result == {"documents": 6, "characters": 37, "of_documents": 12, "dropped": {"odd": 6}}
    kept = read_all(tmp_path / "out")
    assert [row["id"] for row in kept] == ["0", "2", "4", "6", "8", "10"]
    assert kept[1]["text"] == "TEXT 2"
    ledger = json.loads((tmp_path / "out/ledger.json").read_text())
    assert ledger["counts"] == {"source": {"s": 6}, "year": {"2000": 6}}
    assert ledger["samples"]["odd"][0]["metadata"] == {"source": "s", "year": "2001"}


def test_a_step_that_drops_too_much_stops_with_the_reasons_and_goes_on_with_another_limit(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DroppedTooMuch, match=r"50\.0% of 12 documents were dropped \(drop_limit=0.3\): odd 6; samples"):
        step(Odd(), source, tmp_path / "out", limit=0.3)
    assert step(Odd(), source, tmp_path / "out", limit=0.6)["documents"] == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_document_fails_the_step_and_the_rest_is_not_done_again(
    source: Path, tmp_path: Path, workers: int
) -> None:
    armed = tmp_path / "armed"
    armed.touch()
    with pytest.raises(RuntimeError, match="the sky fell on 9"):
        step(Failing("9", armed), source, tmp_path / "out", workers=workers)
    assert not (tmp_path / "out/ledger.json").exists()
    done = sorted(p.name for p in (tmp_path / "out/logs/completions").iterdir())
    assert "00002" not in done and "00000" in done
    before = (tmp_path / "out/00000.jsonl.zst").stat().st_mtime_ns
    armed.unlink()
    assert step(Failing("9", armed), source, tmp_path / "out")["documents"] == 12
    assert (tmp_path / "out/00000.jsonl.zst").stat().st_mtime_ns == before


def test_a_worker_that_is_killed_is_an_error_not_a_wait_for_ever(source: Path, tmp_path: Path) -> None:
    armed = tmp_path / "armed"
    armed.touch()
    with pytest.raises(Exception, match="terminated abruptly"):
        step(Failing("9", armed, "die"), source, tmp_path / "out", workers=2)


def test_documents_lost_between_two_steps_are_noticed(source: Path, tmp_path: Path) -> None:
    step(Odd(), source, tmp_path / "a")
    shard = tmp_path / "a/00001.jsonl.zst"
    write_documents(tmp_path / "fewer", ROWS[:1], shards=1)
    shard.write_bytes((tmp_path / "fewer/00000.jsonl.zst").read_bytes())
    with pytest.raises(LedgerError, match="a wrote .*6.*, but .*5.* came in"):
        step(Failing("x", tmp_path / "no"), tmp_path / "a", tmp_path / "b")


def test_a_torn_shard_and_a_row_without_text_are_errors_that_name_the_place(source: Path, tmp_path: Path) -> None:
    shard = source / "00001.jsonl.zst"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) - 8])
    with pytest.raises(ConfigError, match=r"00001.jsonl.zst: cannot be read after line"):
        step(Odd(), source, tmp_path / "torn")
    shard.unlink()
    write_documents(source, [{"id": "1"}], shards=1)
    with pytest.raises(ConfigError, match=r"00000.jsonl.zst: line 1: a document has a `text` and an `id`"):
        step(Odd(), source, tmp_path / "textless")
    with pytest.raises(ConfigError, match="no documents there"):
        step(Odd(), tmp_path / "nowhere", tmp_path / "none")


def test_score_bands() -> None:
    assert [score_band(x) for x in (4, 3.0, 0.05, 0.75, 1.0)] == ["4", "3", "0.0-0.1", "0.7-0.8", "0.9-1.0"]


# ---- clusters --------------------------------------------------------------------------------------------------------

SLURM = {
    "sbatch": r"""#!/bin/bash
# a scheduler that runs the array at once; the script's text and the arguments are kept
script="${@: -1}"
echo "$@" >> "$STUB/calls"
n=$(ls "$STUB" | grep -c '^script')
cp "$script" "$STUB/script-$n"
if ! grep -q merge_stats "$script"; then
  for i in $(seq 0 $(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$script")); do
    SLURM_ARRAY_TASK_ID=$i SLURM_NODELIST=here RUN_OFFSET=0 bash "$script" > "$STUB/out-$i" 2>&1
  done
fi
echo "Submitted batch job 77"
""",
    "squeue": "#!/bin/bash\n",
    "scontrol": "#!/bin/bash\necho here\n",
    "srun": '#!/bin/bash\nwhile [[ "$1" == -* ]]; do [[ "$1" == -n ]] && shift; shift; done\nexec "$@"\n',
}


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stub = tmp_path / "stub"
    stub.mkdir()
    for name, text in SLURM.items():
        (stub / name).write_text(text)
        (stub / name).chmod(0o755)
    monkeypatch.setenv("STUB", str(stub))
    monkeypatch.setenv("PATH", f"{stub}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("octothinker.corpus.flow.SLURM_POLL_SECONDS", 0.01)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return stub


@pytest.mark.slow
def test_slurm_gives_the_same_corpus(source: Path, tmp_path: Path, scheduler: Path) -> None:
    here = step(Odd(), source, tmp_path / "here")
    setting = {"executor": "slurm", "partition": "cpu", "time": "01:00:00", "workers": 2, "memory_gb": 3}
    there = step(Odd(), source, tmp_path / "there", **setting)
    assert here == there
    for name in ("00000.jsonl.zst", "00001.jsonl.zst", "00002.jsonl.zst", "ledger.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    script = (scheduler / "script-0").read_text()
    for line in ("partition=cpu", "time=01:00:00", "array=0-2%2", "mem-per-cpu=3G", "job-name=there"):
        assert f"#SBATCH --{line}\n" in script
    assert "launch_pickled_pipeline" in script and str(Path(sys.executable).parent) in script


def test_slurm_wants_a_partition_and_a_login_node(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="engine.partition"):
        step(Odd(), source, tmp_path / "a", executor="slurm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="sbatch is not here"):
        step(Odd(), source, tmp_path / "b", executor="slurm", partition="cpu")


@pytest.mark.slow
def test_ray_with_two_workers_gives_the_same_corpus(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    here = step(Odd(), source, tmp_path / "here")
    there = step(Odd(), source, tmp_path / "there", executor="ray", workers=2, memory_gb=1)
    assert here == there
    assert read_all(tmp_path / "here") == read_all(tmp_path / "there")
    assert (tmp_path / "here/ledger.json").read_bytes() == (tmp_path / "there/ledger.json").read_bytes()
