"""`vipylo serve`: the index over HTTP, with a web page."""

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedder.errors import InputError
from vipylo_rag.cli.options import (
    DEFAULT_INDEX,
    DeviceOption,
    EmbedderOption,
    IndexOption,
    TenantOption,
    asked_embedder,
    open_index,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from llama_index.core.llms import LLM

    from vipylo_rag.server.keys import Keys

_NEEDED = ("fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client")
_MIB = 2**20


def serve(
    index: IndexOption = DEFAULT_INDEX,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; what others can reach needs keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0: any free one.")] = 8765,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="YAML file, a line `tenant: key` for each. (env: VIPYLO_SERVER_KEY)")
    ] = None,
    tenant: TenantOption = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="No uploads, and nothing is deleted.")] = False,
    graph: Annotated[
        bool,
        typer.Option("--graph", help="Build the page graph too, for mode graph; without it, who uses the server may."),
    ] = False,
    llm: Annotated[
        str | None,
        typer.Option("--llm", help="What answers: URL of an OpenAI-style server, or a directory. (env: VIPYLO_LLM)"),
    ] = None,
    llm_model: Annotated[
        str | None, typer.Option("--llm-model", help="The model's name there. (env: VIPYLO_LLM_MODEL)")
    ] = None,
    upload_mb: Annotated[int, typer.Option("--upload-mb", min=1, help="Of one upload, in MiB.")] = 200,
    file_mb: Annotated[int, typer.Option("--file-mb", min=1, help="Of one uploaded file, in MiB.")] = 100,
    upload_pages: Annotated[int, typer.Option("--upload-pages", min=1, help="Of one uploaded file.")] = 2000,
    image_mb: Annotated[int, typer.Option("--image-mb", min=1, help="Of one picture of a query, in MiB.")] = 20,
    waiting: Annotated[int, typer.Option("--waiting", min=1, help="Requests that may wait; more get 429.")] = 512,
    embedder: EmbedderOption = None,
    device: DeviceOption = None,
) -> None:
    """Serve the index over HTTP with a web page: search, answers, pages, uploads, embeddings.

    A page graph that is there, or is built here, follows uploads and deletions while the server runs.
    """
    if graph and read_only:
        raise InputError("--graph builds a page graph and --read-only changes nothing: give one of them")
    _check_installed()
    from vipylo_rag.server.options import ServerOptions
    from vipylo_rag.server.run import listen, run
    from vipylo_rag.server.security import check_reachable

    options = ServerOptions(
        host=host,
        port=port,
        writable=not read_only,
        tenant=tenant,
        graphs=graph,
        upload_bytes=upload_mb * _MIB,
        file_bytes=min(file_mb, upload_mb) * _MIB,
        upload_pages=upload_pages,
        image_bytes=image_mb * _MIB,
        waiting=waiting,
    )
    known = _keys(keys, tenant)
    check_reachable(options, known)  # before what takes seconds
    with listen(options) as listening, open_index(index, asked_embedder(embedder), device) as opened:
        from vipylo_rag.server.app import create_app

        _ = opened.embedder  # a model that cannot be loaded is told in one line here
        app = create_app(opened, options, known, llm=_llm(llm, llm_model, device))
        served = known.tenants or (tenant,)
        pages = {one: opened.ledger.counts(one)["pages done"] for one in served}
        if known:
            _warn_of_none([one for one in served if not pages[one]], read_only)
        banner = _banner(listening, index, sum(pages.values()))
        run(app, listening, options, lambda: print(banner, flush=True))
    print("stopped", file=sys.stderr)


def _banner(listening: "socket.socket", index: str, pages: int) -> str:
    from vipylo_rag.server.run import url_of

    host, port = listening.getsockname()[:2]
    reach = ""
    if host in ("0.0.0.0", "::"):
        reach = f", also to other machines: listening on all addresses, port {port}"
    return f"{url_of(listening)} serves {index} ({pages} pages){reach}; Ctrl-C stops it"


def _warn_of_none(tenants: "Sequence[str]", read_only: bool) -> None:
    """Say that keys show nothing: most often the documents were ingested without their tenant."""
    if not tenants:
        return
    names = ", ".join(tenant or "the tenant without a name" for tenant in tenants[:10])
    shown = f"{names}, …" if len(tenants) > 10 else names
    command = f"vipylo ingest --tenant {shlex.quote(tenants[0])}" if tenants[0] else "vipylo ingest"
    ways = (
        f"stop and run `{command}`" + (" and so on" if len(tenants) > 1 else "") + ("" if read_only else ", or upload")
    )
    print(f"warning: no pages for {shown}: {ways}", file=sys.stderr)


def _check_installed() -> None:
    from embedder.errors import PluginError

    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise PluginError(f"vipylo serve needs {', '.join(missing)}: pip install 'vipylo-rag[server]'")


def _keys(file: Path | None, tenant: str) -> "Keys":
    """Those of the file; without one, the key of the environment."""
    from vipylo_rag.server.keys import Keys
    from vipylo_rag.settings import Settings
    from vipylo_rag.tenants import check_tenant

    check_tenant(tenant)
    if file is not None:
        return Keys.read(file)
    key = Settings().server_key
    return Keys.of({tenant: key}) if key else Keys()


def _llm(spec: str | None, model: str | None, device: str | None) -> "LLM | None":
    from vipylo_rag.llm import load_llm
    from vipylo_rag.settings import Settings

    settings = Settings()
    asked = spec or settings.llm
    if asked is None:
        return None
    return load_llm(asked, model or settings.llm_model, settings.llm_key, device=device or settings.device)
