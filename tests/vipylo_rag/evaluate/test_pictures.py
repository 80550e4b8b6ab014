"""Pictures on both sides, with a model: what each modality is searched with, the page that shows it, own indexes."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from tests.vipylo_rag.conftest import write_picture
from tests.vipylo_rag.evaluate.conftest import Vipylo, write_lines, write_qrels
from vipylo_rag import MultimodalIndex
from vipylo_rag.evaluate import Dataset, Earlier, Evaluation, corpus_index, evaluate, write_html
from vipylo_rag.search import Hit

EVIL = "</p><script>document.title='owned'</script><img src=x onerror=alert(1)>"
COLOURS = ["red", "green", "blue", "orange"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures with texts, one document of two pictures, one of text alone; a query of each modality."""
    made = tmp_path_factory.mktemp("evaluate") / "data <b>"
    made.mkdir()
    for colour in COLOURS:
        write_picture(made / f"{colour}.png", colour)
    corpus = [{"_id": f"d-{c}", "image": f"{c}.png", "text": f"{c} disc {EVIL}"} for c in COLOURS]
    corpus.append({"_id": "both", "images": ["red.png", "blue.png"], "text": "two discs"})
    corpus.append({"_id": EVIL, "title": "hợp đồng", "text": "thuê nhà ba năm"})
    queries = [
        {"_id": "by picture", "image": "green.png", "language": "none"},
        {"_id": "by both", "image": "red.png", "text": f"the same in blue {EVIL}"},
        {"_id": "by words", "text": "hợp đồng thuê nhà được ký trong bao lâu?"},
        {"_id": "??", "text": "???"},
    ]
    write_lines(made / "corpus.jsonl", corpus)
    write_lines(made / "queries.jsonl", queries)
    qrels = [("by picture", "d-green", 1), ("by both", "both", 2), ("by words", EVIL, 1), ("??", "d-red", 1)]
    write_qrels(made / "qrels" / "test.tsv", qrels)
    return made


@pytest.fixture(scope="module")
def opened(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder
) -> Iterator[tuple[Dataset, MultimodalIndex]]:
    dataset = Dataset.load(folder)
    told: list[tuple[str, int, int]] = []
    with corpus_index(
        dataset,
        embedder=tiny_embedder,
        work=tmp_path_factory.mktemp("work") / "w",
        progress=lambda *now: told.append(now),
    ) as index:
        assert told[-1] == ("embed", 6, 6)
        yield dataset, index


@pytest.fixture(scope="module")
def result(opened: tuple[Dataset, MultimodalIndex]) -> Evaluation:
    dataset, index = opened
    return evaluate(index, dataset)


def test_each_modality_is_searched_as_users_search(
    opened: tuple[Dataset, MultimodalIndex], result: Evaluation, folder: Path
) -> None:
    _, index = opened
    assert result.modes == ("hybrid", "dense", "lexical")
    assert [one.query for one in result.of("lexical")] == ["by both", "by words", "??"]
    of = {one.query: one for one in result.of("dense")}
    assert {query: (one.modality, one.language) for query, one in of.items()} == {
        "by picture": ("image", "none"),
        "by both": ("mixed", "en"),
        "by words": ("text", "vi"),
        "??": ("text", "en"),
    }
    for query, text in (("by picture", None), ("by both", f"the same in blue {EVIL}")):
        image = folder / ("green.png" if query == "by picture" else "red.png")
        hits = index.search(text, image, top_k=100, mode="dense")
        assert [one.id for one in of[query].found] == list(dict.fromkeys(hit.source for hit in hits))
        first = {hit.source: hit.id for hit in reversed(hits)}  # a document stands at its best page
        assert {one.id: one.page_id for one in of[query].found} == first
    assert len(index.pages({"source": "both"})) == 2 and result.measured.pages == 7
    assert {(group.by, group.value) for group in result.groups if group.mode == "dense"} == {
        ("all", ""), ("modality", "text"), ("modality", "image"), ("modality", "mixed"),
        ("language", "none"), ("language", "en"), ("language", "vi"),
    }  # fmt: skip


