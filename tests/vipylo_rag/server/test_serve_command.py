"""`vipylo serve` as it is run: what it prints, how it ends, and what it refuses in one line."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedder.errors import PluginError
from vipylo_rag import MultimodalIndex
from vipylo_rag.cli import main
from vipylo_rag.cli.serve import serve

VIPYLO = [sys.executable, "-c", "from vipylo_rag.cli import main; main()"]
KEY = "a-key-of-24-characters-.."


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and the line that it says when it is up."""
    process = subprocess.Popen(
        [*VIPYLO, "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("http://"), (said, process.communicate()[1])
        yield process, said.strip()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which must say one line and end with exit code 2; gives the line."""

    def run(*options: str, **environment: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vipylo", "serve", "--port", "0", *options])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (2, "")
        assert len(said.err.splitlines()) == 1, said.err
        return said.err

    return run


@pytest.fixture
def copy(filled_directory: Path, tmp_path: Path) -> Path:
    """An index that a server of the test's own may hold."""
    return Path(shutil.copytree(filled_directory, tmp_path / "index"))


@pytest.mark.slow
def test_it_serves_and_ends_when_asked_to(copy: Path, tiny_embedder: Any, refused: Callable[..., str]) -> None:
    with serving("--index", str(copy)) as (process, said):
        url = said.split()[0]
        pages = httpx.get(f"{url}/api/info", timeout=60).json()["pages"]
        assert pages > 0 and said == f"{url} serves {copy} ({pages} pages); Ctrl-C stops it"
        assert "if `vipylo serve` has it, use its page or HTTP" in refused("--index", str(copy))
        port = url.rpartition(":")[2]
        assert f"127.0.0.1:{port} is in use: choose another with --port" in refused(
            "--index", str(copy), "--port", port
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "stopped\n"
    with MultimodalIndex.open(copy, embedder=tiny_embedder, create=False) as index:
        assert index.pages()


@pytest.mark.slow
def test_with_keys_it_serves_others_and_ends_orderly_when_it_is_terminated(copy: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f'"": {KEY}\nsales: {KEY}-of-sales\n')
    keys.chmod(0o600)
    with serving("--index", str(copy), "--host", "0.0.0.0", "--keys", str(keys), "--read-only") as (process, said):
        url = said.split()[0]
        assert httpx.get(f"{url}/api/info", timeout=60).status_code == 401
        info = httpx.get(f"{url}/api/info", headers={"Authorization": f"Bearer {KEY}"}, timeout=60).json()
        assert info["pages"] > 0 and not info["writable"]
        port = url.rpartition(":")[2]
        assert f"({info['pages']} pages), also to other machines: listening on all addresses, port {port};" in said
        # A caller that sends nothing and one that never reads hold up no end.
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - begun < 20
        assert process.stderr is not None
        warning = "warning: no pages for sales: stop and run `vipylo ingest --tenant sales`"
        assert process.stderr.read().splitlines() == [warning, "stopped"]


def test_where_others_reach_it_a_key_is_needed(copy: Path, refused: Callable[..., str]) -> None:
    assert "give keys (--keys FILE, or VIPYLO_SERVER_KEY)" in refused("--index", str(copy), "--host", "0.0.0.0")


@pytest.mark.parametrize(
    ("options", "environment", "says"),
    [
        (["--host", "0.0.0.0"], {"VIPYLO_SERVER_KEY": "short"}, "has 5 characters"),
        (["--keys", "no-such-file.yaml"], {}, "no-such-file.yaml: cannot be read"),
        (["--host", "no.such.host.invalid", "--keys", "KEYS"], {}, "cannot be had"),
        (["--index", "nowhere"], {}, "there is no index at"),
        (["--tenant", " x"], {}, "space at either end"),
        (["--graph", "--read-only"], {}, "give one of them"),
    ],
)
def test_what_cannot_be_served(
    copy: Path,
    tmp_path: Path,
    refused: Callable[..., str],
    options: list[str],
    environment: dict[str, str],
    says: str,
) -> None:
    (tmp_path / "keys.yaml").write_text(f"blue: {KEY}")
    (tmp_path / "keys.yaml").chmod(0o600)
    shown = [str(tmp_path / "keys.yaml") if option == "KEYS" else option for option in options]
    assert says in refused("--index", str(copy), *shown, **environment)


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["vipylo_rag.cli.serve"]  # the package's name `serve` is the command
    monkeypatch.setattr(module, "_NEEDED", ("fastapi", "a_package_that_is_not_there"))
    with pytest.raises(PluginError, match=r"needs a_package_that_is_not_there: pip install 'vipylo-rag\[server\]'"):
        serve()
