"""At the edges: empty documents, rerankers and documents of many pages, other tenants, others' files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from embedder.errors import InputError
from tests.vipylo_rag.evaluate.conftest import Vipylo, WriteDataset, write_lines
from vipylo_rag import MultimodalIndex
from vipylo_rag.evaluate import Dataset, Earlier, evaluate
from vipylo_rag.search import Hit

CORPUS = [{"_id": "d1", "text": "[1 0]"}, {"_id": "d2", "text": "[0 1]"}]
QUERIES = [{"_id": "q1", "text": "[1 0]"}, {"_id": "q2", "text": "[0 1]"}]
QRELS = [("q1", "d1", 1), ("q2", "d2", 1)]


@pytest.fixture
def folder(write_dataset: WriteDataset) -> Path:
    return write_dataset(CORPUS, QUERIES, QRELS)


def test_empty_documents_are_never_found(
    write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path
) -> None:
    """Public data sets hold some. A right one among them counts as missing: recall 1/2, nDCG 1 / (1 + 1/log2(3))."""
    empty = [{"_id": "e1", "title": "", "text": ""}, {"_id": "e2", "text": "  ", "images": []}]
    folder = write_dataset([*CORPUS, *empty], QUERIES, [*QRELS, ("q1", "e1", 1)])
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    command = ["evaluate", folder, "--embedder", prescribed, "--mode", "dense", "-k", 10]
    code, told, _ = vipylo(*command, "--json", out, "--html", page)
    assert code == 0 and "2 documents without text and picture: never found" in told
    rows = {row["query"]: row for row in json.loads(out.read_text())["queries"]}
    assert rows["q1"]["metrics"] == pytest.approx({"ndcg@10": 0.6131471927654584, "recall@10": 0.5, "mrr@10": 1.0})
    assert [one["id"] for one in rows["q1"]["found"]] == ["d1", "d2"] and "e1" in page.read_text()


def test_an_empty_query_and_a_corpus_of_nothing_are_errors(folder: Path) -> None:
    write_lines(folder / "queries.jsonl", [*QUERIES, {"_id": "q3", "text": " "}])
    with pytest.raises(InputError, match=r"queries\.jsonl:3: 'q3' is empty"):
        Dataset.load(folder)
    write_lines(folder / "corpus.jsonl", [{"_id": "d1"}, {"_id": "d2", "text": ""}])
    with pytest.raises(InputError, match="no document has a text or a picture"):
        Dataset.load(folder)


def test_large_grades_are_whole_numbers_to_trec_eval(
    write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path
) -> None:
    qrels = [("q1", "d1", 1234567), ("q1", "d2", 0.5), ("q2", "d2", -1), ("q2", "d1", 2)]
    folder = write_dataset(CORPUS, QUERIES, qrels)
    assert vipylo("evaluate", folder, "--embedder", prescribed, "--mode", "dense", "--run-out", tmp_path / "r")[0] == 0
    lines = (tmp_path / "r" / "qrels.txt").read_text().splitlines()
    assert lines == ["q1 0 d1 1234567", "q1 0 d2 0.5", "q2 0 d2 -1", "q2 0 d1 2"]


def test_a_corpus_is_linked_when_mode_graph_is_asked_for(
    write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path
) -> None:
    """The answer is a page that only a code leads to; the graph is brought up to date with the corpus."""
    corpus = [
        {"_id": "d1", "text": "[1 0 0] The pump at Hill Road leaks, job WO-2041."},
        {"_id": "d2", "text": "[0 0 1] Bearing changed: WO-2041."},
        *({"_id": f"x{n}", "text": f"[0 1 0.0{n}] Notes {n}."} for n in range(1, 8)),
    ]
    folder = write_dataset(corpus, [{"_id": "q1", "text": "[1 0.1 0] pump leaks"}], [("q1", "d2", 1)])
    command = ["evaluate", folder, "--embedder", prescribed, "--work", tmp_path / "w", "--json", tmp_path / "out.json"]
    for answers in ("d2", "d3"):
        if answers == "d3":  # a corpus that grows, in the same folder
            write_lines(folder / "corpus.jsonl", [*corpus, {"_id": "d3", "text": "[0 0 1] Job WO-2041 was paid."}])
            (folder / "qrels" / "test.tsv").write_text("q1\td3\t1\n")
        code, told, _ = vipylo(*command, "--mode", "dense", "--mode", "graph")
        assert code == 0 and "graph" in told
        rows = {row["mode"]: row["right"] for row in json.loads((tmp_path / "out.json").read_text())["queries"]}
        assert [one["id"] for one in rows["graph"]] == [answers]
        assert rows["graph"][0]["rank"] <= 3 < rows["dense"][0]["rank"]


def test_nothing_of_others_is_overwritten(folder: Path, vipylo: Vipylo, prescribed: str, tmp_path: Path) -> None:
    command = ["evaluate", folder, "--embedder", prescribed, "--mode", "dense"]
    queries, out, page = folder / "queries.jsonl", tmp_path / "out.json", tmp_path / "out.html"
    before = queries.read_bytes()
    for option in ("--json", "--html"):
        code, _, told = vipylo(*command, option, queries)
        assert (code, queries.read_bytes()) == (2, before)
        assert told == f"error: {queries} is there and is no such result of `vipylo evaluate`: choose another file\n"
    assert vipylo(*command, "--json", out, "--html", out)[0] == 2 and not out.exists()
    for _ in range(2):  # what an earlier evaluation wrote is replaced
        assert vipylo(*command, "--json", out, "--html", page)[0] == 0
    assert vipylo(*command, "--json", page)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "bm25"], "mode='bm25' is none of hybrid, dense, lexical, graph"),
        (["--run-out", "FILE"], "is a file, and the rankings go to a folder"),
        (["--json", "FOLDER"], "is there and is no such result"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_embedded(
    folder: Path, vipylo: Vipylo, prescribed: str, tmp_path: Path, arguments: list[str], said: str
) -> None:
    places = {"FILE": str(folder / "queries.jsonl"), "FOLDER": str(folder)}
    asked = [places.get(one, one) for one in arguments]
    code, _, told = vipylo("evaluate", folder, "--embedder", prescribed, "--work", tmp_path / "w", *asked)
    assert code == 2 and said in told and told.count("\n") == 1
    assert not (tmp_path / "w").exists()


def test_a_result_that_was_tampered_with_is_none(tmp_path: Path) -> None:
    right = {"id": "d1", "grade": 1.0, "rank": 10**400}
    said = {"format": "vipylo-evaluation/1", "measured": {"depth": 100}}
    file = tmp_path / "old.json"
    for rank in (10**400, 101, 0, True):
        rows = [{"mode": "dense", "query": "q1", "right": [{**right, "rank": rank}]}]
        file.write_text(json.dumps({**said, "queries": rows}))
        with pytest.raises(InputError, match="is no result that"):
            Earlier.read(file)


@pytest.fixture(scope="module")
def long_and_short(tmp_path_factory: pytest.TempPathFactory, prescribed: str) -> Iterator[MultimodalIndex]:
    """One text of many pages about [1 0], and nine short ones about [0 1]; to another tenant, the long one alone."""
    folder = tmp_path_factory.mktemp("long_and_short")
    documents = folder / "documents"
    documents.mkdir()
    (documents / "long.txt").write_text("\n\n".join(f"[1 0.{number:02}] " + "x " * 1500 for number in range(24)))
    for number in range(9):
        (documents / f"s{number}.txt").write_text(f"[0.{number} 1]")
    with MultimodalIndex.open(folder / "index", embedder=prescribed) as index:
        index.ingest(documents)
        index.ingest(documents / "long.txt", tenant="other")
        yield index


class Asked:
    """Keeps how many hits a reranker is given at a time."""

    def __init__(self) -> None:
        self.given: list[int] = []

    def __call__(self, hits: Sequence[Hit]) -> list[Hit]:
        self.given.append(len(hits))
        return list(hits)


def test_a_reranker_is_given_what_is_told(long_and_short: MultimodalIndex, write_dataset: WriteDataset) -> None:
    """By documents, too: a ranking of documents comes from the pages that the reranker was given, as users see it."""
    index = long_and_short
    dataset = Dataset.load(write_dataset(None, [{"_id": "q", "text": "[1 0]"}], [("q", "s1.txt", 1)]), corpus=False)
    assert len(index.pages({"name": "long.txt"})) > 12
    plain = evaluate(index, dataset, modes=["dense"], ks=[5])
    assert [len(one.found) for one in plain.results] == [5] and plain.measured.candidates is None
    asked = Asked()
    result = evaluate(index, dataset, modes=["dense"], ks=[5], rerank=asked, candidates=8)
    assert asked.given == [8] and result.measured.candidates == 8
    assert [[one.id for one in each.found] for each in result.results] == [["long.txt"]]
    with pytest.raises(InputError, match="vipylo graph build"):
        evaluate(index, dataset, modes=["graph"])


def test_other_tenants_pages_make_no_ranking_deeper(
    long_and_short: MultimodalIndex, write_dataset: WriteDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = long_and_short
    pages = len(index.pages(tenant="other"))
    dataset = Dataset.load(write_dataset(None, [{"_id": "q", "text": "[1 0]"}], [("q", "long.txt", 1)]), corpus=False)
    deep: list[int] = []
    search = index.store.search

    def watched(*given: Any, **options: Any) -> Any:
        deep.append(options["top_k"])
        return search(*given, **options)

    monkeypatch.setattr(index.store, "search", watched)
    result = evaluate(index, dataset, modes=["dense"], ks=[1], tenant="other")
    assert deep == [pages] and index.store.count() == 2 * pages + 9
    assert result.mean("recall@1") == 1.0


def test_the_command_searches_one_tenants_pages_of_an_index(
    write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path
) -> None:
    """The other tenant's page is the better one, of the same name: found, it would take the first place."""
    for tenant, text in (("ann", "[0.6 0.8]"), ("bob", "[1 0]")):
        (tmp_path / tenant).mkdir()
        (tmp_path / tenant / "note.txt").write_text(text)
        (tmp_path / tenant / "other.txt").write_text("[0.8 0.6]")
    with MultimodalIndex.open(tmp_path / "index", embedder=prescribed) as index:
        for tenant in ("ann", "bob"):
            index.ingest(tmp_path / tenant, tenant=tenant)
    folder = write_dataset(None, [{"_id": "q", "text": "[1 0]"}], [("q", "note.txt#1", 1)])
    command = ["evaluate", folder, "--index", tmp_path / "index", "--embedder", prescribed, "--mode", "dense"]
    for tenant, ndcg in (("ann", ".631"), ("bob", "1.000")):
        out = tmp_path / f"{tenant}.json"
        code, told, _ = vipylo(*command, "--tenant", tenant, "--json", out)
        assert code == 0 and f" {ndcg} " in told and "1 query, 2 documents" in told
        found = json.loads(out.read_text())["queries"][0]["found"]
        assert [one["id"].rsplit("/", 1)[-1] for one in found] == (
            ["other.txt#1", "note.txt#1"] if tenant == "ann" else ["note.txt#1", "other.txt#1"]
        )
    code, _, told = vipylo(*command, "--tenant", "nobody")
    assert code == 2 and "the index has no document 'note.txt#1'" in told