def test_a_query_without_words_finds_nothing_by_words_and_is_told(result: Evaluation) -> None:
    (one,) = [one for one in result.of("lexical") if one.query == "??"]
    assert one.found == () and one.first_rank is None and one.error is not None and "no words" in one.error
    assert set(one.metrics.values()) == {0.0}


def test_a_reranker_changes_the_order(opened: tuple[Dataset, MultimodalIndex]) -> None:
    dataset, index = opened

    def right_first(hits: list[Hit]) -> list[Hit]:
        return sorted(hits, key=lambda hit: hit.source != "d-green")

    found = evaluate(index, dataset, modes=["dense"], ks=[1], rerank=right_first)
    assert {one.query: one.metrics["recall@1"] for one in found.results}["by picture"] == 1.0
    assert all(one.found[0].id == "d-green" for one in found.results) and found.measured.candidates == 50


def test_the_work_folder_keeps_what_is_unchanged(
    folder: Path, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    data, work = shutil.copytree(folder, tmp_path / "data"), tmp_path / "work"
    counted: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(tiny_embedder, name)

        def encode_rows(self, samples: list[object], **options: object) -> object:
            counted.append(len(samples))
            return tiny_embedder.encode_rows(samples, **options)  # type: ignore[arg-type]

    def run() -> list[str]:
        counted.clear()
        with corpus_index(Dataset.load(data), embedder=Counting(), work=work) as index:  # type: ignore[arg-type]
            return sorted({point.payload["source"] for point in index.pages()})

    assert len(run()) == 6 and sum(counted) == 7
    assert len(run()) == 6 and sum(counted) == 0
    rows = [json.loads(line) for line in (data / "corpus.jsonl").read_text().splitlines()]
    rows[0]["text"], gone = "changed", rows.pop(3)["_id"]
    write_lines(data / "corpus.jsonl", rows)
    assert gone not in run() and sum(counted) == 1
    with pytest.raises(InputError, match="is no work folder"), corpus_index(Dataset.load(data), work=data):
        pass


def test_the_page_shows_pictures_and_runs_no_text(
    opened: tuple[Dataset, MultimodalIndex], result: Evaluation, tmp_path: Path
) -> None:
    dataset, index = opened
    bad = replace(
        result, results=tuple(replace(one, metrics={**one.metrics, "ndcg@10": 0.0}) for one in result.results)
    )
    bad = replace(bad, measured=replace(bad.measured, fingerprint="<b>'&"))
    file = tmp_path / "page.html"
    size = write_html(file, bad, dataset, index)
    page = file.read_text(encoding="utf-8")
    assert size == file.stat().st_size
    assert "<script" not in page and "<img" not in page and 'href="http' not in page
    assert "&lt;script&gt;document.title" in page and "<code>&lt;b&gt;&#x27;&amp;</code>" in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None and policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert not re.search(r'<[^>]+ style=|<[^>]+ on\w+="', page)
    keys = re.findall(r'<use href="#(p\d+)"', page)
    assert len(set(keys)) >= 5 and all(page.count(f'<image id="{key}"') == 1 for key in set(keys))
    small = tmp_path / "small.html"
    write_html(small, bad, dataset, index, picture_bytes=0)
    assert "data:image" not in small.read_text() and "picture left out" in small.read_text()
    write_html(small, bad, dataset, index, worst=0)
    assert small.read_text().count("<article>") == 0 < page.count("<article>") == 4

    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 390, "height": 800})
        wrong: list[str] = []
        shown.on("console", lambda message: wrong.append(message.text))
        shown.on("dialog", lambda dialog: wrong.append(dialog.message))
        shown.goto(file.as_uri())
        assert shown.title() == "Evaluation: data <b>" and not wrong
        assert shown.get_by_text("The worst queries").is_visible()
        shown.get_by_label("Tiếng Việt").check()
        assert shown.get_by_text("Các truy vấn kém nhất").is_visible()
        assert not shown.get_by_text("The worst queries").is_visible()
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390
        boxes = [box.bounding_box() for box in shown.locator("figure .picture").all()]
        assert boxes and all(box and box["width"] > 50 and box["height"] > 30 for box in boxes)
        browser.close()


