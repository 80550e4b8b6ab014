"""Killed at random points, a graph comes out of the next build as out of one that was never interrupted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = 5
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks one prepared process for each run")
def test_a_killed_build_is_completed_by_the_next(tmp_path: Path) -> None:
    """Killed with SIGKILL during an incremental build, a delete that the graph follows, and another build."""
    seed = os.environ.get("VIPYLO_CRASH_SEED", "4")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.vipylo_rag.graph.crash", str(tmp_path), seed, str(TRIALS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert not report["failures"], "\n".join(report["failures"])
    assert report["kills"] == TRIALS and report["steps"] > 200
