"""Finds replaceable parts by name through Python entry points; our own parts are registered the same way.

Groups: `vipylo_rag.embedders`, `.loaders`, `.renderers`, `.stores`, `.extractors`. A third-party package adds a part by
declaring an entry point in one of these groups; nothing is imported until the part is asked for.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from embedder.errors import PluginError

GROUP_PREFIX = "vipylo_rag."


def registered(group: str) -> dict[str, EntryPoint]:
    """All entry points of a group ("loaders", "stores", ...) by name. Imports none of them."""
    return {point.name: point for point in entry_points(group=GROUP_PREFIX + group)}


def load_plugin(group: str, name: str) -> Any:
    """Import and return the part registered as `name` in `group`.

    Raises:
        PluginError: nothing has that name (the text lists the names there are), or its import failed.
    """
    found = registered(group)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise PluginError(f"no {group[:-1]} named {name!r} is installed (known: {known})")
    try:
        return found[name].load()
    except Exception as error:  # a third party's import may raise anything
        raise PluginError(f"the {group[:-1]} {name!r} ({found[name].value}) cannot be imported: {error}") from error
