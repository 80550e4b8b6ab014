"""Asking an index: search, its pages, and what it holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from connectors.stores.filters import Filter
from connectors.stores.protocol import ScoredPoint, StoredPoint, Vector
from embedder.errors import InputError, ViPyloError
from vipylo_rag.explain import Asked
from vipylo_rag.graph.elements import is_point_id
from vipylo_rag.opened import OpenedIndex
from vipylo_rag.overview import overview
from vipylo_rag.query import ImageInput, PageMode, Query, SearchRequest, checked_filter, query_vectors
from vipylo_rag.search import Hit
from vipylo_rag.tenants import check_tenant, for_tenant
from vipylo_rag.turnstile import passes

if TYPE_CHECKING:
    from vipylo_rag.graph.elements import PathStep
    from vipylo_rag.rerank import Rerank


@dataclass(frozen=True)
class Prepared:
    """A request that was checked: its query, the filter that holds it to its tenant, and what reorders its hits.

    The query's `top_k` counts what is searched for, `wanted` what the caller gets.
    """

    query: Query
    where: Filter
    tenant: str
    wanted: int
    rerank: "Rerank | None"


class IndexReading(OpenedIndex):
    """What asks an index and leaves it as it is."""

    def search(
        self,
        text: str | None = None,
        images: ImageInput | Sequence[ImageInput] | None = None,
        top_k: int = 10,
        where: Mapping[str, Any] | Filter | None = None,
        mode: PageMode = "hybrid",
        *,
        rerank: "Rerank | None" = None,
        candidates: int = 50,
        tenant: str = "",
    ) -> list[Hit]:
        """The best pages for a text, an image (or several), or both together as one query vector.

        Args:
            text: what to look for, in any language of the model.
            images: PIL images or paths of image files.
            top_k: how many hits at most.
            where: a filter over payload fields, such as {"kind": "pdf", "page": {"lte": 3}}.
            mode: "dense" compares vectors, "lexical" compares words (BM25; needs text), "hybrid" fuses both ranks;
                "graph" goes on from there along the page graph that `build_graph` made, and says by which path.
            rerank: puts the best candidates into a better order: a callable from hits to hits, or a LlamaIndex node
                postprocessor (see `vipylo_rag.rerank`).
            candidates: how many hits `rerank` is given; at least `top_k` are.
            tenant: whose documents are searched; nobody else's are found.

        Raises:
            InputError: nothing to search for, a bad top_k, mode or tenant. DocumentError: an unreadable image.
            FilterError: `where` names an unknown field or operator, or compares with a value of the wrong type.
        """
        return self.search_one(SearchRequest(text, images, top_k, where, mode, tenant, rerank, candidates))

    def search_one(self, request: SearchRequest) -> list[Hit]:
        """`search`, of a request as one thing. See `search` for the errors."""
        (found,) = self.search_many([request])
        if isinstance(found, ViPyloError):
            raise found
        return found

    def search_many(self, requests: Sequence[SearchRequest]) -> list[list[Hit] | ViPyloError]:
        """Several searches, whose queries are embedded together; each gives its hits, or the error that it met.

        One bad request costs its own row. See `search` for the errors.
        """
        found: dict[int, list[Hit] | ViPyloError] = {}
        self.search_each(requests, found.__setitem__)
        return [found[row] for row in range(len(requests))]

    def search_each(
        self, requests: Sequence[SearchRequest], tell: Callable[[int, list[Hit] | ViPyloError], None]
    ) -> None:
        """`search_many` that tells what each request, by its row, has found or met as soon as that is known."""
        # A reranker may take long, and may ask this index itself: outside, where a change of the store can pass it.
        unordered: list[tuple[int, Prepared, list[Hit]]] = []
        self._search_each(requests, tell, unordered)
        for row, one, hits in unordered:
            tell(row, _reranked(one, hits))

    @passes
    def _search_each(
        self,
        requests: Sequence[SearchRequest],
        tell: Callable[[int, list[Hit] | ViPyloError], None],
        unordered: list[tuple[int, Prepared, list[Hit]]],
    ) -> None:
        """Tells what is found; hits that are to be reranked go to `unordered` instead."""
        prepared: dict[int, Prepared] = {}
        for row, request in enumerate(requests):
            try:
                prepared[row] = self._prepared(request)
            except ViPyloError as error:
                tell(row, error)
        vectors = query_vectors([one.query for one in prepared.values()], lambda: self.embedder)
        for (row, one), vector in zip(prepared.items(), vectors, strict=True):
            found = vector if isinstance(vector, ViPyloError) else self._found(one, vector)
            if one.rerank is None or isinstance(found, ViPyloError):
                tell(row, found)
            else:
                unordered.append((row, one, found))

    @passes
    def pages(self, where: Mapping[str, Any] | Filter | None = None, *, tenant: str = "") -> list[StoredPoint]:
        """All stored pages of a tenant that pass a filter, in id order."""
        return list(self.store.scroll(for_tenant(check_tenant(tenant), checked_filter(where, self.fields(tenant)))))

    @passes
    def page(self, id: str, *, tenant: str = "") -> Hit:
        """One stored page of a tenant by its id, as a hit that nothing was asked for: its score is 0.

        Example:
            >>> page = index.page(hit.id)                              # doctest: +SKIP
            >>> page.explain("hợp đồng thuê nhà").save("why.png")      # doctest: +SKIP

        Raises:
            InputError: this tenant has no page of that id, whoever else may have it.
        """
        check_tenant(tenant)
        for point in self.store.get([id]) if is_point_id(id) else []:
            if point.payload.get("tenant") == tenant:
                return self._hit(point, 0.0, None)
        raise InputError(f"no page has the id {str(id)[:80]!r}: take one from a search or from `pages`")

    @passes
    def facet(
        self, field: str, where: Mapping[str, Any] | Filter | None = None, *, tenant: str = "", limit: int = 100
    ) -> dict[Any, int]:
        """The most frequent values of a field among a tenant's pages that pass a filter, with their counts.

        Raises:
            FilterError: there is no such field.
        """
        fields = self.fields(check_tenant(tenant))
        checked_filter({field: {"exists": True}}, fields)
        return self.store.facet(field, for_tenant(tenant, checked_filter(where, fields)), limit=limit)

    @passes
    def info(self) -> dict[str, Any]:
        """What this index is and holds, of all tenants: embedder, store, counts, kinds, size of the pictures in bytes,
        and what was begun and did not come to its end.

        For who runs the index; `sources`, `pages` and `facet` answer for one tenant.
        """
        return overview(self._parts())

    def _prepared(self, request: SearchRequest) -> Prepared:
        query = Query.of(request.text, request.images, request.top_k, request.mode)
        if request.rerank is not None:
            from vipylo_rag.rerank import check_rerank

            check_rerank(request.rerank, request.candidates)
            query = replace(query, top_k=max(request.top_k, request.candidates))
        tenant = check_tenant(request.tenant)
        where = checked_filter(request.where, self.fields(tenant)) if request.where is not None else None
        return Prepared(query, for_tenant(tenant, where), tenant, request.top_k, request.rerank)

    def _found(self, prepared: Prepared, vector: Vector | None) -> list[Hit] | ViPyloError:
        try:
            hits = (
                self._by_graph(prepared, vector) if prepared.query.mode == "graph" else self._by_store(prepared, vector)
            )
            return hits[: prepared.query.top_k]
        except ViPyloError as error:
            return error

    def _by_store(self, prepared: Prepared, vector: Vector | None) -> list[Hit]:
        query = prepared.query
        assert query.mode != "graph"
        found = self.store.search(vector, query.words or None, top_k=query.top_k, where=prepared.where, mode=query.mode)
        return [self._hit(point, point.score, query) for point in found]

    def _by_graph(self, prepared: Prepared, vector: Vector | None) -> list[Hit]:
        from vipylo_rag.graph.search import graph_search

        found = graph_search(self.graph, self.store, prepared.query, vector, prepared.where, prepared.tenant)
        return [self._hit(one.point, one.point.score, prepared.query, one.path) for one in found]

    def _hit(
        self,
        point: ScoredPoint | StoredPoint,
        score: float,
        query: Query | None,
        path: "tuple[PathStep, ...]" = (),
    ) -> Hit:
        asked = Asked(query, lambda: self.embedder)
        return Hit.of(point.id, score, dict(point.payload), self.assets, asked, path)


def _reranked(prepared: Prepared, hits: list[Hit]) -> list[Hit] | ViPyloError:
    from vipylo_rag.rerank import reranked

    assert prepared.rerank is not None
    try:
        return reranked(prepared.rerank, prepared.query, hits, prepared.tenant)[: prepared.wanted]
    except ViPyloError as error:
        return error
