"""Options that several commands share, and how a command opens its index."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vipylo_rag.index import MultimodalIndex

IndexOption = Annotated[
    str, typer.Option("--index", "-i", help="Index directory, or http://host:6333/collection of a Qdrant server.")
]
EmbedderOption = Annotated[
    str | None,
    typer.Option("--embedder", help="starter, a checkpoint directory, a hub id, or KIND:NAME. [env: VIPYLO_EMBEDDER]"),
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="cpu, cuda, ... [env: VIPYLO_DEVICE]")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

DEFAULT_INDEX = "vipylo-index"


def open_index(
    location: str, embedder: str | None = None, device: str | None = None, *, create: bool = False
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
    )


def asked_embedder(option: str | None) -> str | None:
    """The embedder that the option or the environment names."""
    from vipylo_rag.settings import Settings

    return option or Settings().embedder
