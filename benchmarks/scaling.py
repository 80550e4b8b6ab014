"""How much memory, disk, time and money do so many pages take? The arithmetic behind docs/scaling.md.

    python benchmarks/scaling.py                                           # the document's tables
    python benchmarks/scaling.py --pages 50000000 --quantization int8 --on-disk --replicas 2 --pages-per-second 25

Bytes per page are measured or counted (the document says how); prices, node sizes and pages per second of a GPU are
assumptions: give your own.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

GB = 10**9


@dataclass(frozen=True)
class PageBytes:
    """Bytes of one page in each part of an index."""

    dim: int = 1024
    # Of the graph: 32 neighbours of 4 bytes on its lowest level, 1/16 of the points on higher ones. Compressed: 49.
    links: int = 140
    # Ids, versions and the payload indexes on source, kind, tenant and page.
    lookup: int = 230
    # 444 different tokens (words and pairs of words) of 5.9 bytes in the inverted index and 8 in the stored vector.
    lexical_index: int = 2640
    lexical_stored: int = 3560
    # Text and metadata of a full A4 page, before the engine's compression (half of it).
    payload: int = 3000
    picture: int = 297_000
    words: int = 15_500

    @property
    def vector(self) -> int:
        return 4 * self.dim

    def quantized(self, kind: str) -> int:
        """The small copy that search reads first."""
        return {"none": 0, "int8": self.dim + 4, "binary": self.dim // 8 + 8}[kind]


@dataclass(frozen=True)
class Assumptions:
    """What differs from place to place. None of these is measured."""

    pages_per_second: float = 10.0  # of one GPU
    gpu_hour: float = 2.5  # USD
    node_ram: float = 128 * GB
    node_disk: float = 4000 * GB
    node_month: float = 600.0  # USD
    object_gb_month: float = 0.023  # USD, page pictures
    memory_headroom: float = 1.3  # segments being rebuilt, caches, the server itself
    disk_headroom: float = 1.5  # an optimizer writes a segment's successor before it drops the segment
    index_core_seconds: float = 0.0012  # measured at 100,000 points; grows with the logarithm


@dataclass(frozen=True)
class Plan:
    """An index to be: how many pages, and the store options."""

    pages: int
    quantization: Literal["none", "int8", "binary"] = "none"
    on_disk: bool = False
    replicas: int = 1


@dataclass(frozen=True)
class Needs:
    """What a plan takes. Bytes of all copies together, except where it says one."""

    memory_one: float
    memory: float
    disk: float
    assets: float
    gpu_hours: float
    index_core_hours: float
    nodes: int
    ingest_usd: float
    month_usd: float


def needs(plan: Plan, each: PageBytes | None = None, given: Assumptions | None = None) -> Needs:
    """The arithmetic, in the order of the document."""
    each, given = each or PageBytes(), given or Assumptions()
    quantized = each.quantized(plan.quantization)
    memory_page = each.links + each.lookup + quantized
    if not plan.on_disk:
        memory_page += each.vector + each.lexical_index
    disk_page = (
        each.vector + quantized + each.links + each.lookup + each.lexical_index + each.lexical_stored + each.payload
    )
    memory_one = plan.pages * memory_page * given.memory_headroom
    memory = memory_one * plan.replicas
    disk = plan.pages * disk_page * given.disk_headroom * plan.replicas
    assets = float(plan.pages * (each.picture + each.words))
    gpu_hours = plan.pages / given.pages_per_second / 3600
    least = 1 if plan.replicas == 1 else max(3, plan.replicas)  # fewer cannot go on when one is lost
    nodes = max(least, math.ceil(memory / given.node_ram), math.ceil(disk / given.node_disk))
    return Needs(
        memory_one=memory_one,
        memory=memory,
        disk=disk,
        assets=assets,
        gpu_hours=gpu_hours,
        index_core_hours=plan.pages * given.index_core_seconds / 3600 * plan.replicas,
        nodes=nodes,
        ingest_usd=gpu_hours * given.gpu_hour,
        month_usd=nodes * given.node_month + assets / GB * given.object_gb_month,
    )


PLANS = [
    Plan(100_000),
    Plan(10_000_000),
    Plan(10_000_000, "int8", on_disk=True, replicas=2),
    Plan(10_000_000, "binary", on_disk=True, replicas=2),
    Plan(1_000_000_000, "int8", on_disk=True, replicas=2),
    Plan(1_000_000_000, "binary", on_disk=True, replicas=2),
]


def per_page_table(each: PageBytes | None = None) -> str:
    """Bytes of one page, as a Markdown table."""
    each = each or PageBytes()
    rows = [
        ("vector, float32", each.vector, "memory, or disk with `--on-disk`"),
        ("vector, int8 copy", each.quantized("int8"), "memory"),
        ("vector, binary copy", each.quantized("binary"), "memory"),
        ("graph links", each.links, "memory"),
        ("ids and payload indexes", each.lookup, "memory"),
        ("lexical index", each.lexical_index, "memory, or disk with `--on-disk`"),
        ("lexical vector, stored", each.lexical_stored, "disk"),
        ("payload (text, metadata)", each.payload, "disk"),
        ("page picture", each.picture, "assets"),
        ("word boxes", each.words, "assets"),
    ]
    lines = ["| part of a page | bytes | lies in |", "|---|---:|---|"]
    return "\n".join(lines + [f"| {part} | {size:,} | {place} |" for part, size, place in rows])


def plans_table(plans: Sequence[Plan], given: Assumptions | None = None) -> str:
    """What each plan takes, as a Markdown table."""
    lines = [
        "| pages | vectors | copies | memory a copy | memory | disk | assets | GPU hours | index core-hours | nodes | "
        "ingest USD | USD a month |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for plan in plans:
        found = needs(plan, given=given)
        vectors = f"{plan.quantization if plan.quantization != 'none' else 'full'}{', on disk' * plan.on_disk}"
        sizes = " | ".join(map(_bytes, (found.memory_one, found.memory, found.disk, found.assets)))
        lines.append(
            f"| {plan.pages:,} | {vectors} | {plan.replicas} | {sizes} | {found.gpu_hours:,.0f} | "
            f"{found.index_core_hours:,.1f} | {found.nodes} | {found.ingest_usd:,.0f} | {found.month_usd:,.0f} |"
        )
    return "\n".join(lines)


def _bytes(size: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size / 1e6:,.0f} MB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of the document, or one plan's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, help="one plan of so many pages; left out: the document's tables")
    parser.add_argument("--quantization", choices=["none", "int8", "binary"], default="none")
    parser.add_argument("--on-disk", action="store_true")
    parser.add_argument("--replicas", type=int, default=1)
    default = Assumptions()
    for name in Assumptions.__dataclass_fields__:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(default, name))
    asked = parser.parse_args(arguments)
    given = replace(default, **{name: getattr(asked, name) for name in Assumptions.__dataclass_fields__})
    if asked.pages is None:
        print(per_page_table(), plans_table(PLANS, given), sep="\n\n")
    else:
        print(plans_table([Plan(asked.pages, asked.quantization, asked.on_disk, asked.replicas)], given))


if __name__ == "__main__":
    main()
