"""`vipylo serve`: the index over HTTP, with a web page."""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    """Serve the index over HTTP with a web page: search, answers, pages, uploads, embeddings."""
    _check_installed()
    from vipylo_rag.server.options import ServerOptions
    from vipylo_rag.server.run import listen, run, url_of
    from vipylo_rag.server.security import check_reachable

    options = ServerOptions(
        host=host,
        port=port,
        writable=not read_only,
        tenant=tenant,
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
        pages = opened.ledger.counts()["pages done"]
        run(
            app,
            listening,
            options,
            lambda: print(f"{url_of(listening)} serves {index} ({pages} pages); Ctrl-C stops it", flush=True),
        )
    print("stopped", file=sys.stderr)


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
