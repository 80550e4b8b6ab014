"""What a graph holds, so that two graphs can be compared, and pages made without a model."""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.graph_stores.types import PropertyGraphStore

from connectors.page import page_id
from connectors.payload import page_payload
from connectors.stores.protocol import Point, VectorStore
from embedder.protocol import EncodedRows, Sample
from vipylo_rag.graph.projection import RECURS

DIM = 16
assert RECURS == 2


class HashEmbedder:
    """Gives equal samples equal unit vectors, at once. Texts that hold "unembeddable" are refused."""

    name = "hash"
    dim = DIM
    max_tokens = 512
    fingerprint = "f" * 64

    def encode(self, text: Any = None, images: Any = None, *, batch_size: int = 32, **options: Any) -> Any:
        raise NotImplementedError

    def encode_rows(self, samples: Any, *, batch_size: int = 32) -> EncodedRows:
        vectors = np.stack([unit(_said(sample)) for sample in samples])
        errors: dict[int, Exception] = {
            row: ValueError("too odd") for row, sample in enumerate(samples) if "unembeddable" in sample.text
        }
        vectors[list(errors)] = np.nan
        return EncodedRows(vectors, errors)


def _said(sample: Sample) -> str:
    return sample.text + "".join(image.tobytes().hex()[:64] for image in sample.images)


def unit(seed: str) -> Any:
    """A unit vector of a text. Texts of the same first letter are near each other."""
    own = np.random.default_rng(uuid.uuid5(uuid.NAMESPACE_OID, seed).int % 2**32).normal(size=DIM)
    shared = np.random.default_rng(ord(seed[0]) if seed else 0).normal(size=DIM)
    vector = shared + 0.8 * own
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def put_page(store: VectorStore, source: str, number: int, text: str, tenant: str = "") -> None:
    """Store a page without a picture, whose vector follows from its text."""
    payload = page_payload(
        source=source,
        number=number,
        kind="text",
        text=text,
        content_sha256=uuid.uuid5(uuid.NAMESPACE_OID, text).hex,
        tenant=tenant,
    )
    store.upsert([Point(page_id(source, number, tenant), unit(text), text, payload)])


def content(store: PropertyGraphStore) -> tuple[dict[str, Any], dict[tuple[str, str, str], Any]]:
    """All nodes and relations of a store, by what any store must tell."""
    nodes = {node.id: node for node in store.get()}
    said = {id_: (type(node).__name__, node.label, node.properties) for id_, node in nodes.items()}
    relations = {}
    for triplet in store.get_triplets(ids=list(nodes)) if nodes else []:
        relation = triplet[1]
        relations[relation.source_id, relation.label, relation.target_id] = relation.properties
    return said, relations


def vector_content(vectors: VectorStore) -> dict[str, Any]:
    """The vectors of a graph by node, with their payloads."""
    return {
        point.payload["node"]: (dict(point.payload), np.round(point.vector, 5).tolist())
        for point in vectors.scroll(with_vectors=True)
        if point.vector is not None
    }


def assert_same(mine: tuple[Any, Any], theirs: tuple[Any, Any]) -> None:
    """Two graphs, each as `content` and `vector_content`, are equal, but for the last digits of what was computed."""
    (nodes, relations), vectors = mine
    (other_nodes, other_relations), other_vectors = theirs
    assert nodes == other_nodes
    assert relations.keys() == other_relations.keys()
    for key, said in relations.items():
        others = dict(other_relations[key])
        assert abs(said.get("cosine", 0) - others.pop("cosine", 0)) < 2e-4, key
        assert {name: value for name, value in said.items() if name != "cosine"} == others, key
    assert vectors.keys() == other_vectors.keys()
    for node, (payload, vector) in vectors.items():
        assert payload == other_vectors[node][0]
        assert np.abs(np.subtract(vector, other_vectors[node][1])).max() < 1e-4, node


def file_text(folder: Path) -> bytes:
    """Everything in the files of a graph that are ours, the engine's own apart."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file())
