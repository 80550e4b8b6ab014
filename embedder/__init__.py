"""The model: inputs, pooling, checkpoints, encode. Knows nothing of documents, stores or training."""

from typing import TYPE_CHECKING, Any

from embedder.errors import CheckpointError, InputError, PluginError, ViPyloError
from embedder.protocol import Embedder, EncodedRows, Sample

if TYPE_CHECKING:
    from embedder.model import ColPaLiQwenEmbedder

__all__ = [
    "CheckpointError",
    "ColPaLiQwenEmbedder",
    "Embedder",
    "EncodedRows",
    "InputError",
    "PluginError",
    "Sample",
    "ViPyloError",
]


def __getattr__(name: str) -> Any:  # torch and transformers take seconds to import: only who asks pays
    if name == "ColPaLiQwenEmbedder":
        from embedder.model import ColPaLiQwenEmbedder

        return ColPaLiQwenEmbedder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
