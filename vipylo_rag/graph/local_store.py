"""The page graph without a server: LlamaIndex's simple store, made fast for neighbourhoods, exact in what it deletes,
and written to one file in one step."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from llama_index.core.graph_stores import SimplePropertyGraphStore
from llama_index.core.graph_stores.types import (
    ChunkNode,
    EntityNode,
    LabelledNode,
    LabelledPropertyGraph,
    Relation,
    Triplet,
)

from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.manifest import sync_folder

FORMAT = 1
REPAIR = "`vipylo graph build` makes it anew from what was read of the pages"

_Key = tuple[str, str, str]  # source, label, target


class _Graph(LabelledPropertyGraph):
    """The stock graph, whose relations are known by a text that no other relation can have: the stock's joins by "_",
    so that a WORKS_AT b and a WORKS AT_b are one."""

    def _get_relation_key(
        self,
        relation: Relation | None = None,
        subj_id: str | None = None,
        obj_id: str | None = None,
        rel_id: str | None = None,
    ) -> str:
        if relation:
            subj_id, rel_id, obj_id = relation.source_id, relation.label, relation.target_id
        return f"{subj_id}\x1e{rel_id}\x1e{obj_id}"


class LocalGraphStore(SimplePropertyGraphStore):
    """A `PropertyGraphStore` in memory, kept in a file.

    Differs from the stock one, which it can stand for: `get(ids=)` and `get_triplets(ids=)` cost what they give back;
    deleting a node deletes its relations and no other node; deleting by `relation_names` alone leaves the nodes; a
    relation that is upserted again gets its new properties. Embeddings are not written.
    """

    def __init__(self, graph: LabelledPropertyGraph | None = None) -> None:
        """An empty store, or one of a graph's nodes and relations."""
        super().__init__(_Graph())
        self._touching: dict[str, set[_Key]] = {}
        if graph is not None:
            self.upsert_nodes(list(graph.nodes.values()))
            self.upsert_relations(list(graph.relations.values()))

    # Reading

    def get(self, properties: dict[str, Any] | None = None, ids: list[str] | None = None) -> list[LabelledNode]:
        """Nodes that have one of `ids` (None: all) and any of `properties`."""
        nodes = self.graph.nodes
        found: Iterable[LabelledNode]
        found = nodes.values() if not ids else (nodes[id_] for id_ in dict.fromkeys(ids) if id_ in nodes)
        return [node for node in found if not properties or _has_any(node.properties, properties)]

    def get_triplets(
        self,
        entity_names: list[str] | None = None,
        relation_names: list[str] | None = None,
        properties: dict[str, Any] | None = None,
        ids: list[str] | None = None,
    ) -> list[Triplet]:
        """Triplets that pass every condition given, in a fixed order; none without a condition."""
        if not (ids or properties or entity_names or relation_names):
            return []
        keys: Iterable[_Key] = self.graph.triplets
        if ids or entity_names:
            keys = self._keys_of([*(ids or ()), *(entity_names or ())])
        # `entity_names` and `ids` are the same thing to this store, and both must pass where both are given.
        wanted = [set(names) for names in (entity_names, ids) if names]
        found = []
        for key in sorted(keys):
            if relation_names and key[1] not in relation_names:
                continue
            if not all(key[0] in names or key[2] in names for names in wanted):
                continue
            triplet = self._triplet(key)
            if not properties or any(_has_any(part.properties, properties) for part in triplet):
                found.append(triplet)
        return found

    def nodes(self) -> Iterator[LabelledNode]:
        """All nodes."""
        return iter(self.graph.nodes.values())

    def relations(self) -> Iterator[Relation]:
        """All relations."""
        return iter(self.graph.relations.values())

    # Writing

    def upsert_nodes(self, nodes: Sequence[LabelledNode]) -> None:
        """Add nodes, or replace those of the same id."""
        for node in nodes:
            self.graph.nodes[node.id] = node

    def upsert_relations(self, relations: Sequence[Relation]) -> None:
        """Add relations, or replace those of the same ends and label. An end that is no node yet becomes an entity."""
        graph = self.graph
        for relation in relations:
            for end in (relation.source_id, relation.target_id):
                if end not in graph.nodes:
                    graph.nodes[end] = EntityNode(name=end)
            key = (relation.source_id, relation.label, relation.target_id)
            graph.triplets.add(key)
            graph.relations[graph._get_relation_key(relation)] = relation
            self._touching.setdefault(key[0], set()).add(key)
            self._touching.setdefault(key[2], set()).add(key)

    def delete(
        self,
        entity_names: list[str] | None = None,
        relation_names: list[str] | None = None,
        properties: dict[str, Any] | None = None,
        ids: list[str] | None = None,
    ) -> None:
        """Delete the nodes of `ids` and `entity_names` and those with any of `properties`, with all their relations.

        With `relation_names`, only relations of these names go: all of them, or those that touch these nodes.
        """
        nodes = {id_ for id_ in [*(ids or ()), *(entity_names or ())] if id_ in self.graph.nodes}
        if properties:
            nodes |= {node.id for node in self.get(properties=properties)}
        if relation_names:
            everywhere = not (ids or entity_names or properties)
            keys = self.graph.triplets if everywhere else self._keys_of(nodes)
            self._drop([key for key in keys if key[1] in relation_names])
            return
        self._drop(self._keys_of(nodes))
        for id_ in nodes:
            del self.graph.nodes[id_]

    def _drop(self, keys: Collection[_Key]) -> None:
        for key in list(keys):
            self.graph.triplets.discard(key)
            self.graph.relations.pop(self.graph._get_relation_key(None, key[0], key[2], key[1]), None)
            for end in (key[0], key[2]):
                left = self._touching.get(end)
                if left is not None:
                    left.discard(key)
                    if not left:
                        del self._touching[end]

    def _keys_of(self, ids: Iterable[str]) -> set[_Key]:
        return set().union(*(self._touching.get(id_, ()) for id_ in ids))

    def _triplet(self, key: _Key) -> Triplet:
        graph = self.graph
        relation = graph.relations[graph._get_relation_key(None, key[0], key[2], key[1])]
        return graph.nodes[key[0]], relation, graph.nodes[key[2]]

    # The file

    def persist(self, persist_path: str | Path, fs: Any = None) -> None:
        """Write the graph to a file, all or nothing (on another file system than the local one: as that writes)."""
        if fs is not None:
            with fs.open(str(persist_path), "w", encoding="utf-8") as file:
                file.writelines(self._lines())
            return
        path = Path(persist_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.part")
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(self._lines())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)

    def _lines(self) -> Iterator[str]:
        """One JSON object, a node or relation a line, in a fixed order: equal graphs are equal files."""
        graph = self.graph
        yield f'{{"format": {FORMAT}, "nodes": [\n'
        yield from _separated(_json(_node_json(graph.nodes[id_])) for id_ in sorted(graph.nodes))
        yield '\n], "relations": [\n'
        triplets = (self._triplet(key)[1] for key in sorted(graph.triplets))
        yield from _separated(_json([r.source_id, r.label, r.target_id, r.properties]) for r in triplets)
        yield "\n]}\n"

    @classmethod
    def from_persist_path(cls, persist_path: str | Path, fs: Any = None) -> Self:
        """The graph of a file.

        Raises:
            IndexDirectoryError: it is missing or damaged, or another version wrote it.
        """
        try:
            if fs is not None:
                with fs.open(str(persist_path), "r", encoding="utf-8") as file:
                    content = json.load(file)
            else:
                content = json.loads(Path(persist_path).read_bytes())
            return cls.from_dict(content)
        except FileNotFoundError as error:
            raise IndexDirectoryError(f"{persist_path} is missing: {REPAIR}") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise IndexDirectoryError(f"{persist_path} is damaged: {REPAIR}") from error

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The graph of a file's content; the stock store guesses what a node is from its keys, this one knows.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        if data["format"] != FORMAT:
            raise ValueError(f"a graph of format {data['format']}")
        store = cls()
        store.upsert_nodes([_node(said) for said in data["nodes"]])
        nodes = store.graph.nodes
        for source, label, target, properties in data["relations"]:
            if source not in nodes or target not in nodes:
                raise ValueError(f"a relation {label} without its ends")
            relation = Relation(source_id=source, label=label, target_id=target, properties=properties)
            store.upsert_relations([relation])
        return store

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` takes."""
        content: dict[str, Any] = json.loads("".join(self._lines()))
        return content


def _has_any(held: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return any(held.get(name) == value for name, value in wanted.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _separated(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f",\n{line}" if number else line


def _node_json(node: LabelledNode) -> dict[str, Any]:
    said: dict[str, Any] = {"label": node.label, "properties": node.properties}
    if isinstance(node, EntityNode):
        return {"entity": node.name, **said}
    return {"chunk": node.id, "text": getattr(node, "text", ""), **said}


def _node(said: dict[str, Any]) -> LabelledNode:
    if "entity" in said:
        return EntityNode(name=said["entity"], label=said["label"], properties=said["properties"])
    return ChunkNode(id_=said["chunk"], text=said["text"], label=said["label"], properties=said["properties"])
