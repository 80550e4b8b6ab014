"""Search along the page graph: what a hybrid search finds, and the pages it leads to, in one ranked list with paths."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from connectors.stores.filters import Filter, matches
from connectors.stores.lexical import tokens
from connectors.stores.points import in_rank_order
from connectors.stores.protocol import ScoredPoint, Vector, VectorStore
from vipylo_rag.graph.elements import PAGE, PathStep, is_point_id
from vipylo_rag.graph.spreading import Graph, Spreading, Trail, Weights, arriving, both
from vipylo_rag.query import Query
from vipylo_rag.tenants import for_tenant

# How many pages the search finds directly, and how many of them the graph is entered from: later ones are fillers.
_DIRECT: Final = 50
_SOURCES: Final = 10
# The entities and figures nearest to the query: so many are asked for, and so many of them are entered by.
_NEAREST: Final = 50
_ENTRIES: Final = 10
# The second hop goes on from so many pages; a third would reach most of a graph by way of chance.
_SECOND: Final = 5
# So many reached pages are looked up in the store at a time, until so many of them pass the filter.
_LOOKED_UP: Final = 50
_REACHED: Final = 50
# Ranks as activations, where scores do not say how much better one is: the first cosines differ too little.
_RANKS: Final = 5


@dataclass(frozen=True)
class Found:
    """A page with its score, a probability-like number in [0, 1], and the path that led there.

    The path begins at a page that was found directly, or at the entity or figure that is nearest to the query, and ends
    at this page. It is () for a page that was found directly: one whose own hit counts for more than its links.
    """

    point: ScoredPoint
    path: tuple[PathStep, ...] = ()


def graph_search(
    graph: Graph,
    store: VectorStore,
    query: Query,
    vector: Vector | None,
    where: Filter,
    tenant: str,
    weights: Weights | None = None,
) -> list[Found]:
    """The best `query.top_k` pages, best first, equal scores as `in_rank_order` says.

    A hybrid search and the entities and figures nearest to the query activate pages and nodes; activation spreads two
    hops of page - entity - page (or page - next page, page - alike page, entity - related entity) as
    `vipylo_rag.graph.spreading` says; a page's score is noisy-or of its own activation and of what arrives. Linked
    pages of a top hit come before the fillers that end every hybrid list; the first hit stays first unless several
    links, or a link and a good hit of its own, speak for another.

    Args:
        graph: the index's page graph.
        store: the index's pages. Only what it holds is found; its payloads decide what passes `where`.
        vector: of the query, [dim].
        where: what every page must pass, at the end of a path and on it; holds the search to `tenant`.
        tenant: whose nodes are walked.
        weights: how much links hand on.
    """
    weights = weights or Weights()
    direct = store.search(vector, query.words or None, top_k=max(query.top_k, _DIRECT), where=where, mode="hybrid")
    pages = _Pages(store, where, {point.id: point for point in direct})
    own = _own(direct, fused=vector is not None and bool(tokens(query.words)), weights=weights)
    nearest = graph.nearest(vector, query.words or None, tenant, _NEAREST)
    # Their rank counts, as scores of different searches cannot be compared.
    nearness = {node: _RANKS / (_RANKS + rank) for rank, (node, _) in enumerate(nearest)}
    mine = for_tenant(tenant)
    open_to = pages.allowed if where != mine else _all
    spreading = Spreading(graph, tenant, store.count(mine), weights, nearness, open_to)

    entries = spreading.entries(_ENTRIES)
    sources = [Trail.at(own[point.id], _page_step(point.id)) for point in direct[:_SOURCES]]
    arrived = pages.passing(spreading.hop([*sources, *entries], pages.allowed))

    begun = {trail.node for trail in sources}
    fresh = [Trail.at(arriving(arrived[id_]), *arrived[id_][0].steps) for id_ in arrived if id_ not in begun]
    fresh.sort(key=lambda trail: (-trail.activation, trail.node))
    further = pages.passing(spreading.hop(fresh[:_SECOND], pages.allowed)) if fresh else {}

    scored: list[ScoredPoint] = []
    ways: dict[str, Sequence[PathStep]] = {}
    for id_ in {**own, **arrived, **further}:
        # A page that the first hop reached gets nothing new by the second: that is the same evidence once more.
        trails = arrived.get(id_) or further.get(id_) or []
        linked, hit = arriving(trails), own.get(id_, 0.0)
        ways[id_] = trails[0].steps if linked > hit else ()
        scored.append(ScoredPoint(id_, both([hit, linked]), pages.points[id_].payload))
    return [Found(point, pages.named(ways[point.id])) for point in in_rank_order(scored)[: query.top_k]]


def _all(ids: Sequence[str]) -> Sequence[str]:
    """What a search over all of a tenant's pages can arrive at."""
    return ids


def _own(direct: Sequence[ScoredPoint], *, fused: bool, weights: Weights) -> dict[str, float]:
    """What activates each page that was found directly: its score or, where only one side searched, its rank."""
    if not direct:
        return {}
    best = direct[0].score
    shares = [
        point.score / best if fused and best > 0 else _RANKS / (_RANKS + rank) for rank, point in enumerate(direct)
    ]
    return {p.id: weights.direct * share**weights.sharpness for p, share in zip(direct, shares, strict=True)}


@dataclass(frozen=True)
class _Pages:
    """The pages that take part, as the store holds them: each passed the filter."""

    store: VectorStore
    where: Filter
    points: dict[str, ScoredPoint]

    def allowed(self, ids: Sequence[str]) -> set[str]:
        """Those of some pages that are there and pass."""
        self._look_up([id_ for id_ in ids if id_ not in self.points])
        return {id_ for id_ in ids if id_ in self.points}

    def passing(self, arrived: Mapping[str, list[Trail]]) -> dict[str, list[Trail]]:
        """Of the pages that trails lead to, the strongest that are still in the index and pass the filter."""
        order = sorted(arrived, key=lambda id_: (-arriving(arrived[id_]), id_))
        kept = {id_: arrived[id_] for id_ in order if id_ in self.points}
        unknown = [id_ for id_ in order if id_ not in self.points]
        added = 0
        for begin in range(0, len(unknown), _LOOKED_UP):
            ids = self._look_up(unknown[begin : begin + _LOOKED_UP])
            kept.update({id_: arrived[id_] for id_ in ids})
            added += len(ids)
            if added >= _REACHED:
                break
        return kept

    def named(self, steps: Iterable[PathStep]) -> tuple[PathStep, ...]:
        """The steps, with pages named as the index names them."""
        return tuple(replace(step, name=self._name(step.node)) if step.label == PAGE else step for step in steps)

    def _look_up(self, ids: Sequence[str]) -> list[str]:
        found = self.store.get([id_ for id_ in ids if is_point_id(id_)])
        passed = {p.id: ScoredPoint(p.id, 0.0, p.payload) for p in found if matches(self.where, p.payload)}
        self.points.update(passed)
        return list(passed)

    def _name(self, page: str) -> str:
        payload: Mapping[str, Any] = self.points[page].payload
        return f"{payload.get('name', '')}, page {payload.get('page', '')}"


def _page_step(page: str) -> PathStep:
    return PathStep(PAGE, "", "", page, page)
