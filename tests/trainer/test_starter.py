"""The starter recipe at toy size: what was drawn stands where the targets say, and a run learns and resumes."""

import json
import random
from dataclasses import replace
from multiprocessing import Value
from pathlib import Path

import numpy as np
import pymupdf
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2VLImageProcessorPil

from embedder.model import ColPaLiQwenEmbedder
from embedder.prefixes import PREFIX_TOKENS
from trainer.starter.calibrate import Pooled, closed_form
from trainer.starter.corpus import Corpus, is_held_out, language_of, read_corpus
from trainer.starter.evaluate import Row, ranked
from trainer.starter.export import export
from trainer.starter.losses import bag_cross_entropy, bag_recall, info_nce, mixed_info_nce
from trainer.starter.model import Shape, Starter, build_model, patchify
from trainer.starter.pictures import draw_picture
from trainer.starter.render import CELL, Fonts, cut, draw, join_lines, lay_out, read_page
from trainer.starter.samples import BLANK, Batches, CharacterSet, Stage, span_of
from trainer.starter.team import Team
from trainer.starter.tokenizer import CONTROL_TOKENS, train_tokenizer
from trainer.starter.train import Run, Settings

VI = "Người lao động có quyền nghỉ hằng năm và hưởng nguyên lương theo hợp đồng lao động số"
EN = "The worker may rest every year and keeps the full wage that the contract names in part"
ZH = "劳动者每年有权休假并领取合同规定的全部工资，具体办法由双方约定，编号为"
TINY = Shape(
    hidden=32, layers=1, heads=1, key_value_heads=1, intermediate=32, vision_width=32, vision_depth=1, vision_heads=1
)
STAGES = (
    (0.5, Stage("easy", 4, (112, 112), 4, (14, 18), True, False, 6)),
    (0.8, Stage("views", 4, (112, 112), 2, (12, 18), False, True, 6, (112, 112))),
    (0.9, Stage("strips", 2, (112, 168), 1, (12, 18), False, True, 6, (112, 168))),
    (1.0, Stage("pages", 2, (168, 112), 1, (12, 18), False, True, 6, (140, 84), True, True)),
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of every file kind the reader knows."""
    folder = tmp_path_factory.mktemp("texts")
    rows = [f"{EN} {i}.\t{VI} {i}.\tx" for i in range(400)]
    (folder / "pairs.tsv").write_text("\n".join(["en\tvi\tattribution", *rows]), encoding="utf-8")
    squad = {
        "data": [
            {
                "title": f"{i}",
                "paragraphs": [{"context": f"{ZH}{i}。" * 2, "qas": [{"question": f"编号{i}是什么？"}]}],
            }
            for i in range(60)
        ]
    }
    (folder / "squad.json").write_text(json.dumps(squad), encoding="utf-8")
    questions = [{"file": f"{i}", "q": f"What is part {i}?", "a": f"{EN} {i}."} for i in range(40)]
    (folder / "qa.jsonl").write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
    (folder / "law.txt").write_text("\n\n".join(f"Điều {i}. {VI} {i}." for i in range(200)), encoding="utf-8")
    (folder / "SOURCE.txt").write_text("not a text", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def corpus(texts: Path) -> Corpus:
    return read_corpus(texts)


@pytest.fixture(scope="module")
def tokenizer(corpus: Corpus) -> PreTrainedTokenizerBase:
    return train_tokenizer((text for document in corpus.documents for text in document.paragraphs), 600)


@pytest.fixture
def settings() -> Settings:
    return replace(
        Settings(), minutes=1000.0, vocabulary=600, characters=200, shape=TINY, plan=STAGES, warmup_steps=3, log_every=5
    )


def page_with(words: dict[tuple[float, float], str]) -> pymupdf.Page:
    page = pymupdf.open().new_page(width=224, height=168)
    for place, word in words.items():
        page.insert_text(place, word, fontsize=12)
    return page


def test_reader_tells_file_kinds_apart(corpus: Corpus) -> None:
    kinds = {(pair.kind, pair.query_language, pair.positive_language) for pair in corpus.pairs}
    assert kinds == {("parallel", "vi", "en"), ("question", "zh", "zh"), ("question", "en", "en")}
    assert {document.language for document in corpus.documents} == {"vi", "en", "zh"}
    assert not any("SOURCE" in document.name for document in corpus.documents)
    assert [language_of(text) for text in (VI, EN, ZH)] == ["vi", "en", "zh"]


def test_split_is_by_document_and_shares_no_text(corpus: Corpus) -> None:
    train, held = corpus.split()
    assert held.documents and held.pairs
    assert all(is_held_out(pair.document) for pair in held.pairs)
    train_names = {d.name for d in train.documents} | {p.document for p in train.pairs}
    assert train_names.isdisjoint({d.name for d in held.documents} | {p.document for p in held.pairs})
    seen = {text for pair in train.pairs for text in (pair.query, pair.positive)}
    assert not any(pair.query in seen or pair.positive in seen for pair in held.pairs)


def test_tokenizer_round_trips_and_prefixes_are_single_tokens(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded) == len(tokenizer) <= 600
    for text in (VI, EN, ZH, "mã số 𝄞 ☂ 12,5%", f"<ocr> {VI}"):
        assert loaded.decode(loaded(text).input_ids) == text
    for token in (*CONTROL_TOKENS, *PREFIX_TOKENS):
        assert len(loaded(token).input_ids) == 1, token
    assert loaded("<vqa_single> x").input_ids[0] == loaded.convert_tokens_to_ids("<vqa_single>")
    # Decomposed input is the same text.
    assert loaded("Ngu\u031bo\u031b\u0300i").input_ids == loaded("Người").input_ids


def test_characters_lie_in_the_cells_where_they_were_drawn() -> None:
    page = read_page(page_with({(30, 25): "A", (90, 25): "B", (30, 110): "C"}))
    crop = cut(page, 0, 0, 1.0, 224, 168)
    columns = 224 // CELL
    places = {chr(code): int(cell) for cell, code in crop.char_cells}
    assert places == {"A": 0 * columns + 1, "B": 0 * columns + 3, "C": 3 * columns + 1}
    for cell in places.values():
        row, column = divmod(cell, columns)
        ink = crop.grey[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        assert ink.min() < 128
    blank = crop.grey[:, 5 * CELL :]
    assert blank.min() == 255


def test_crop_of_a_part_moves_targets_and_pixels_alike() -> None:
    page = read_page(page_with({(90, 66): "B"}))
    whole = draw(page, 0, 0, 2.0, 448, 336)
    part = cut(page, 56, 28, 2.0, 112, 112)
    assert np.abs(part.grey.astype(int) - whole[56:168, 112:224]).max() < 40  # the same drawing, up to antialiasing
    assert [int(cell) for cell, _ in part.char_cells] == [2 * 4 + 2]  # letter at 68..84, 59..76 of four by four cells


def test_crop_beyond_the_page_is_white() -> None:
    page = read_page(page_with({(30, 25): "A"}))
    grey = draw(page, -50, -50, 1.0, 112, 112)
    assert grey.shape == (112, 112) and grey[:50].min() == 255 and grey[50:].min() < 128


def test_text_of_a_crop_has_whole_words_only() -> None:
    page = read_page(page_with({(10, 30): "alpha beta gamma", (60, 60): "delta"}))
    x = float(page.centres[2][0]) + 0.1  # cuts "alpha" in two
    assert cut(page, x, 0, 1.0, 224, 168).text == "beta gamma delta"
    assert join_lines(["劳动", "者每年", "rests", "well"]) == "劳动者每年 rests well"


def test_tokens_of_a_page_lie_where_their_text_is(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> None:
    batches = make_batches(corpus, tokenizer)
    page = batches.page(random.Random(3))
    texts = [tokenizer.decode([int(token)]) for token in page.tokens]
    assert len(texts) > 50
    crop = cut(page, 0, 0, 1.0, int(page.width) // CELL * CELL, int(page.height) // CELL * CELL)
    cells: dict[int, set[str]] = {}
    for cell, code in crop.char_cells:
        cells.setdefault(int(cell), set()).add(chr(code))
    known = [
        bool(set(tokenizer.decode([int(token)]).strip()) & cells.get(int(cell), set()))
        for cell, token in crop.token_cells
        if "\ufffd" not in tokenizer.decode([int(token)])
    ]
    assert np.mean(known) > 0.95


def test_character_places_mark_empty_cells() -> None:
    characters = CharacterSet(["A", "B"])
    places = characters.places(np.asarray([[1, ord("A")], [1, ord(" ")], [2, ord("Z")]]), 4)
    assert sorted(map(tuple, places.tolist())) == [(0, BLANK), (1, 2), (2, 1), (3, BLANK)]


@pytest.mark.parametrize("text", [VI, EN, ZH])
def test_span_is_a_part_of_its_text(text: str) -> None:
    rng = random.Random(0)
    spans = {span_of(text, rng) for _ in range(20)}
    assert len(spans) > 5 and all(span in text for span in spans)


def test_layout_draws_every_language() -> None:
    for text in (VI, EN, ZH):
        page = lay_out([text] * 30, random.Random(1), Fonts())
        drawn = "".join(map(chr, page.chars))
        assert text[:3] in drawn
        assert draw(page, 0, 0, 1.0, 224, 224).min() < 128


def test_patchify_equals_the_stock_image_processor() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (112, 168, 3), np.uint8)
    stock = Qwen2VLImageProcessorPil(do_resize=False)(images=[pixels], return_tensors="pt")["pixel_values"]
    ours = patchify(torch.from_numpy(pixels)[None])[0]
    stock = stock.view(-1, 3, 2, 196)
    torch.testing.assert_close(stock[:, :, 0], ours.view(-1, 3, 196), atol=1e-5, rtol=0)
    torch.testing.assert_close(stock[:, :, 1], ours.view(-1, 3, 196), atol=1e-5, rtol=0)


def test_fast_path_equals_the_stock_model(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    starter = Starter(build_model(tokenizer, replace(TINY, layers=2, vision_depth=2)), 10).eval()
    pixels = torch.randint(0, 256, (1, 112, 168, 3), dtype=torch.uint8)
    ids = tokenizer("<ocr> " + VI).input_ids
    config, count = starter.model.config, 4 * 6
    row = [config.vision_start_token_id, *[config.image_token_id] * count, config.vision_end_token_id, *ids]
    input_ids = torch.tensor([row])
    with torch.no_grad():
        states = starter.model(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            pixel_values=patchify(pixels)[0].view(-1, 3, 1, 196).expand(-1, -1, 2, -1).reshape(-1, 1176),
            image_grid_thw=torch.tensor([[1, 8, 12]]),
            mm_token_type_ids=(input_ids == config.image_token_id).int(),
            use_cache=False,
        ).last_hidden_state
        stock = torch.nn.functional.normalize(starter.projection(states.mean(dim=1)), dim=-1)
        padded = torch.tensor([ids + [0] * 3])  # padding must not matter
        fast = starter.embed(padded, torch.tensor([len(ids)]), starter.look(pixels), (4, 6))
    torch.testing.assert_close(stock, fast, atol=1e-5, rtol=0)


def test_training_attention_equals_the_stock_kernel(tokenizer: PreTrainedTokenizerBase) -> None:
    starter = Starter(build_model(tokenizer, TINY), 10)
    pixels = torch.randint(0, 256, (2, 56, 84, 3), dtype=torch.uint8)
    with torch.no_grad():
        stock = starter.look(pixels)
    torch.testing.assert_close(starter.look(pixels).detach(), stock, atol=1e-5, rtol=1e-4)


def test_losses_in_closed_form() -> None:
    assert float(info_nce(torch.zeros(5, 3), torch.zeros(5, 3), 0.1)) == pytest.approx(np.log(5))
    groups = torch.tensor([0, 0, 1, 2, 3])
    expected = (2 * np.log(4) + 3 * np.log(5)) / 5
    assert float(info_nce(torch.zeros(5, 3), torch.zeros(5, 3), 0.1, groups)) == pytest.approx(expected)
    views = {kind: torch.zeros(4, 3) for kind in ("span", "image", "whole")}
    losses = mixed_info_nce(views, [("span", "image")], ["image", "whole"], 0.1)
    assert float(losses["span", "image"]) == pytest.approx(np.log(1 + 2 * 3))  # own other kind is left out
    with_picture = mixed_info_nce(views, [("span", "image")], ["image", "whole"], 0.1, with_text=3)
    assert float(with_picture["span", "image"]) == pytest.approx(np.log(1 + 3 + 2))  # its empty text is no negative


def test_bag_losses_share_a_cell_among_its_things() -> None:
    scores = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [1.0, 1.0, 1.0]]))
    places = torch.tensor([[0, 0], [0, 1], [1, 2]])
    expected = -((np.log(0.5) + np.log(0.25)) / 2 + np.log(0.6)) / 2
    assert float(bag_cross_entropy(scores, places)) == pytest.approx(expected, abs=1e-5)
    assert bag_recall(scores, torch.tensor([[0, 0], [0, 2], [1, 0]])) == pytest.approx(1 / 3)


def test_pictures_differ_from_each_other_and_resemble_their_second_view() -> None:
    one, two = draw_picture(random.Random(1), (112, 112), (84, 84))
    assert one.shape == (112, 112, 3) and two.shape == (84, 84, 3)
    assert np.abs(one.mean((0, 1)) - two.mean((0, 1))).max() < 60


def make_batches(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> Batches:
    return Batches(
        corpus, tokenizer, CharacterSet.of(corpus, 200), Fonts(), STAGES, Value("d", 0.0), seed=5
    )  # fmt: skip


@pytest.mark.parametrize("progress", [0.1, 0.6, 0.95])
def test_a_batch_depends_on_its_number_alone(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, progress: float
) -> None:
    batches = make_batches(corpus, tokenizer)
    crops, pairs = batches.batch(6, progress)
    again, pairs_again = make_batches(corpus, tokenizer).batch(6, progress)
    assert torch.equal(crops.pixels, again.pixels) and torch.equal(pairs.queries.ids, pairs_again.queries.ids)
    other, _ = batches.batch(7, progress)
    assert not torch.equal(crops.pixels, other.pixels)
    assert (crops.second is not None) == (progress > 0.5)
    assert int(crops.characters[:, 0].max()) < crops.pixels.shape[0] * crops.pixels[0, ::CELL, ::CELL, 0].numel()


def test_a_short_run_learns_saves_and_resumes(corpus: Corpus, settings: Settings, tmp_path: Path) -> None:
    run = Run(tmp_path, corpus, settings, Fonts())
    losses = train_steps(run, 20)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    run.save()
    resumed = Run(tmp_path, corpus, settings, Fonts())
    assert resumed.progress.step == 20
    for name, value in run.starter.state_dict().items():
        assert torch.equal(value, resumed.starter.state_dict()[name]), name
    assert train_steps(run, 3) == pytest.approx(train_steps(resumed, 3), abs=1e-3)


@pytest.mark.parametrize("done", [0.6, 0.85, 0.95])
def test_later_stages_give_finite_losses_and_gradients(
    corpus: Corpus, settings: Settings, tmp_path: Path, done: float
) -> None:
    run = Run(tmp_path, corpus, settings, Fonts())
    batches = make_batches(run.corpus, run.tokenizer)
    for index in (0, 1, 3):
        loss, parts = run.loss(*batches.batch(index, done), done, watch=True)
        loss.backward()
        dense = set() if done > 0.9 else {"tokens", "characters"}
        assert torch.isfinite(loss) and {"views", "text"} | dense <= parts.keys()
    norms = [float(p.grad.norm()) for p in run.starter.parameters() if p.grad is not None]
    assert np.isfinite(norms).all() and min(norms) >= 0


def test_closed_form_projection_takes_down_what_pairs_differ_in() -> None:
    torch.manual_seed(0)
    noise = torch.tensor([10.0, 1.0, 0.1, 0.1])  # axis 0: the kind of a view; axes 2 and 3 tell things apart
    things = torch.randn(200, 4) * torch.tensor([1.0, 1.0, 0.5, 0.5])

    def seen() -> torch.Tensor:
        return things + torch.randn(200, 4) * noise

    kinds = ("image", "joint", "second", "whole", "span", "asked")
    weight = closed_form(Pooled({kind: [seen()] for kind in kinds}, [(seen(), seen())]))
    assert weight.shape == (1024, 4)
    queries, documents = seen(), seen()
    before = ranked(*(torch.nn.functional.normalize(x, dim=-1) for x in (queries, documents)), "", "")
    after = ranked(*(torch.nn.functional.normalize(x @ weight.T, dim=-1) for x in (queries, documents)), "", "")
    assert after.ndcg > 2 * before.ndcg


def test_a_calibrated_run_exports_a_checkpoint_that_encodes_alike(
    corpus: Corpus, settings: Settings, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run", corpus, settings, Fonts())
    starter = run.calibrated(0.0)
    export(starter, run.tokenizer, tmp_path / "checkpoint")
    embedder = ColPaLiQwenEmbedder.from_pretrained(tmp_path / "checkpoint")
    with torch.no_grad():
        ids = torch.tensor([run.tokenizer(VI).input_ids])
        expected = starter.embed(ids, torch.tensor([ids.shape[1]]))
    encoded = torch.as_tensor(embedder.encode(text=[VI]))
    assert float((encoded * expected).sum()) > 0.99  # written in bf16
    assert embedder.processor.image_processor.size["longest_edge"] == 1000 * 28 * 28


def test_row_names_the_random_baseline() -> None:
    row = ranked(torch.eye(20), torch.eye(20).roll(1, 0), "task", "vi")
    assert row.recall == 0.0 and row.candidates == 20
    assert Row("t", "vi", 1, 1.0, 1.0).random_ndcg == pytest.approx(1.0)


def test_team_averages_gradients_of_all_members(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 1, bias=False)
    team = Team(2, 2)

    def work() -> None:
        module.weight.grad = torch.full((1, 2), float(team.rank * 4))
        agreed = team.average(module, done=0.25 + team.rank)
        assert module.weight.grad is not None
        (tmp_path / str(team.rank)).write_text(f"{module.weight.grad[0, 0]} {agreed}")

    team.run(work)
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["2.0 0.25", "2.0 0.25"]


def train_steps(run: Run, steps: int) -> list[float]:
    """Some steps of the loop without its worker and clock."""
    batches = make_batches(run.corpus, run.tokenizer)
    losses: list[float] = []
    for _ in range(steps):
        loss, _ = run.loss(*batches.batch(run.progress.step, 0.1), 0.1)
        for group in run.optimizer.param_groups:
            group["lr"] = 3e-3
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        run.progress.step += 1
        losses.append(float(loss.detach()))
    return losses
