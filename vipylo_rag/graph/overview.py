"""What `vipylo graph info` says of a tenant's graph."""

from contextlib import closing
from typing import Any, Final

from embedder.errors import InputError
from vipylo_rag.graph.counts import count_nodes, count_relations, hubs, waiting_nodes
from vipylo_rag.graph.facts import BUILD, GraphFacts
from vipylo_rag.graph.readings import READINGS, Readings
from vipylo_rag.graph.upkeep import GraphFolder
from vipylo_rag.tenants import for_tenant

_HUBS: Final = 8


def graph_overview(folder: GraphFolder, tenant: str) -> dict[str, Any]:
    """What the graph of a tenant is and holds; see `IndexGraphing.graph_info`."""
    index = folder.index
    facts = GraphFacts.read(index.directory)
    if tenant not in facts.tenants:
        raise InputError(f"tenant {tenant!r} has no graph: make it with `{BUILD} --index {index.directory}`")
    mine = facts.tenants[tenant]
    with closing(Readings.open(folder.path / READINGS)) as readings:
        pages, held = readings.count("pages", tenant), index.store.count(for_tenant(tenant))
        waiting = waiting_nodes(readings, tenant)
        outdated = []
        if facts.embedder.fingerprint != index.manifest.embedder.fingerprint:
            outdated.append("the index has another embedder now")
        if held != pages:
            outdated.append(f"{abs(held - pages)} pages have come or gone")
        if waiting:
            outdated.append(f"{waiting} nodes wait for their vectors")
        return {
            "place": facts.url or f"{folder.path}",
            "built": mine.built,
            "extractor": mine.extractor,
            "embedder": f"{facts.embedder.name} ({facts.embedder.dim}-d, {facts.embedder.fingerprint[:12]})",
            "bytes": sum(file.stat().st_size for file in folder.path.iterdir() if file.is_file()),
            "pages": pages,
            "index_pages": held,
            "failed_pages": readings.failed(tenant),
            "outdated": "; ".join(outdated),
            "nodes": count_nodes(readings, tenant),
            "relations": count_relations(readings, tenant),
            "hubs": hubs(readings, tenant, _HUBS),
        }
