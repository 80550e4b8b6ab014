"""Killed at random points, an index comes out of a resumed run as out of one that was never interrupted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = {"ingest": 7, "update": 8, "reindex": 7}
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks one prepared process for each run")
def test_a_killed_run_resumes_to_the_same_index(tmp_path: Path) -> None:
    """At least 20 kills: during a first ingest, an update (changed, renamed, removed, new files) and a reindexing."""
    seed = int(os.environ.get("VIPYLO_CRASH_SEED", "4"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.vipylo_rag.crash", str(tmp_path), str(seed), json.dumps(TRIALS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    scenarios = json.loads(done.stdout.splitlines()[-1])["scenarios"]
    failures = [failure for outcome in scenarios.values() for failure in outcome["failures"]]
    assert not failures, "\n".join(failures)
    assert {name: len(outcome["kills"]) for name, outcome in scenarios.items()} == TRIALS
    assert all(outcome["steps"] > 20 for outcome in scenarios.values()), scenarios
