"""From what was read to the graph: which nodes and relations follow, and how a store comes to hold them.

Any LlamaIndex `PropertyGraphStore` will do. Of its operations only those are relied on that stores agree in: adding
nodes and relations, replacing a node's properties, and deleting nodes by id. So a node that loses a relation, or has
one whose properties change, is deleted and written again with all its relations.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llama_index.core.graph_stores.types import ChunkNode, EntityNode, LabelledNode, PropertyGraphStore, Relation

from vipylo_rag.graph.elements import DOCUMENT, FIGURE, HAS_FIGURE, HAS_PAGE, MENTIONS, NEAR, NEXT, PAGE, TERM
from vipylo_rag.graph.readings import Readings

# A term is an entity where it recurs on so many pages of a tenant.
RECURS: Final = 2
_BATCH: Final = 500
_RELATIONS: Final = 2000
_CONTEXTS: Final = 3
_CONTEXT_LENGTH: Final = 300

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Shown:
    """A node as it should be in the graph.

    `text` is what is embedded of it, None for documents and pages; `digest` tells whether that changed.
    """

    node: LabelledNode
    text: str | None = None
    digest: str = ""


class Projection:
    """Makes a store hold what the readings say. Make it, call `apply`, keep the store, then `readings.settled()`."""

    def __init__(self, readings: Readings, store: PropertyGraphStore) -> None:
        self._readings = readings
        self._db = readings.db
        self._store = store

    def apply(self, told: Told = lambda done, total: None) -> list[str]:
        """Bring every stale node up to date, with its relations; returns those whose vectors are of nothing now.

        Also notes which vectors are to be made (`due`). Killed in between, it is to be called again.
        """
        total, done = 2 * self._readings.count("stale"), 0
        outdated: list[str] = []
        for nodes in self._readings.portions("stale", _BATCH):
            outdated += self._nodes(nodes)
            done += len(nodes)
            told(done, total)
        for nodes in self._readings.portions("stale", _BATCH):
            self._relations(nodes)
            done += len(nodes)
            told(done, total)
        return outdated

    def _nodes(self, nodes: Sequence[str]) -> list[str]:
        readings = self._readings
        shown = {one.node.id: one for one in self.shown(nodes)}
        with readings.batch(nodes):
            written = self._column("SELECT node FROM batch CROSS JOIN written USING (node)")
            rewritten = self._column("SELECT node FROM batch CROSS JOIN stale USING (node) WHERE rewrite")
            digests = dict(self._db.execute("SELECT node, digest FROM batch CROSS JOIN vectors USING (node)"))
        gone = [node for node in nodes if node not in shown]
        outdated = [node for node in nodes if node in digests and (node in gone or digests[node] != shown[node].digest)]
        due = [id_ for id_, one in shown.items() if one.text is not None and digests.get(id_) != one.digest]
        with readings.transaction():
            # Before the store has them: what it might have is known, wherever this run is killed.
            new = [(id_,) for id_ in shown if id_ not in set(written)]
            self._db.executemany("INSERT OR IGNORE INTO written VALUES (?)", new)
            self._db.executemany("UPDATE stale SET rewrite = 1 WHERE node = ?", new)
            self._db.executemany("INSERT OR IGNORE INTO gone VALUES (?)", [(id_,) for id_ in gone])
            self._db.executemany("DELETE FROM gone WHERE node = ?", [(id_,) for id_ in shown])
            self._db.executemany("INSERT OR IGNORE INTO due VALUES (?)", [(id_,) for id_ in due])
            self._db.executemany("DELETE FROM due WHERE node = ?", [(id_,) for id_ in gone])
        remove_nodes(self._store, [*gone, *(set(rewritten) & set(written) & shown.keys())])
        self._store.upsert_nodes([one.node for one in shown.values()])
        return outdated

    def _relations(self, nodes: Sequence[str]) -> None:
        with self._readings.batch(nodes):
            self._db.execute(
                "DELETE FROM batch WHERE NOT EXISTS (SELECT 1 FROM stale WHERE stale.node = batch.node AND rewrite)"
            )
            portion: list[Relation] = []
            for relation in self._touching():
                portion.append(relation)
                if len(portion) == _RELATIONS:
                    self._store.upsert_relations(portion)
                    portion = []
            if portion:
                self._store.upsert_relations(portion)

    # What nodes should be

    def shown(self, nodes: Sequence[str]) -> Iterator[Shown]:
        """Those of these nodes that the graph should have, as they should be."""
        with self._readings.batch(nodes):
            yield from [*self._documents(), *self._pages(), *self._figures(), *self._entities()]

    def _documents(self) -> Iterator[Shown]:
        query = (
            "SELECT document, tenant, source, MIN(name) FROM batch CROSS JOIN pages ON document = node "
            "GROUP BY document, tenant, source"
        )
        for id_, tenant, source, name in self._db.execute(query):
            said = {"tenant": tenant, "source": source, "name": name}
            yield Shown(ChunkNode(id_=id_, text=name, label=DOCUMENT, properties=said))

    def _pages(self) -> Iterator[Shown]:
        query = "SELECT id, tenant, source, name, number, kind, sha256 FROM batch CROSS JOIN pages ON id = node"
        for id_, tenant, source, name, number, kind, sha256 in self._db.execute(query):
            said = {"tenant": tenant, "source": source, "name": name, "page": number, "kind": kind, "sha256": sha256}
            # Its words are in the index; here it is called what people call it.
            yield Shown(ChunkNode(id_=id_, text=f"{name}, page {number}", label=PAGE, properties=said))

    def _figures(self) -> Iterator[Shown]:
        query = (
            "SELECT f.id, f.page, f.number, f.box, f.caption, p.tenant, p.sha256 "
            "FROM batch CROSS JOIN figures f ON f.id = node JOIN pages p ON p.id = f.page"
        )
        for id_, page, number, box, caption, tenant, sha256 in self._db.execute(query):
            said = {"tenant": tenant, "page_id": page, "number": number, "box": json.loads(box), "caption": caption}
            node = ChunkNode(id_=id_, text=caption, label=FIGURE, properties=said)
            yield Shown(node, caption, _digest(sha256, box, caption))

    def _entities(self) -> Iterator[Shown]:
        pages: Counter[str] = Counter()
        labels: dict[str, Counter[str]] = defaultdict(Counter)
        names: dict[str, Counter[str]] = defaultdict(Counter)
        contexts: dict[str, list[str]] = defaultdict(list)
        tenants: dict[str, str] = {}
        mentions = "FROM batch CROSS JOIN mentions ON entity = node"
        for entity, label, count in self._db.execute(f"SELECT entity, label, COUNT(*) {mentions} GROUP BY 1, 2"):
            labels[entity][label] = count
            pages[entity] += count
        for entity, surface, count in self._db.execute(f"SELECT entity, surface, SUM(count) {mentions} GROUP BY 1, 2"):
            names[entity][surface] = count
        first = (
            "SELECT entity, tenant, context FROM (SELECT entity, tenant, context, ROW_NUMBER() OVER "  # noqa: S608
            "(PARTITION BY entity ORDER BY pages.source, pages.number) AS place "
            f"{mentions} JOIN pages ON pages.id = mentions.page) WHERE place <= ? ORDER BY entity, place"
        )
        for entity, tenant, context in self._db.execute(first, (_CONTEXTS,)):
            tenants[entity] = tenant
            contexts[entity].append(context)
        for entity, count in pages.items():
            sure = Counter({label: n for label, n in labels[entity].items() if label != TERM})
            if not sure and count < RECURS:
                continue
            said = {"tenant": tenants[entity], "name": _commonest(names[entity]), "pages": count}
            node = EntityNode(name=entity, label=_commonest(sure) if sure else TERM, properties=said)
            text = f"{said['name']}\n{' '.join(filter(None, contexts[entity]))[:_CONTEXT_LENGTH]}".strip()
            yield Shown(node, text, _digest(node.label, text))

    # What relations should be

    def _touching(self) -> Iterator[Relation]:
        """Every relation that touches a node of the batch and whose ends are both in the graph."""
        pages = "SELECT document, id FROM batch CROSS JOIN pages ON {} = node"
        for document, page in self._both(pages, "document", "id"):
            yield Relation(label=HAS_PAGE, source_id=document, target_id=page)
        in_order = (
            "SELECT one, next FROM (SELECT id AS one, LEAD(id) OVER (PARTITION BY tenant, source ORDER BY number) AS "
            "next FROM pages WHERE (tenant, source) IN "
            "(SELECT tenant, source FROM batch CROSS JOIN pages ON id = node)) "
            "WHERE next IS NOT NULL AND (one IN batch OR next IN batch)"
        )
        for page, following in self._db.execute(in_order).fetchall():
            yield Relation(label=NEXT, source_id=page, target_id=following)
        for page, figure in self._both("SELECT page, id FROM batch CROSS JOIN figures ON {} = node", "page", "id"):
            yield Relation(label=HAS_FIGURE, source_id=page, target_id=figure)
        mentions = "SELECT page, entity, count, surface FROM batch CROSS JOIN mentions ON {} = node WHERE SHOWN(entity)"
        for page, entity, count, surface in self._both(mentions, "page", "entity"):
            yield Relation(
                label=MENTIONS, source_id=page, target_id=entity, properties={"count": count, "surface": surface}
            )
        near = (
            "SELECT a.page, a.other, a.cosine FROM batch CROSS JOIN near a ON {} = node "
            "CROSS JOIN near b ON b.page = a.other AND b.other = a.page WHERE a.page < a.other"
        )
        for page, other, cosine in self._both(near, "a.page", "a.other"):
            yield Relation(label=NEAR, source_id=page, target_id=other, properties={"cosine": round(cosine, 4)})
        yield from self._links()

    def _links(self) -> Iterator[Relation]:
        query = (
            "SELECT l.source, l.label, l.target, l.properties, p.id FROM (SELECT links.* FROM batch CROSS JOIN links "
            "ON source = node UNION SELECT links.* FROM batch CROSS JOIN links ON target = node) l "
            "JOIN pages p ON p.id = l.page WHERE SHOWN(l.source) AND SHOWN(l.target) "
            "ORDER BY l.source, l.label, l.target, p.source, p.number"
        )
        last: Relation | None = None
        for source, label, target, properties, page in self._db.execute(_filled(query)):
            if last is not None and (last.source_id, last.label, last.target_id) == (source, label, target):
                last.properties["page_ids"].append(page)
                continue
            if last is not None:
                yield last
            said = {**json.loads(properties), "page_id": page, "page_ids": [page]}
            last = Relation(label=label, source_id=source, target_id=target, properties=said)
        if last is not None:
            yield last

    def _both(self, query: str, one: str, other: str) -> Iterator[Any]:
        """Rows found by one column or by the other, each once: two look-ups in indexes, where an OR would be a scan.

        The batch stands first in a CROSS JOIN, whose order SQLite keeps: it takes a small temporary table for a large
        one, and would read all mentions for each batch.
        """
        return iter(self._db.execute(_filled(f"{query.format(one)} UNION {query.format(other)}")))

    def _column(self, query: str) -> list[str]:
        return [row[0] for row in self._db.execute(query)]


def remove_nodes(store: PropertyGraphStore, ids: Iterable[str]) -> None:
    """Delete nodes with their relations, and no other node: some stores take the other ends with them."""
    doomed = set(ids)
    if not doomed:
        return
    listed = sorted(doomed)
    ends = {node.id: node for one, _, other in store.get_triplets(ids=listed) for node in (one, other)}
    store.delete(ids=listed)
    store.upsert_nodes([node for id_, node in ends.items() if id_ not in doomed])


def _filled(query: str) -> str:
    """A query with `SHOWN(column)` written out: a look-up for each row, where an IN would first list all nodes."""
    there = (
        r"(EXISTS (SELECT 1 FROM written WHERE written.node = \1) "
        r"AND NOT EXISTS (SELECT 1 FROM gone WHERE gone.node = \1))"
    )
    return re.sub(r"SHOWN\(([\w.]+)\)", there, query)


def _commonest(counts: Counter[str]) -> str:
    """The most frequent; of equals the first in order."""
    return min(counts, key=lambda said: (-counts[said], said))


def _digest(*said: str) -> str:
    return hashlib.sha256("\x00".join(said).encode("utf-8", "surrogatepass")).hexdigest()