def test_an_index_of_ones_own_documents(
    filled_directory: Path, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    data = tmp_path / "mine"
    write_lines(
        data / "queries.jsonl", [{"_id": "p", "text": "labour contract"}, {"_id": "d", "text": "labour contract"}]
    )
    write_qrels(data / "qrels.tsv", [("p", "doc1.pdf#2", 1), ("d", "doc1.pdf", 1)])
    copy = shutil.copytree(filled_directory, tmp_path / "index")
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as index:
        dataset = Dataset.load(data, corpus=False)
        found = evaluate(index, dataset, modes=["lexical"])
        by_page, by_document = found.results
        assert by_page.unit == "page" and {one.id for one in by_page.found} == {f"doc1.pdf#{n}" for n in (1, 2, 3)}
        assert by_document.unit == "document" and [one.id for one in by_document.found] == ["doc1.pdf"]
        assert by_document.metrics["ndcg@10"] == 1.0 and by_page.right[0].rank in (1, 2, 3)
        for qrels, said in (
            ([("p", "doc9.pdf#2", 1)], "the index has no document 'doc9.pdf#2'"),
            ([("p", "doc1.pdf#7", 1)], "'doc1.pdf#7' is not indexed; the document's pages are 1 to 3"),
            ([("p", "broken.pdf", 1)], "of 'broken.pdf' no page is indexed"),
            ([("p", "doc1.pdf", 1), ("p", "doc0.pdf#1", 1)], "keep one"),
            ([("p", "doc1.pdf#1", 1), ("p", "doc1.pdf#01", 1)], "are the same"),
        ):
            write_qrels(data / "qrels.tsv", qrels)
            with pytest.raises(InputError, match=f"qrels.tsv:[23]: .*{said}"):
                evaluate(index, Dataset.load(data, corpus=False), modes=["lexical"])


def test_against_an_earlier_run(opened: tuple[Dataset, MultimodalIndex], result: Evaluation, tmp_path: Path) -> None:
    dataset, index = opened
    result.write(tmp_path / "earlier.json")
    earlier = Earlier.read(tmp_path / "earlier.json")
    same = evaluate(index, dataset, against=earlier)
    assert {(one.mode, one.paired.difference.mean, one.paired.p) for one in same.differences if one.earlier} == {
        (mode, 0.0, 1.0) for mode in same.modes
    }
    better = evaluate(
        index,
        dataset,
        modes=["dense"],
        against=earlier,
        rerank=lambda hits: sorted(hits, key=lambda hit: hit.source != "both"),
    )
    (ndcg,) = [one for one in better.differences if one.metric == "ndcg@10"]
    before = {one.query: one.metrics["ndcg@10"] for one in result.of("dense")}
    now = {one.query: one.metrics["ndcg@10"] for one in better.results}
    assert ndcg.paired.difference.mean == pytest.approx(sum(now[query] - before[query] for query in now) / 4)
    changed = json.loads((tmp_path / "earlier.json").read_text())
    changed["queries"][0]["right"][0]["grade"] = 5
    (tmp_path / "other.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match="had other right documents then"):
        evaluate(index, dataset, against=Earlier.read(tmp_path / "other.json"))
    for content in ("[]", "{", '{"format": "other"}', '{"format": "vipylo-evaluation/1", "queries": [{}]}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(InputError, match="is no result that"):
            Earlier.read(tmp_path / "bad.json")


def test_the_command_ends_with_2_and_one_line(folder: Path, tmp_path: Path, vipylo: Vipylo) -> None:
    for arguments, said in (
        ([tmp_path / "nowhere"], "is no folder"),
        ([folder, "--split", "dev"], "there are the splits test"),
        ([folder, "--index", tmp_path / "none"], "there is no index"),
        ([folder, "--index", "x", "--work", "y"], "leave one of them out"),
        ([folder, "--tenant", "x"], "--tenant is for --index"),
        ([folder, "--json", tmp_path / "no" / "x.json"], "there is no folder"),
        ([folder, "--against", folder / "corpus.jsonl"], "is no result that"),
        ([folder, "--rerank", "best"], "there is no reranker 'best'"),
    ):
        code, _, err = vipylo("evaluate", *arguments)
        assert code == 2 and said in err and err.count("\n") == 1, (arguments, err)
