"""The arithmetic of docs/scaling.md, and that the document holds what it gives."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scaling() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "scaling.py"))


def test_document_holds_its_tables(scaling: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    scaling["main"]([])
    pages, plans = capsys.readouterr().out.strip().split("\n\n")
    assert pages in DOCUMENT
    assert plans in DOCUMENT


def test_document_names_the_assumptions_it_uses(scaling: dict[str, Any]) -> None:
    given = scaling["Assumptions"]()
    text = " ".join(DOCUMENT.split())
    assert f"assumes {given.pages_per_second:.0f} pages per second" in text
    assert f"of {given.node_ram / 1e9:.0f} GB memory and {given.node_disk / 1e12:.0f} TB" in text
    assert f"a GPU hour {given.gpu_hour:.2f}, a node {given.node_month:.0f} a month" in text
    assert f"{given.object_gb_month} a month" in text
    assert f"x {given.memory_headroom} for" in text
    assert f"x {given.disk_headroom}, as" in text


def test_vectors_are_counted_from_their_dimension(scaling: dict[str, Any]) -> None:
    each = scaling["PageBytes"](dim=512)
    assert (each.vector, each.quantized("int8"), each.quantized("binary"), each.quantized("none")) == (2048, 516, 72, 0)


def test_needs_of_a_plan_done_by_hand(scaling: dict[str, Any]) -> None:
    each = scaling["PageBytes"](
        dim=8, links=10, lookup=20, lexical_index=30, lexical_stored=40, payload=50, picture=1000, words=500
    )
    given = scaling["Assumptions"](
        pages_per_second=2,
        gpu_hour=3,
        node_ram=1000,
        node_disk=10**9,
        node_month=7,
        object_gb_month=0,
        memory_headroom=2,
        disk_headroom=3,
        index_core_seconds=36,
    )
    found = scaling["needs"](scaling["Plan"](100), each, given)
    assert found.memory == found.memory_one == 100 * (32 + 10 + 20 + 30) * 2
    assert found.disk == 100 * (32 + 10 + 20 + 30 + 40 + 50) * 3
    assert found.assets == 150_000
    assert found.gpu_hours == pytest.approx(100 / 2 / 3600)
    assert found.index_core_hours == 1
    assert found.nodes == 19  # 18,400 bytes
    assert (found.ingest_usd, found.month_usd) == (pytest.approx(found.gpu_hours * 3), 19 * 7)
    small = scaling["needs"](scaling["Plan"](100, "int8", on_disk=True, replicas=2), each, given)
    assert small.memory_one == 100 * (12 + 10 + 20) * 2
    assert small.memory == 2 * small.memory_one
    assert small.disk == 2 * 100 * (32 + 12 + 10 + 20 + 30 + 40 + 50) * 3
    assert small.index_core_hours == 2


def test_copies_need_three_nodes(scaling: dict[str, Any]) -> None:
    for replicas, nodes in ((1, 1), (2, 3), (3, 3), (5, 5)):
        assert scaling["needs"](scaling["Plan"](1000, replicas=replicas)).nodes == nodes


def test_one_plan_with_ones_own_figures(scaling: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    scaling["main"](["--pages", "3600000", "--pages-per-second", "100", "--gpu-hour", "2"])
    [row] = capsys.readouterr().out.strip().splitlines()[2:]
    assert re.match(r"\| 3,600,000 \| full \| 1 \| .* \| 10 \| [\d.]+ \| 1 \| 20 \|", row)


def test_document_tells_the_oversampling_that_is_shipped() -> None:
    from connectors.stores.quantization import oversampling

    for kind, name in (("int8", "int8, as shipped"), ("binary", "binary, 8-bit query, as shipped")):
        times = oversampling(kind, 10)  # type: ignore[arg-type]
        assert times is not None
        assert f"| **{name}** | **{10 * times:.0f}** |" in DOCUMENT
