"""The index as a whole: opening, refusing, searching, deleting, moving."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from connectors.errors import FilterError, StoreError, StoreInUseError
from connectors.stores.filters import parse_filter
from embedder import CheckpointError, ColPaLiQwenEmbedder, InputError
from tests.tiny_qwen import write_tiny_checkpoint
from vipylo_rag import IndexDirectoryError, MultimodalIndex


def test_text_finds_the_page_that_says_it(filled: MultimodalIndex) -> None:
    best = filled.search("thuê nhà số 01", mode="lexical")[0]
    assert (best.name, best.page) == ("doc0.pdf", 2)
    assert best.score > 0 and "thuê nhà" in best.snippet("thuê nhà")
    assert best.image is not None and best.image.mode == "RGB"


@pytest.mark.parametrize(("name", "page"), [("doc1.pdf", 3), ("red.png", 1)])
def test_an_image_finds_its_own_page(filled: MultimodalIndex, name: str, page: int) -> None:
    stored = filled.pages({"name": name, "page": page})[0]
    text = stored.payload["text"]
    image = Image.open(filled.assets / stored.payload["asset"])
    best = filled.search(text or None, images=image, mode="dense")[0]
    assert (best.name, best.page) == (name, page)
    assert best.score == pytest.approx(1.0, abs=1e-4)


def test_hybrid_is_reciprocal_rank_fusion(filled: MultimodalIndex) -> None:
    from connectors.stores.points import RRF_K

    query = "labour contract số 11"
    sides = [filled.search(query, mode=mode, top_k=50) for mode in ("dense", "lexical")]
    assert 0 < len(sides[1]) < len(sides[0]) == 11 and sides[0][0].id != sides[1][0].id
    hybrid = filled.search(query, top_k=50)
    assert {h.id for h in hybrid} == {h.id for h in sides[0]}
    for hit in hybrid:
        lowest, highest = 0.0, 0.0
        for ranked in sides:
            own = next((h.score for h in ranked if h.id == hit.id), None)
            if own is not None:  # pages of equal score may come in any order
                highest += 1.0 / (RRF_K + sum(h.score > own + 1e-6 for h in ranked))
                lowest += 1.0 / (RRF_K + sum(h.score >= own - 1e-6 for h in ranked) - 1)
        assert lowest - 1e-5 <= hit.score <= highest + 1e-5
    assert all(first.score >= second.score for first, second in itertools.pairwise(hybrid))


def test_a_marker_can_be_asked_for(filled: MultimodalIndex) -> None:
    assert len(filled.search("how to use the <image> tag")) == 10


def test_filters(filled: MultimodalIndex) -> None:
    hits = filled.search("số", where={"kind": "pdf", "page": {"gte": 2}}, top_k=50)
    assert hits and all(h.kind == "pdf" and h.page >= 2 for h in hits)
    with pytest.raises(FilterError, match=r"unknown filter field 'colour'.*kind.*page"):
        filled.search("số", where={"colour": "red"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "the query is empty"),
        ({"text": "  "}, "the query is empty"),
        ({"text": "a", "top_k": 0}, "top_k=0"),
        ({"text": "a", "mode": "fuzzy"}, "mode='fuzzy'"),
        ({"images": Image.new("RGB", (30, 30)), "mode": "lexical"}, "lexical mode compares words"),
        ({"images": [Image.new("RGB", (30, 30))] * 6}, "6 images"),
        ({"images": Image.new("RGB", (3000, 3))}, "one side may be at most 200 times"),
    ],
)
def test_bad_queries_are_named(filled: MultimodalIndex, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        filled.search(**arguments)


def test_delete(filled: MultimodalIndex) -> None:
    source = Path(filled.pages({"name": "doc0.pdf"})[0].payload["source"])
    assert filled.delete(source) == 3
    assert filled.pages({"name": "doc0.pdf"}) == []
    assert filled.ingest(source).pages_embedded == 3
    source = filled.pages({"name": "note.md"})[0].payload["source"]
    assert filled.delete(source) == 1
    with pytest.raises(InputError, match="is not in this index"):
        filled.delete("nowhere.pdf")


def test_info(filled: MultimodalIndex) -> None:
    info = filled.info()
    assert info["points"] == 11 and info["kinds"] == {"pdf": 9, "image": 1, "text": 1}
    assert (info["sources done"], info["sources failed"]) == (5, 2)
    assert info["embedder"]["fingerprint"] == filled.embedder.fingerprint


def test_moving_the_directory_breaks_nothing(filled: MultimodalIndex, tmp_path: Path) -> None:
    before = [(h.id, h.score) for h in filled.search("thuê nhà", mode="lexical")]
    filled.close()
    moved = shutil.move(filled.directory, tmp_path / "elsewhere" / "moved")
    with MultimodalIndex.open(moved, create=False) as index:
        hits = index.search("thuê nhà", mode="lexical")
        assert [(h.id, h.score) for h in hits] == before
        assert all(h.image_path is None or h.image_path.is_file() for h in hits)


def test_another_embedder_is_refused_with_the_way_out(filled: MultimodalIndex, tmp_path: Path) -> None:
    other = write_tiny_checkpoint(tmp_path / "other", seed=5)
    filled.close()
    with pytest.raises(IndexDirectoryError, match=r"was made with embedder .*open it with --embedder .*vipylo reindex"):
        MultimodalIndex.open(filled.directory, embedder=str(other))
    with MultimodalIndex.open(filled.directory) as again:
        assert len(again.search("thuê nhà")) == 10


def test_a_checkpoint_changed_in_place_is_refused(tmp_path: Path, documents: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "mine", seed=1)
    with MultimodalIndex.open(tmp_path / "index", embedder=str(checkpoint)) as index:
        index.ingest(documents / "note.md")
    write_tiny_checkpoint(checkpoint, seed=2)
    with MultimodalIndex.open(tmp_path / "index") as index, pytest.raises(IndexDirectoryError, match="was made with"):
        index.search("họp")


def test_a_lost_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "mine")
    MultimodalIndex.open(tmp_path / "index", embedder=str(checkpoint)).close()
    shutil.rmtree(checkpoint)
    with MultimodalIndex.open(tmp_path / "index") as index, pytest.raises(CheckpointError, match="mine does not exist"):
        index.search("họp")


def test_a_wrong_embedder_leaves_no_directory(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        MultimodalIndex.open(tmp_path / "index", embedder="/no/such/checkpoint")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("damage", ["manifest", "newer", "ledger", "ledger lost", "store lost", "assets lost"])
def test_damaged_indexes_are_named_and_left_alone(filled: MultimodalIndex, damage: str) -> None:
    filled.close()
    folder = filled.directory
    match damage:
        case "manifest":
            (folder / "manifest.json").write_text("{")
        case "newer":
            manifest = json.loads((folder / "manifest.json").read_text())
            (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
        case "ledger":
            for extra in folder.glob("ledger.sqlite-*"):
                extra.unlink()
            (folder / "ledger.sqlite").write_bytes(b"this is no database at all" * 400)
        case "ledger lost":
            (folder / "ledger.sqlite").unlink()
        case _:
            shutil.rmtree(folder / damage.split()[0])
    before = sorted(path.relative_to(folder) for path in folder.rglob("*") if "store" not in path.parts)
    with pytest.raises(IndexDirectoryError) as caught:
        MultimodalIndex.open(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    after = sorted(path.relative_to(folder) for path in folder.rglob("*") if "store" not in path.parts)
    assert [p for p in after if not p.name.startswith("ledger.sqlite-")] == [
        p for p in before if not p.name.startswith("ledger.sqlite-")
    ]


def test_somebody_elses_folder_is_left_alone(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    with pytest.raises(IndexDirectoryError, match="exists and is not an index"):
        MultimodalIndex.open(tmp_path / "letters", embedder=tiny_embedder)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["a.txt"]
    with pytest.raises(IndexDirectoryError, match="there is no index at"):
        MultimodalIndex.open(tmp_path / "nowhere", create=False)
    assert not (tmp_path / "nowhere").exists()


def test_a_store_of_nodes_is_no_index_and_becomes_none(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    """An index that shared its vectors would find nodes that are no pages, and LlamaIndex would find a page's index."""
    from llama_index.core.schema import TextNode

    from vipylo_rag import ViPyloEmbedding, ViPyloVectorStore

    place = tmp_path / "nodes"
    model = ViPyloEmbedding.over(tiny_embedder)
    store = ViPyloVectorStore(location=str(place), dim=tiny_embedder.dim)
    (node,) = model([TextNode(text="own node kept")])
    store.add([node])
    store.client.close()
    before = sorted(place.iterdir())
    with pytest.raises(IndexDirectoryError, match=r"is a store of nodes \(ViPyloVectorStore\), not an index of pages"):
        MultimodalIndex.open(place, create=False)
    with pytest.raises(IndexDirectoryError, match="an index of pages cannot share: choose another directory"):
        MultimodalIndex.open(place, embedder=tiny_embedder)
    assert sorted(place.iterdir()) == before
    assert [kept.text for kept in ViPyloVectorStore(location=str(place), dim=tiny_embedder.dim).get_nodes()] == [
        "own node kept"
    ]


