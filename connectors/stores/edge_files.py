"""The directory of an embedded store: made whole or not at all, locked, described by its own files."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from connectors.errors import StoreError, StoreInUseError
from connectors.stores.options import Quantization, StoreOptions
from connectors.stores.points import DENSE, INDEXED_FIELDS, SPARSE

_CONFIG_FILE: Final = "edge_config.json"
_LOCK_FILE: Final = ".lock"


def engine() -> Any:
    """Qdrant Edge, imported when a store is first used."""
    import qdrant_edge

    return qdrant_edge


@contextmanager
def named(path: Path, action: str) -> Iterator[None]:
    """Turn the engine's bare exceptions into `StoreError`s that say what was done to which store."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # the engine raises bare `Exception`
        raise StoreError(f"{action} failed on the store at {path}: {error}") from error


def is_store(path: Path) -> bool:
    """Whether the directory holds a store (not whether that can be read)."""
    return (path / _CONFIG_FILE).is_file()


def create(path: Path, dim: int, options: StoreOptions) -> None:
    """Build an empty store beside `path` and move it there, so that a crash leaves no half-made store."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(f"{path} is not an empty directory and holds no store ({_CONFIG_FILE} is missing)")
    edge = engine()
    with named(path, "create"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            fresh = Path(scratch) / "store"
            shard = edge.EdgeShard.create(str(fresh), _config(dim, options))
            _create_indexes(shard)
            shard.flush()
            shard.close()
            if path.exists():
                path.rmdir()
            fresh.rename(path)


def _create_indexes(shard: Any) -> None:
    """Those that are missing: all in a new store, the newer ones in a store of an earlier version."""
    there = shard.info().payload_schema
    for field, kind in INDEXED_FIELDS.items():
        if field not in there:
            shard.update(engine().UpdateOperation.create_field_index(field, _index(kind)))


def check_one_piece(path: Path, options: StoreOptions) -> None:
    """Refuse what only a server can do.

    Raises:
        StoreError: the options ask for shards or copies.
    """
    if (options.shards or 1) > 1 or options.replicas > 1:
        raise StoreError(
            f"the store in the directory {path} is one piece on one machine: shards={options.shards} and "
            f"replicas={options.replicas} need a Qdrant server (http://…) in its place"
        )


def _config(dim: int, options: StoreOptions) -> Any:
    edge = engine()
    dense = edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Cosine,
        on_disk=options.on_disk,
        quantization_config=_quantization(options.quantization),
    )
    sparse = edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, on_disk=options.on_disk)
    return edge.EdgeConfig(vectors={DENSE: dense}, sparse_vectors={SPARSE: sparse})


def _quantization(kind: Quantization) -> Any:
    edge = engine()
    if kind == "int8":
        return edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, always_ram=True)
    if kind == "binary":  # an 8-bit query over 1-bit vectors: recall .83 where 1 bit on both sides gives .67
        encoding = edge.BinaryQuantizationQueryEncoding.Scalar8Bits
        return edge.BinaryQuantizationConfig(always_ram=True, query_encoding=encoding)
    return None


def _index(kind: str) -> Any:
    edge = engine()
    return edge.IntegerIndexParams() if kind == "integer" else edge.KeywordIndexParams(is_tenant=kind == "tenant")


def read_config(path: Path) -> tuple[int, StoreOptions]:
    """The vector length and the options that a store was made with.

    Raises:
        StoreError: the file is damaged, or describes a store that is not ours.
    """
    try:
        config = json.loads((path / _CONFIG_FILE).read_text())
        _ = config["sparse_vectors"][SPARSE]
        dense = config["vectors"][DENSE]
        held = dense.get("quantization_config") or {}
        kind: Quantization = "int8" if "scalar" in held else "binary" if "binary" in held else "none"
        return int(dense["size"]), StoreOptions(quantization=kind, on_disk=bool(dense.get("on_disk")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path / _CONFIG_FILE} does not describe a store of ours ({DENSE!r} and {SPARSE!r} vectors): {error!r}; "
            "restore a backup, or build the index again"
        ) from error


def hold(path: Path) -> FileLock:
    """Lock the directory before the engine touches it.

    The engine's own lock comes too late: loading a store that another process has open is refused, but only after it
    has reset that store's files (0.9.0), whose next flush then fails. The operating system frees this lock when a
    process dies.
    """
    lock = FileLock(path / _LOCK_FILE, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreInUseError(_in_use(path)) from error
    except OSError as error:
        raise StoreError(f"index at {path} cannot be locked: {error}; the directory must be writable") from error
    return lock


def _in_use(path: Path) -> str:
    return (
        f"index at {path} is open in another process (or twice in this one): if `vipylo serve` has it, use its page or "
        "HTTP; else close it there, or run a Qdrant server to share it"
    )


def load(path: Path) -> Any:
    """The open shard. Raises `StoreError`: it is open elsewhere, or damaged."""
    try:
        shard = engine().EdgeShard.load(str(path))
        _create_indexes(shard)
        return shard
    except Exception as error:  # the engine raises bare `Exception`
        if "WouldBlock" in str(error):  # opened past us, by the engine's own API
            raise StoreInUseError(_in_use(path)) from error
        raise StoreError(
            f"index at {path} cannot be read, its files may be damaged: {error}; restore a backup, or build the index "
            "again"
        ) from error


def copy_whole(source: Path, target: Path) -> None:
    """Copy to a hidden neighbour and rename: `target` is either complete or absent."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        copied = Path(shutil.copytree(source, Path(scratch) / "store", ignore=shutil.ignore_patterns(_LOCK_FILE)))
        copied.rename(target)
