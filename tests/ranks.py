"""Two gloo ranks on this machine, for the tests that need them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TRIES, SECONDS = 3, 60


def two_ranks(script: Path, *arguments: str) -> None:
    """Run `script` under torchrun; AssertionError with its output when it fails.

    On some machines gloo's ranks now and then do not find each other and wait for ever or give up (seen inside
    init_process_group, before any code of ours): such a start is killed and tried again, and after the third
    the test skips by that name.
    """
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    launch += ["--rdzv-endpoint=localhost:0", str(script), *arguments]
    for _ in range(TRIES):
        with tempfile.TemporaryFile("w+") as said:
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(launch, env=env, stdout=said, stderr=said, start_new_session=True)
            try:
                code = process.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                subprocess.run(["pkill", "-KILL", "-f", str(script)], check=False)
                process.kill()
                process.wait()
                continue
            said.seek(0)
            text = said.read()
        if not code:
            return
        if "connectFullMesh failed" not in text:
            raise AssertionError(f"exit code {code} from {script}:\n{text[-4000:]}")
    pytest.skip(f"gloo ranks did not meet in {TRIES} tries")
