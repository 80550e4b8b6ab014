"""Options that several commands share, and how a command opens its index."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from connectors.stores.options import StoreOptions
    from vipylo_rag.index import MultimodalIndex
    from vipylo_rag.ledger import Ledger
    from vipylo_rag.rerank import Rerank

IndexOption = Annotated[
    str, typer.Option("--index", "-i", help="Index directory, or http://host:6333/collection of a Qdrant server.")
]
EmbedderOption = Annotated[
    str | None,
    typer.Option("--embedder", help="starter, a checkpoint directory, a hub id, or KIND:NAME. (env: VIPYLO_EMBEDDER)"),
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="cpu, cuda, ... (env: VIPYLO_DEVICE)")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Whose documents: nobody else sees them.")]
RerankOption = Annotated[
    str | None,
    typer.Option("--rerank", help="Reorder the best hits: tokens (by what each word of the query finds on a page)."),
]
CandidatesOption = Annotated[int, typer.Option("--candidates", help="With --rerank: how many hits are reordered.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

DEFAULT_INDEX = "vipylo-index"


def open_index(
    location: str,
    embedder: str | None = None,
    device: str | None = None,
    *,
    create: bool = False,
    options: "StoreOptions | None" = None,
) -> "MultimodalIndex":
    """The index at `location`, with the embedder that was asked for, or the one that made it."""
    from vipylo_rag.index import MultimodalIndex
    from vipylo_rag.settings import Settings

    settings = Settings()
    return MultimodalIndex.open(
        location,
        embedder=embedder,
        device=device or settings.device,
        create=create,
        api_key=settings.qdrant_api_key,
        options=options,
    )


def asked_rerank(name: str | None) -> "Rerank | None":
    """The reranker that was asked for by name, if any. Raises InputError where there is none of that name."""
    if name is None:
        return None
    from vipylo_rag.rerank import load_rerank

    return load_rerank(name)


@contextmanager
def look_into(location: str, *, missing_is_empty: bool = False) -> "Iterator[Ledger]":
    """The ledger of the index at `location` alone, read-only: neither model nor store is opened, and another process
    may be writing. With `missing_is_empty`, an empty one where there is no index."""
    from vipylo_rag.errors import IndexDirectoryError
    from vipylo_rag.ledger import Ledger
    from vipylo_rag.location import locate
    from vipylo_rag.runs import read_only_ledger

    directory = locate(location).directory
    ledger = read_only_ledger(directory)
    if ledger is None and not missing_is_empty:
        raise IndexDirectoryError(f"there is no index at {directory}: make one with `vipylo ingest PATH`")
    ledger = ledger or Ledger(":memory:")
    try:
        yield ledger
    finally:
        ledger.close()


def print_json(value: Any) -> None:
    """Machine-readable output on standard output."""
    import json

    print(json.dumps(value, ensure_ascii=False, indent=2))


def asked_embedder(option: str | None) -> str | None:
    """The embedder that the option or the environment names."""
    from vipylo_rag.settings import Settings

    return option or Settings().embedder
