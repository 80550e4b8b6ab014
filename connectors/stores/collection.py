"""A collection on a Qdrant server: made with our vectors and indexes, and known again."""

import warnings
from collections.abc import Iterable
from typing import Any

from connectors.errors import StoreError
from connectors.stores.options import Quantization, StoreOptions
from connectors.stores.points import DENSE, INDEXED_FIELDS, SPARSE
from connectors.stores.qdrant_filter import json_path


def create_collection(client: Any, collection: str, dim: int, options: StoreOptions) -> None:
    """Make it; if another process (or this one's lost request) made it meanwhile, that is as good."""
    from qdrant_client import models
    from qdrant_client.http.exceptions import UnexpectedResponse

    dense = models.VectorParams(
        size=dim,
        distance=models.Distance.COSINE,
        on_disk=options.on_disk,
        quantization_config=_quantization(options.quantization),
    )
    sparse = models.SparseVectorParams(
        modifier=models.Modifier.IDF, index=models.SparseIndexParams(on_disk=options.on_disk)
    )
    try:
        client.create_collection(
            collection,
            vectors_config={DENSE: dense},
            sparse_vectors_config={SPARSE: sparse},
            shard_number=options.shards,
            replication_factor=options.replicas,
            write_consistency_factor=options.write_consistency,
        )
    except UnexpectedResponse:
        if not client.collection_exists(collection):
            raise


def create_indexes(client: Any, collection: str, fields: Iterable[str]) -> None:
    """Apart from the collection's creation, after which a process may have died."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Payload indexes have no effect in the local Qdrant")
        for field in sorted(fields):
            schema = _index(INDEXED_FIELDS[field])
            client.create_payload_index(collection, json_path(field), field_schema=schema, wait=True)


def check_collection(params: Any, dim: int, said: str) -> None:
    """Refuse a collection that is not ours or holds other vectors; `said` is how the error calls it.

    Raises:
        StoreError: it is one of these.
    """
    dense = params.vectors.get(DENSE) if isinstance(params.vectors, dict) else None
    if dense is None or SPARSE not in (params.sparse_vectors or {}):
        raise StoreError(
            f"{said} was not made by this package (it has no {DENSE!r} and {SPARSE!r} vectors); choose another "
            "collection name"
        )
    if dense.size != dim:
        raise StoreError(
            f"{said} holds {dense.size}-d vectors, {dim}-d were asked for; choose another collection name, or the "
            "embedder that made it"
        )


def options_of(params: Any) -> StoreOptions:
    """What a (checked) collection was made with."""
    dense = params.vectors[DENSE]
    replicas = params.replication_factor or 1
    return StoreOptions(
        quantization=_kind(dense.quantization_config),
        on_disk=bool(dense.on_disk),
        shards=params.shard_number,
        replicas=replicas,
        write_consistency=min(params.write_consistency_factor or 1, replicas),
    )


def _quantization(kind: Quantization) -> Any:
    from qdrant_client import models

    if kind == "int8":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if kind == "binary":  # an 8-bit query over 1-bit vectors: recall .83 where 1 bit on both sides gives .67
        encoding = models.BinaryQuantizationQueryEncoding.SCALAR8BITS
        return models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(always_ram=True, query_encoding=encoding)
        )
    return None


def _kind(quantization: Any) -> Quantization:
    if hasattr(quantization, "scalar"):
        return "int8"
    return "binary" if hasattr(quantization, "binary") else "none"


def _index(kind: str) -> Any:
    from qdrant_client import models

    if kind == "integer":
        return models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=True)
    return models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=kind == "tenant")
