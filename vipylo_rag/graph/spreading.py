"""Activation that spreads over a page graph: how much of it arrives where, by which trails. Knows no store of pages.

It is the classic account of associative memory (Collins and Loftus 1975), in the form that ACT-R gave it (Anderson
1983; "the fan effect"): what is asked for activates what it is linked to, each link takes its share, and a node that is
linked to everything passes on next to nothing. For retrieval over documents see Crestani 1997; its limit case, a random
walk with restarts at the query's nodes, is personalised PageRank (Page et al. 1999; Haveliwala 2002), which HippoRAG
(Gutiérrez et al. 2024) uses on entity graphs. A random walk shares a page's mass among all its links, so that one
telling link of an eventful page counts less than the fortieth hit of a search, which always fills its list; here a link
hands on a share that depends on how telling it is, and arrivals add up as independent evidence does (noisy-or).
"""

import math
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Protocol

from llama_index.core.graph_stores.types import LabelledNode, Triplet

from vipylo_rag.graph.elements import (
    AMOUNT,
    CODE,
    DATE,
    DOCUMENT,
    FIGURE,
    HAS_FIGURE,
    HEADING,
    MENTIONS,
    NAME,
    NEAR,
    NEXT,
    PAGE,
    STRUCTURE,
    TERM,
    PathStep,
    number_of,
)

# How many mentions of entities one hop reads at most: what bounds its time, whatever a graph holds.
MENTIONS_READ: Final = 500
# Relations between entities that one hop looks at, for the same reason.
_RELATIONS_READ: Final = 200
# Arrivals at one node that are kept, best first; the others could hardly add to them.
_ARRIVALS: Final = 6
# Less than this is not handed on.
_LEAST: Final = 0.004

_LABELS: Final[Mapping[str, float]] = MappingProxyType(
    {CODE: 1.0, NAME: 0.9, AMOUNT: 0.6, DATE: 0.6, TERM: 0.1, HEADING: 0.05}
)


# Which of some pages, by their ids, a search may step on.
Passing = Callable[[Sequence[str]], Collection[str]]


class Graph(Protocol):
    """What a search asks a page graph: `vipylo_rag.graph.page_graph.PageGraph` is one."""

    def nodes(self, ids: Sequence[str]) -> Mapping[str, LabelledNode]:
        """Nodes by id; unknown ones are left out."""

    def triplets(self, ids: Sequence[str]) -> Sequence[Triplet]:
        """All triplets that touch these nodes, in either direction."""

    def nearest(self, vector: Any, words: str | None, tenant: str, top_k: int) -> Sequence[tuple[str, float]]:
        """The entities and figures of a tenant nearest to a query, best first."""


@dataclass(frozen=True)
class Weights:
    """How much a link hands on. `examples/two_hop.py --tune` compares them on its development questions.

    Attributes:
        direct: activation of the best page that was found directly; below 1, so that evidence can add to it.
        sharpness: exponent of a page's share of the best hit's score. A fused score falls far slower than the chance
            that a page is the right one. Higher finds more by way of links; from 6 on, questions that a page answers
            directly lose (docs/graph.md).
        entry: activation of the entity or figure nearest to the query.
        labels: how telling an entity of a label is; `other` for labels that a language model made up.
        entity_fan: exponent of the number of other pages that mention an entity, which divides what it hands on.
        within: of what an entity hands on to another document's pages, the share that pages of the document get that
            led to it: these name the same things anyway, and the list has them. Where it leads nowhere else, all.
        focus: how much of what a page hands to an entity depends on how near the entity, with the sentences it stands
            in, is to the query: of all that a page names, what the question is about leads on.
        next, near, figure, related: links of page to following page, of alike pages (times their cosine), of figure to
            page, and of entities that a text relates to each other.
    """

    direct: float = 0.7
    sharpness: float = 4.0
    entry: float = 0.3
    labels: Mapping[str, float] = field(default_factory=lambda: _LABELS)
    other: float = 0.8
    entity_fan: float = 0.25
    within: float = 0.2
    next: float = 0.1
    near: float = 0.1
    focus: float = 0.6
    figure: float = 0.8
    related: float = 0.6

    def label(self, label: str) -> float:
        """How telling an entity of this label is."""
        return self.labels.get(label, self.other)


@dataclass(frozen=True)
class Trail:
    """A way to a node; `steps` ends at it.

    Attributes:
        origin: the node that this hop set out from, and
        start: its activation.
        share: how much of it arrives, from 0 to 1.
        source: the document of the page that was left last; "" where none was.
    """

    origin: str
    start: float
    share: float
    steps: tuple[PathStep, ...]
    source: str = ""

    @classmethod
    def at(cls, activation: float, *steps: PathStep) -> "Trail":
        """Where a hop begins: at the last of these steps."""
        return cls(steps[-1].node, activation, 1.0, steps)

    @property
    def node(self) -> str:
        """Where it ends."""
        return self.steps[-1].node

    @property
    def activation(self) -> float:
        """What arrives by it."""
        return self.start * self.share

    def visits(self, node: str) -> bool:
        """Whether the node is on the way."""
        return any(step.node == node for step in self.steps)

    def on(self, share: float, step: PathStep) -> "Trail":
        """The trail one step further."""
        return replace(self, share=self.share * share, steps=(*self.steps, step))


