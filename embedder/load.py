"""One way to an embedder from a word: a checkpoint of ours, or `KIND:NAME` for any kind installed by entry point."""

from collections.abc import Mapping
from typing import Any, cast

from embedder.plugins import load_plugin, registered
from embedder.protocol import Embedder

DEFAULT_KIND = "qwen2-vl"


def load_embedder(spec: str = "starter", **options: Any) -> Embedder:
    """The embedder that `spec` names.

    Args:
        spec: "starter", a checkpoint directory or a hub id (loaded by `ColPaLiQwenEmbedder`); or "KIND:NAME" where KIND
            is an entry point of the group `vipylo_rag.embedders`: its `from_pretrained(NAME, **options)` is called.
        options: passed on (device=, max_pixels=, ...).

    Raises:
        CheckpointError: no such checkpoint. PluginError: no such kind.
    """
    kind, colon, name = spec.partition(":")
    if not colon or kind not in registered("embedders"):
        kind, name = DEFAULT_KIND, spec
    return cast(Embedder, load_plugin("embedders", kind).from_pretrained(name, **options))


def given(**options: Any) -> Mapping[str, Any]:
    """The options that were given (not None), to pass on without overriding a checkpoint's own."""
    return {key: value for key, value in options.items() if value is not None}
