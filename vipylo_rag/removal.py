"""How documents leave an index, so that a run killed in between leaves nothing that looks whole and is not."""

from dataclasses import replace
from pathlib import Path

from connectors.stores.filters import AnyOf
from connectors.stores.protocol import VectorStore
from vipylo_rag.ledger import Ledger
from vipylo_rag.tenants import for_tenant


def delete_source(store: VectorStore, ledger: Ledger, source: str, tenant: str = "") -> int:
    """Remove a source from store and ledger; returns how many pages went away."""
    with ledger.transaction():
        # First it counts as unread: killed behind this, an ingest reads it rather than believe that it is stored.
        if row := ledger.source(source, tenant):
            ledger.put_source(replace(row, state="pending", reason=None))
        ledger.delete_pages(source, ledger.pages(source, tenant), tenant)
    deleted = store.delete(where=for_tenant(tenant, AnyOf("source", (source,))))
    ledger.delete_source(source, tenant)
    return deleted


def delete_document(store: VectorStore, ledger: Ledger, assets: Path, source: str, tenant: str) -> int:
    """Remove a source with its members, and the pictures and word boxes that nothing else shows; returns how many pages
    went away."""
    names = [*(row.source for row in ledger.members(source, tenant)), source]
    pages = [page for name in names for page in ledger.pages(name, tenant).values()]
    if row := ledger.source(source, tenant):  # an archive without all of its members is not read to its end
        ledger.put_source(replace(row, state="pending", walked=False))
    deleted = sum(delete_source(store, ledger, name, tenant) for name in names)
    for asset in sorted({asset for page in pages for asset in (page.asset, page.words) if asset}):
        if not ledger.refers_to(asset):
            (assets / asset).unlink(missing_ok=True)
    return deleted