def both(activations: Iterable[float]) -> float:
    """Independent pieces of evidence as one: the probability that not all of them fail (noisy-or, Pearl 1988)."""
    left = 1.0
    for activation in sorted(activations):  # one order, so that the same evidence gives the same number
        left *= 1.0 - min(1.0, max(0.0, activation))
    return 1.0 - left


def arriving(trails: Iterable[Trail]) -> float:
    """What arrives by several trails. Those from one origin stand or fall with it: together they bring at most what it
    has, so that a page which is linked to the first hit alone never comes before it."""
    origins: dict[str, tuple[float, list[float]]] = {}
    for trail in trails:
        origins.setdefault(trail.origin, (trail.start, []))[1].append(trail.share)
    return both(start * both(shares) for start, shares in origins.values())


def specificity(pages: int, total: int) -> float:
    """How much it says that a page mentions an entity: its inverse document frequency (Spärck Jones 1972), from 1 for
    one page of very many down to 0 for all of them."""
    return max(0.0, math.log((total + 1) / max(1, pages)) / math.log(total + 1)) if total else 0.0


@dataclass(frozen=True)
class Spreading:
    """One tenant's graph, walked a hop at a time. Nodes of others are never stepped on, whatever links to them.

    `total` is how many pages the tenant has, `nearness` how near entities and figures are to the query, up to 1, and
    `open_to` tells which of some pages, by their ids, a search that is held to some of them can arrive at.
    """

    graph: Graph
    tenant: str
    total: int
    weights: Weights
    nearness: Mapping[str, float]
    open_to: Passing

    def entries(self, most: int) -> list[Trail]:
        """Trails of one step: the entities and figures that the query is nearest to."""
        nearest = sorted(self.nearness, key=lambda node: (-self.nearness[node], node))[:most]
        nodes = self.graph.nodes(nearest)
        trails = []
        for node in (nodes[id_] for id_ in nearest if id_ in nodes and self._mine(nodes[id_])):
            telling = self._telling(node) if _is_entity(node) else float(node.label == FIGURE)
            trails.append(Trail.at(self.weights.entry * telling * self.nearness[node.id], _step(node, "")))
        return [trail for trail in trails if trail.activation > 0]

    def hop(self, sources: Sequence[Trail], passing: Passing) -> dict[str, list[Trail]]:
        """Where the activation of some trails goes next: for each page, by its id, the trails that lead there.

        Args:
            sources: trails that end at pages, figures or entities.
            passing: which of some pages, by their ids, may take part: relations that were read on others are not
                walked. The pages arrived at are for the caller to check.
        """
        at = {trail.node: trail for trail in sources}
        arrived: dict[str, list[Trail]] = {}
        entities: dict[str, list[Trail]] = {}
        known: dict[str, LabelledNode] = {}
        for trail in sources:
            if trail.steps[-1].label not in (PAGE, FIGURE):
                entities[trail.node] = [trail]
        known.update(self.graph.nodes(list(entities)))
        placed = [node for node in at if node not in entities]
        for here, relation, there in self._links(placed):
            trail = at[here.id]
            if relation.label == MENTIONS and here.label == PAGE and _is_entity(there):
                known[there.id] = there
                focus = 1.0 - self.weights.focus * (1.0 - self.nearness.get(there.id, 0.0))
                left = replace(trail, source=_text(here, "source"))
                _arrive(entities, left, self._telling(there) * focus, there, MENTIONS)
            elif there.label == PAGE and not trail.visits(there.id):
                _arrive(arrived, trail, self._structural(relation, here), there, relation.label)
        related = self._through(entities, known, arrived, passing)
        self._through(related, known, arrived, lambda pages: ())
        return {page: trails for page, trails in arrived.items() if trails}

    def _through(
        self,
        entities: dict[str, list[Trail]],
        known: dict[str, LabelledNode],
        arrived: dict[str, list[Trail]],
        passing: Passing,
    ) -> dict[str, list[Trail]]:
        """From entities on to the pages that mention them; gives the entities they are related to."""
        open_ = self._affordable({id_: trails for id_, trails in entities.items() if trails}, known)
        links, relations = self._links(open_), []
        sources = self._sources(links)
        for here, relation, there in links:
            if relation.label == MENTIONS and there.label == PAGE:
                # A page's own activation does not come back to it; what else reached the entity does.
                for trail in entities[here.id]:
                    if not trail.visits(there.id):
                        inside = _text(there, "source") == trail.source and sources[here.id] - {trail.source}
                        share = open_[here.id] * (self.weights.within if inside else 1.0)
                        _arrive(arrived, trail, share, there, MENTIONS)
            elif relation.label not in STRUCTURE and _is_entity(there):
                relations.append((here, relation, there))
        del relations[_RELATIONS_READ:]
        allowed = set(passing(sorted({_text(relation, "page_id") for _, relation, _ in relations})))
        related: dict[str, list[Trail]] = {}
        for here, relation, there in relations:
            if _text(relation, "page_id") in allowed:
                known[there.id] = there
                share = self.weights.related * self._telling(there)
                for trail in entities[here.id]:
                    if not trail.visits(there.id):
                        _arrive(related, trail, share, there, relation.label)
        return related

    def _sources(self, links: Sequence[tuple[LabelledNode, Any, LabelledNode]]) -> dict[str, set[str]]:
        """The documents that each entity leads to."""
        said = [
            (here.id, there) for here, relation, there in links if (relation.label, there.label) == (MENTIONS, PAGE)
        ]
        allowed = set(self.open_to(sorted({page.id for _, page in said})))
        sources: dict[str, set[str]] = {entity: set() for entity, _ in said}
        for entity, page in said:
            if page.id in allowed:
                sources[entity].add(_text(page, "source"))
        return sources

    def _affordable(self, entities: dict[str, list[Trail]], known: Mapping[str, LabelledNode]) -> dict[str, float]:
        """The entities that are read on, with the share that each page mentioning it gets; the ones that hand on most
        come first, and hubs, whose mentions would take long to read and say little, not at all."""
        shares = {id_: self._share(known[id_]) for id_ in entities if id_ in known}
        order = sorted(shares, key=lambda id_: (-entities[id_][0].activation * shares[id_], id_))
        open_: dict[str, float] = {}
        left = MENTIONS_READ
        for id_ in order:
            pages = _pages(known[id_])
            if pages <= left and entities[id_][0].activation * shares[id_] >= _LEAST:
                open_[id_] = shares[id_]
                left -= pages
        return open_

    def _share(self, entity: LabelledNode) -> float:
        return float(max(1, _pages(entity) - 1) ** -self.weights.entity_fan)

    def _telling(self, entity: LabelledNode) -> float:
        return self.weights.label(entity.label) * specificity(_pages(entity), self.total)

    def _structural(self, relation: Any, here: LabelledNode) -> float:
        if relation.label == NEXT:
            return self.weights.next
        if relation.label == NEAR:
            return self.weights.near * min(1.0, max(0.0, number_of(relation.properties.get("cosine"))))
        return self.weights.figure if relation.label == HAS_FIGURE and here.label == FIGURE else 0.0

    def _links(self, ids: Collection[str]) -> list[tuple[LabelledNode, Any, LabelledNode]]:
        """All links of some nodes within the tenant, from their end, in one order whatever the store's."""
        if not ids:
            return []
        wanted, mine = set(ids), dict[str, bool]()
        found: dict[tuple[str, str, str], tuple[LabelledNode, Any, LabelledNode]] = {}
        for subject, relation, other in self.graph.triplets(sorted(wanted)):
            first, second = subject.id, other.id
            for id_, node in ((first, subject), (second, other)):
                if id_ not in mine:
                    mine[id_] = self._mine(node)
            if mine[first] and mine[second]:
                if first in wanted:
                    found[first, relation.label, second] = (subject, relation, other)
                if second in wanted:
                    found[second, relation.label, first] = (other, relation, subject)
        return [found[key] for key in sorted(found)]

    def _mine(self, node: LabelledNode) -> bool:
        """Whether a node is this tenant's, by what it says, and an entity by its id too."""
        if node.properties.get("tenant", "") != self.tenant:
            return False
        marked = node.id.partition("\x1f")[0] if "\x1f" in node.id else ""
        return not _is_entity(node) or marked == self.tenant


