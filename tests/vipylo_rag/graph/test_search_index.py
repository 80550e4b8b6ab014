"""Mode graph where people meet it: on an index of real documents, from Python and on the command line."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from tests.vipylo_rag.conftest import write_pdf
from vipylo_rag import Hit, MultimodalIndex
from vipylo_rag.cli import main
from vipylo_rag.cli.search import way
from vipylo_rag.graph.elements import PathStep
from vipylo_rag.query import SearchRequest

QUESTION = "dầu rò ở máy nén phía đông"
_TENANTS = ("", "ann")


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[MultimodalIndex]:
    """An incident and its repair, linked by a code, among incidents that are alike; of two tenants."""
    folder = tmp_path_factory.mktemp("linked")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        for tenant in _TENANTS:
            documents = folder / f"documents{tenant}"
            documents.mkdir()
            write_pdf(documents / "su-co.pdf", [f"Sự cố: {QUESTION}, lập phiếu SC-2041."])
            write_pdf(documents / "xuong.pdf", [f"Phiếu SC-2041. Thay gioăng {tenant or 'M16'}."])
            write_pdf(documents / "khac.pdf", [f"Sự cố: dầu rò ở bơm {n}, lập phiếu SC-30{n}." for n in range(10, 18)])
            index.ingest(documents, tenant=tenant)
            index.build_graph(tenant=tenant)
        yield index


def test_a_hit_by_way_of_a_code_says_so_and_can_be_explained(linked: MultimodalIndex) -> None:
    hits = linked.search(QUESTION, mode="graph", top_k=5)
    assert (hits[0].name, hits[0].path) == ("su-co.pdf", ())
    (repair,) = [hit for hit in hits if hit.name == "xuong.pdf"]
    assert [step.name for step in repair.path] == ["su-co.pdf, page 1", "SC-2041", "xuong.pdf, page 1"]
    assert repair.path[0].page_id == hits[0].id and repair.path[-1].page_id == repair.id
    assert way(repair.path) == "via SC-2041 (code) from su-co.pdf, page 1"
    assert repair.explain().words


def test_top_k_filters_rerank_and_several_at_once(linked: MultimodalIndex) -> None:
    everything = linked.search(QUESTION, mode="graph", top_k=50)
    assert len(everything) == 10 and [h.score for h in everything] == sorted(
        (h.score for h in everything), reverse=True
    )
    assert linked.search(QUESTION, mode="graph", top_k=2) == everything[:2]
    filtered = linked.search(QUESTION, mode="graph", where={"name": {"not": "su-co.pdf"}}, top_k=50)
    assert "su-co.pdf" not in str([(hit.name, hit.path) for hit in filtered]) and len(filtered) == 9

    def backwards(hits: list[Hit]) -> list[Hit]:
        return hits[::-1]

    assert linked.search(QUESTION, mode="graph", top_k=3, rerank=backwards) == everything[::-1][:3]
    first, wrong, image = linked.search_many(
        [
            SearchRequest(QUESTION, mode="graph", top_k=50),
            SearchRequest("", mode="graph"),
            SearchRequest(images=everything[0].image, mode="graph", top_k=1),
        ]
    )
    assert first == everything and isinstance(wrong, InputError)
    assert isinstance(image, list) and len(image) == 1


def test_an_answer_may_cite_what_the_graph_led_to(linked: MultimodalIndex) -> None:
    answer = linked.ask(QUESTION, mode="graph")
    assert "xuong.pdf" in [hit.name for hit in answer.pages]


def test_tenants_have_their_own_graphs(linked: MultimodalIndex) -> None:
    for tenant in _TENANTS:
        hits = linked.search(QUESTION, mode="graph", top_k=50, tenant=tenant)
        mine = {page.id for page in linked.pages(tenant=tenant)}
        assert {hit.id for hit in hits} == mine
        assert {step.page_id for hit in hits for step in hit.path} - {""} <= mine
        assert any(hit.path for hit in hits)
    assert {step.node for hit in linked.search(QUESTION, mode="graph", tenant="ann") for step in hit.path}.isdisjoint(
        step.node for hit in linked.search(QUESTION, mode="graph") for step in hit.path
    )
    assert linked.search(QUESTION, mode="graph", tenant="nobody") == []


def test_pages_that_came_or_went_after_the_graph_was_made(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    with MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder) as index:
        index.ingest(write_pdf(tmp_path / "su-co.pdf", [f"{QUESTION}, phiếu SC-2041"]))
        gone = write_pdf(tmp_path / "xuong.pdf", ["Phiếu SC-2041. Thay gioăng."])
        index.ingest(gone)
        index.build_graph()
        index.delete(gone)
        index.ingest(write_pdf(tmp_path / "moi.pdf", [f"{QUESTION}, lần thứ hai, phiếu SC-2041"]))
        assert {hit.name for hit in index.search(QUESTION, mode="graph")} == {"su-co.pdf", "moi.pdf"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([], ""),
        ([("page", "a.pdf, page 1", ""), ("page", "a.pdf, page 2", "NEXT")], "next to a.pdf, page 1"),
        ([("page", "a.pdf, page 1", ""), ("page", "b.pdf, page 2", "NEAR")], "alike: a.pdf, page 1"),
        ([("figure", "the pump", ""), ("page", "b.pdf, page 2", "HAS_FIGURE")], "via the pump (figure)"),
        (
            [
                ("page", "a.pdf, page 1", ""),
                ("code", "X-1\x1b[31m", "MENTIONS"),
                ("page", "b.pdf, page 1", "MENTIONS"),
                ("name", "Ann", "MENTIONS"),
                ("page", "c.pdf, page 1", "MENTIONS"),
            ],
            "via X-1 [31m (code), b.pdf, page 1, Ann (name) from a.pdf, page 1",
        ),
    ],
)
def test_paths_in_words(path: list[tuple[str, str, str]], said: str) -> None:
    steps = [PathStep(label, name, relation, "id") for label, name, relation in path]
    assert way(steps) == said


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; gives its exit code and what it printed on both streams."""
    monkeypatch.setenv("COLUMNS", "140")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vipylo", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


class TestCommand:
    def test_shows_the_path_in_the_table_and_in_json(
        self, graph_directory: Path, tiny_checkpoint: Path, told: Callable[..., tuple[int, str, str]]
    ) -> None:
        asked = ["search", "Phụ lục ký Nguyễn Văn Bình", "--mode", "graph", "-i", str(graph_directory)]
        asked += ["--embedder", str(tiny_checkpoint)]
        code, out, _ = told(*asked)
        assert code == 0 and "HD-2024-0193 (code) from contract.pdf, page 2" in out
        code, out, _ = told(*asked, "--json")
        rows = {(Path(row["source"]).name, row["page"]): row["path"] for row in json.loads(out)}
        assert rows["contract.pdf", 2] == []
        assert [step["name"] for step in rows["contract.pdf", 1]][-1] == "contract.pdf, page 1"
        code, out, _ = told(*asked[:2], "--json", *asked[4:])
        assert all(row["path"] == [] for row in json.loads(out))

    def test_says_how_to_make_the_graph_that_is_not_there(
        self, filled: MultimodalIndex, tiny_checkpoint: Path, told: Callable[..., tuple[int, str, str]]
    ) -> None:
        filled.close()
        where = ["-i", str(filled.directory), "--embedder", str(tiny_checkpoint)]
        code, out, error = told("search", "hợp đồng", "--mode", "graph", *where)
        assert (code, out) == (2, "") and len(error.splitlines()) == 1
        assert "there is no graph" in error and "vipylo graph build" in error
