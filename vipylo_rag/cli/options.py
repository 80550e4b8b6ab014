"""Options that several commands share, and how a command opens its index."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from embedder.protocol import Embedder
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
        embedder=chosen_embedder(embedder or settings.embedder, device or settings.device, location),
        create=create,
        api_key=settings.qdrant_api_key,
    )


def chosen_embedder(name: str | None, device: str | None, location: str) -> "Embedder | str | None":
    """What to open the index with: loaded here only when a device was asked for."""
    if device is None:
        return name
    from embedder.load import load_embedder
    from vipylo_rag.manifest import Manifest

    if name is None:
        local = Path(location)
        name = Manifest.read(local).embedder.name if (local / "manifest.json").is_file() else "starter"
    return load_embedder(name, device=device)
