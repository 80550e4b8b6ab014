"""Fixtures shared by all packages' tests."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint directory."""
    from tests.tiny_qwen import write_tiny_checkpoint

    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture
def install_plugin(tmp_path: Path) -> Callable[[str, str, dict[str, dict[str, str]]], Path]:
    """Makes a third-party package (one module, some entry points), installs it with pip into a folder of its own."""

    def install(name: str, code: str, entry_points: dict[str, dict[str, str]]) -> Path:
        wheel = tmp_path / f"{name}-1.0-py3-none-any.whl"
        groups = "\n".join(
            f"[{group}]\n" + "\n".join(f"{key} = {value}" for key, value in points.items())
            for group, points in entry_points.items()
        )
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{name}.py", code)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/entry_points.txt", groups + "\n")
            archive.writestr(f"{info}/RECORD", "")
        site = tmp_path / f"site-{name}"
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-index",
            "--no-deps",
            "--target",
            str(site),
            wheel,
        ]
        subprocess.run(command, check=True, capture_output=True)
        return site

    return install
