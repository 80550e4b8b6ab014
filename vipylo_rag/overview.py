"""What an index as a whole is and holds, for who runs it, and what was begun in it and not brought to its end."""

from collections import Counter
from typing import Any

from connectors.stores.filters import AnyOf
from vipylo_rag.manifest import Manifest
from vipylo_rag.opening import Parts


def overview(parts: Parts) -> dict[str, Any]:
    """See `MultimodalIndex.info`."""
    kinds: Counter[str] = Counter()
    tenants = parts.ledger.tenants()
    for tenant in tenants:
        kinds.update(parts.store.facet("kind", AnyOf("tenant", (tenant,))))
    coming, run = Manifest.coming(parts.directory), parts.ledger.unfinished_run()
    return {
        "directory": str(parts.directory),
        "embedder": parts.manifest.embedder.model_dump(),
        "store": parts.manifest.store.label,
        **parts.ledger.counts(),
        "tenants": len(tenants),
        "points": parts.store.count(),
        "kinds": dict(kinds.most_common()),
        "asset_bytes": sum(file.stat().st_size for file in (parts.directory / "assets").rglob("*") if file.is_file()),
        "unfinished_run": run and {"tenant": run.tenant, "paths": list(run.paths), "started": run.started},
        "unfinished_reindex": coming and {"embedder": coming.embedder.name, "options": str(coming.store.options)},
    }
