"""The floors of the house: imports only go down, and heavy imports stay out of quick commands."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_imports_only_go_down() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Contracts: 1 kept, 0 broken" in done.stdout


def test_faces_import_nothing_heavy() -> None:
    code = (
        "import sys, vipylo_rag, embedder, connectors, trainer, vipylo_rag.cli, connectors.loaders.registry;"
        "print([m for m in ('torch', 'transformers', 'llama_index', 'pymupdf', 'qdrant_client') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
