"""Heat maps as pictures: colour where the shares are, ink still dark, a legend; and the command that writes them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from connectors.page import WordBox
from embedder import ColPaLiQwenEmbedder
from tests.vipylo_rag.conftest import write_picture
from vipylo_rag import InputError, MultimodalIndex
from vipylo_rag.cli import app
from vipylo_rag.explain import PageExplanation, WordShare
from vipylo_rag.heat_map import strongest, totals


def colour(picture: Image.Image) -> np.ndarray:
    """How far each pixel is from grey [height, width]."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.int16)
    return pixels.max(axis=-1) - pixels.min(axis=-1)


def heated(why: PageExplanation, *places: tuple[float, float, float, float]) -> PageExplanation:
    """The explanation with words of these boxes, each of the share 1, and a picture that has none."""
    assert why.picture is not None
    words = tuple(WordShare("word", 1.0, WordBox("word", *place)) for place in places)
    return replace(why, words=words, picture=np.zeros_like(why.picture), boxes=())


def test_colour_is_where_the_shares_are(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    assert found.image is not None
    width, height = found.image.size
    drawn = heated(found.explain(), (0.6, 0.7, 0.8, 0.75)).draw()
    assert drawn.width == width
    assert height < drawn.height < height * 1.5  # the legend
    coloured = colour(drawn)[:height]
    inside = coloured[int(0.71 * height) : int(0.74 * height), int(0.62 * width) : int(0.78 * width)]
    assert inside.min() > 60
    # The tiny model's patches are a quarter of the page, and the heat's cells a third of them.
    coloured[int(0.5 * height) : int(0.95 * height), int(0.35 * width) :] = 0
    assert coloured.max() < 30  # the page is black on white


def test_ink_stays_dark_and_dark_pictures_glow(index: MultimodalIndex, tmp_path: Path) -> None:
    paper = Image.new("RGB", (700, 700), "white")
    paper.paste((0, 0, 0), (340, 340, 360, 360))
    paper.save(tmp_path / "paper.png")
    Image.new("RGB", (700, 700), "black").save(tmp_path / "dark.png")
    index.ingest(tmp_path)
    for found in index.search(images=write_picture(tmp_path / "query.jpg", "red"), mode="dense"):
        drawn = np.asarray(heated(found.explain(), (0.3, 0.3, 0.7, 0.7)).draw(), dtype=np.int16)
        if found.name == "paper.png":
            assert drawn[350, 350].max() < 60
            assert colour(Image.fromarray(drawn.astype(np.uint8)))[320, 320] > 60
        else:
            assert drawn[350, 350].max() > 90
            assert drawn[20, 20].max() < 10


def test_pages_of_text_alone_are_typeset(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    bare = replace(
        found, image_path=None, words_path=None, text="hợp đồng thuê nhà\n租赁合同\n" + "a line of words\n" * 400
    )
    drawn = bare.explain().draw()
    assert drawn.width > 500
    assert colour(drawn.crop((0, 0, drawn.width, drawn.height // 2))).max() > 60


def test_what_has_no_heat_is_drawn_as_it_is(filled: MultimodalIndex) -> None:
    [found] = filled.search("hợp đồng", top_k=1)
    assert found.image is not None
    drawn = heated(found.explain()).draw()
    assert np.array_equal(np.asarray(drawn)[: found.image.height], np.asarray(found.image.convert("RGB")))


def test_small_pictures_are_drawn_larger(index: MultimodalIndex, tmp_path: Path) -> None:
    index.ingest(write_picture(tmp_path / "small.png", "blue"))
    [found] = index.search(images=tmp_path / "small.png", mode="dense")
    assert found.explain().draw().width == 640


def test_strongest_words_and_their_totals() -> None:
    words = [WordShare("a", -1.0), WordShare("Cọc,", 0.3), WordShare("little", 0.05), WordShare("cọc", 0.4)]
    assert [word.text for word in strongest(words)] == ["cọc", "Cọc,"]
    assert totals(words)[0] == ("cọc", pytest.approx(0.7))
    assert strongest([WordShare("a", -1.0)]) == []
    assert totals([WordShare("…", 0.1), WordShare("!", 0.2)]) == [("!", 0.2), ("…", 0.1)]


def test_saving_needs_a_place_and_a_format(filled: MultimodalIndex, tmp_path: Path) -> None:
    why = filled.search("hợp đồng", top_k=1)[0].explain()
    why.save(tmp_path / "why.png")
    with Image.open(tmp_path / "why.png") as written:
        assert written.format == "PNG"
    for bad in ("missing/why.png", "why.xyz"):
        with pytest.raises(InputError, match="cannot be written"):
            why.save(tmp_path / bad)


def test_a_file_name_does_not_steer_the_terminal(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> None:
    (tmp_path / "a\x1b[31mred\u202ex [bold]b.txt").write_text("hợp đồng", encoding="utf-8")
    with MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder) as index:
        index.ingest(tmp_path)
    shown = CliRunner().invoke(app, ["search", "hợp", "--mode", "lexical", "--index", str(tmp_path / "index")])
    assert shown.exit_code == 0 and "[bold]b" in shown.output
    assert not {"\x1b", "\u202e"} & set(shown.output)


def test_the_command_writes_a_picture_a_hit(filled_directory: Path, tmp_path: Path) -> None:
    index = str(shutil.copytree(filled_directory, tmp_path / "index"))
    # Not hybrid: its pages of equal score may come in another order when the index is opened again.
    options = ["-k", "2", "--mode", "dense", "--device", "cpu"]
    asked = ["search", "hợp đồng", "--index", index, *options, "--why", str(tmp_path / "why")]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    names = sorted(path.name for path in (tmp_path / "why").iterdir())
    assert len(names) == 2
    assert "strongest words" in shown.output and "cosine" in shown.output
    said = CliRunner().invoke(app, [*asked, "--json"])
    rows = json.loads(said.stdout)
    assert [Path(row["why"]["picture"]).name for row in rows] == names
    assert names == [f"{n:02}-{Path(row['source']).stem}-p{row['page']}.png" for n, row in enumerate(rows, start=1)]
    assert all(-1 <= row["why"]["cosine"] <= 1 and len(row["why"]["words"]) <= 5 for row in rows)
    (tmp_path / "file").write_text("")
    refused = CliRunner().invoke(app, [*asked[:-1], str(tmp_path / "file")])
    assert refused.exit_code != 0