def test_a_creation_that_was_killed_is_finished(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder).close()
    (tmp_path / "index" / "manifest.json").unlink()
    MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder).close()
    assert (tmp_path / "index" / "manifest.json").is_file()


def test_scraps_of_a_killed_creation_are_no_obstacle(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    (tmp_path / "index" / ".store.a1b2").mkdir(parents=True)
    (tmp_path / "index" / "assets").mkdir()
    MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder).close()


def test_a_lost_manifest_is_damage_not_a_fresh_start(filled: MultimodalIndex) -> None:
    filled.close()
    (filled.directory / "manifest.json").unlink()
    with pytest.raises(IndexDirectoryError, match=r"is damaged: manifest\.json is missing"):
        MultimodalIndex.open(filled.directory)


def test_a_failed_creation_leaves_nothing(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    with pytest.raises(StoreError, match="127"):
        MultimodalIndex.open("http://127.0.0.1:9/x", directory=tmp_path / "side", embedder=tiny_embedder)
    assert not (tmp_path / "side").exists()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://h:abc/x", "no valid URL"),
        ("http://user:secret@h:1/x", "must not hold a password"),
        ("http://h:1/a/b", "http://host:port/collection"),
    ],
)
def test_bad_urls_are_named(location: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MultimodalIndex.open(location)


def test_a_directory_belongs_to_one_store(filled: MultimodalIndex) -> None:
    filled.close()
    with pytest.raises(IndexDirectoryError, match=r"belongs to Qdrant Edge.*not to http://127\.0\.0\.1:9/x"):
        MultimodalIndex.open("http://127.0.0.1:9/x", directory=filled.directory)


def test_a_store_that_lost_its_pages_is_named(filled: MultimodalIndex) -> None:
    filled.store.delete(where=parse_filter({"page": {"gte": 0}}))
    filled.close()
    with pytest.raises(IndexDirectoryError, match="has lost all pages"):
        MultimodalIndex.open(filled.directory)


def test_a_folder_called_starter_is_not_the_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "starter").mkdir()
    monkeypatch.chdir(tmp_path)
    with MultimodalIndex.open("index") as index:
        assert index.manifest.embedder.name == "starter"
    MultimodalIndex.open("index").close()