def _is_entity(node: LabelledNode) -> bool:
    return node.label not in (PAGE, FIGURE, DOCUMENT)


def _arrive(at: dict[str, list[Trail]], trail: Trail, share: float, node: LabelledNode, relation: str) -> None:
    activation = trail.activation * share
    trails = at.setdefault(node.id, [])
    if activation < _LEAST or (len(trails) == _ARRIVALS and activation <= trails[-1].activation):
        return
    # Of equal ones the first stays first; links come in one order, so it is always the same.
    insort(trails, trail.on(share, _step(node, relation)), key=lambda one: -one.activation)
    del trails[_ARRIVALS:]


def _step(node: LabelledNode, relation: str) -> PathStep:
    """A page's name is told by the index, which knows it; a graph may be written by others."""
    if node.label == PAGE:
        return PathStep(PAGE, "", relation, node.id, node.id)
    if node.label == FIGURE:
        said = _text(node, "caption") or f"figure {_text(node, 'number')}".strip()
        return PathStep(FIGURE, said, relation, node.id)
    return PathStep(node.label, _text(node, "name") or node.id.rpartition("\x1f")[2], relation, node.id)


def _text(holder: Any, key: str) -> str:
    value = holder.properties.get(key)
    return "" if value is None else str(value)


def _pages(entity: LabelledNode) -> int:
    return max(1, int(number_of(entity.properties.get("pages"))))