def test_a_relative_checkpoint_is_remembered_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_checkpoint(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    with MultimodalIndex.open("index", embedder="mine") as index:
        assert index.manifest.embedder.name == str(tmp_path / "mine")


def test_other_options_are_refused_with_a_way_out(tmp_path: Path, tiny_checkpoint: Path) -> None:
    narrow = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, max_pixels=56 * 56)
    MultimodalIndex.open(tmp_path / "index", embedder=narrow).close()
    with pytest.raises(IndexDirectoryError, match="pass the embedder with those it was made with"):
        MultimodalIndex.open(tmp_path / "index", embedder=str(tiny_checkpoint))
    MultimodalIndex.open(tmp_path / "index", embedder=narrow).close()


def test_a_second_process_is_refused(filled: MultimodalIndex) -> None:
    code = "import sys; from vipylo_rag import MultimodalIndex; MultimodalIndex.open(sys.argv[1])"
    second = subprocess.run(
        [sys.executable, "-c", code, str(filled.directory)], capture_output=True, text=True, check=False
    )
    assert second.returncode != 0 and StoreInUseError.__name__ in second.stderr
    assert "another process" in second.stderr


def test_vectors_are_what_encode_gives(filled: MultimodalIndex) -> None:
    """A page is embedded jointly from its stored image and its text layer."""
    for point in filled.store.scroll(with_vectors=True):
        asset = point.payload.get("asset")
        images = [Image.open(filled.assets / asset)] if asset else None
        expected = filled.embedder.encode(text=[point.payload["text"]], images=images)[0]
        assert torch.allclose(torch.from_numpy(point.vector), expected, atol=1e-5)
