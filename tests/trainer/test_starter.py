"""The starter recipe at toy size: its texts, its losses, and a run that learns and resumes."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2VLImageProcessorPil

from embedder.model import ColPaLiQwenEmbedder
from embedder.prefixes import PREFIX_TOKENS
from tests.trainer.small_texts import (
    EN,
    TINY,
    VI,
    ZH,
    make_batches,
    small_settings,
)
from trainer.starter.calibrate import Pooled, closed_form
from trainer.starter.codes import fit_merger, letter_codes
from trainer.starter.corpus import Corpus, is_held_out, language_of
from trainer.starter.evaluate import Row, ranked
from trainer.starter.export import export
from trainer.starter.losses import bag_cross_entropy, bag_recall, cell_info_nce, info_nce
from trainer.starter.model import Starter, build_model, patchify
from trainer.starter.render import CELL, SLOTS, Fonts
from trainer.starter.team import Team
from trainer.starter.tokenizer import CONTROL_TOKENS
from trainer.starter.train import Run, Settings


@pytest.fixture
def settings() -> Settings:
    return small_settings()


def test_reader_tells_file_kinds_apart(corpus: Corpus) -> None:
    kinds = {(pair.kind, pair.query_language, pair.positive_language) for pair in corpus.pairs}
    assert kinds == {
        ("parallel", "vi", "en"), ("question", "zh", "zh"), ("question", "en", "en"), ("scored", "zh", "zh"),
        ("paraphrase", "zh", "zh"),
    }  # fmt: skip
    assert {document.language for document in corpus.documents} == {"vi", "en", "zh"}
    assert not any("SOURCE" in document.name for document in corpus.documents)
    assert [language_of(text) for text in (VI, EN, ZH)] == ["vi", "en", "zh"]


def test_scored_pairs_keep_their_scores_and_the_alike_ones_are_paraphrases(corpus: Corpus) -> None:
    scored = [pair for pair in corpus.pairs if pair.kind == "scored"]
    assert Counter(round(pair.score * 5) for pair in scored) == dict.fromkeys(range(6), 10)
    alike = {(pair.query, pair.positive) for pair in corpus.pairs if pair.kind == "paraphrase"}
    assert alike == {(pair.query, pair.positive) for pair in scored if pair.score >= 0.8}
    assert {pair.score for pair in corpus.pairs if pair.kind != "scored"} == {1.0}


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


def test_bag_losses_share_a_cell_among_its_things() -> None:
    scores = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [1.0, 1.0, 1.0]]))
    places = torch.tensor([[0, 0], [0, 1], [1, 2]])
    expected = -((np.log(0.5) + np.log(0.25)) / 2 + np.log(0.6)) / 2
    assert float(bag_cross_entropy(scores, places)) == pytest.approx(expected, abs=1e-5)
    assert bag_recall(scores, torch.tensor([[0, 0], [0, 2], [1, 0]])) == pytest.approx(1 / 3)


def plain_cell_loss(cells: Tensor, words: Tensor, under: list[tuple[int, int]], ids: list[int], heat: float) -> float:
    """`cell_info_nce` cell by cell, with bags of tokens compared as such."""
    over: dict[int, list[int]] = {}
    for number, (_, cell) in enumerate(under):
        over.setdefault(cell, []).append(number)
    bags = {cell: sorted(ids[number] for number in numbers) for cell, numbers in over.items()}
    texts = {cell: torch.stack([words[under[n][0]] for n in numbers]).mean(dim=0) for cell, numbers in over.items()}

    def cosine(cell: int, text: int) -> float:
        return float(torch.cosine_similarity(cells[cell], texts[text], dim=0)) / heat

    total = 0.0
    for cell in over:
        others = [other for other in over if other == cell or bags[other] != bags[cell]]
        total += np.log(sum(np.exp(cosine(cell, other)) for other in others)) - cosine(cell, cell)
        total += np.log(sum(np.exp(cosine(other, cell)) for other in others)) - cosine(cell, cell)
    return total / (2 * len(over))


def test_cells_and_the_words_under_them_equal_a_plain_reference() -> None:
    torch.manual_seed(0)
    cells, words = torch.randn(7, 8, requires_grad=True), torch.randn(12, 8, requires_grad=True)
    # Cells 0, 2, 5 lie over tokens 3 and 4, in either order: one bag. Cell 6 has them too, but one twice. 1: no text.
    under = [(0, 0), (1, 0), (2, 2), (3, 2), (4, 3), (6, 4), (7, 5), (8, 5), (9, 6), (10, 6), (11, 6)]
    ids = [3, 4, 4, 3, 9, 7, 3, 4, 3, 4, 4]
    loss = cell_info_nce(cells, words, torch.tensor(under), torch.tensor(ids), 0.3)
    assert loss.item() == pytest.approx(plain_cell_loss(cells.detach(), words.detach(), under, ids, 0.3), abs=1e-5)
    unmasked = plain_cell_loss(cells.detach(), words.detach(), under, list(range(len(ids))), 0.3)
    assert unmasked > loss.item() + 0.01
    loss.backward()
    assert cells.grad is not None and words.grad is not None
    for grad, without in ((cells.grad, {1}), (words.grad, {5})):  # what has no counterpart gets no gradient
        moved = set(torch.flatten(grad.norm(dim=1).nonzero()).tolist())
        assert moved == set(range(len(grad))) - without


def test_cells_that_match_their_words_lose_nothing() -> None:
    things = torch.eye(5)
    under, ids = torch.arange(5)[:, None].expand(5, 2), torch.arange(5)
    assert float(cell_info_nce(things, things, under, ids, 0.05)) < 1e-6
    assert float(cell_info_nce(things, things.roll(1, 0), under, ids, 0.05)) > 10


def test_character_scores_go_by_cell_and_slot(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    starter = Starter(build_model(tokenizer, TINY), 10)
    cells = torch.randn(3, TINY.hidden)
    everything, some = starter.character_scores(cells, torch.arange(10)), torch.tensor([7, 2])
    assert everything.shape == (3 * SLOTS, 10)
    torch.testing.assert_close(starter.character_scores(cells, some), everything[:, some])
    # A row depends on its own cell alone.
    other = cells.clone()
    other[1] += torch.randn(TINY.hidden)
    changed = (starter.character_scores(other, some) - everything[:, some]).abs().amax(dim=1) > 1e-6
    assert changed.tolist() == [False] * SLOTS + [True] * SLOTS + [False] * SLOTS


@pytest.mark.parametrize("progress", [0.1, 0.6, 0.95])
def test_a_batch_depends_on_its_number_alone(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, progress: float
) -> None:
    batches = make_batches(corpus, tokenizer)
    crops = batches.batch(6, progress)
    again = make_batches(corpus, tokenizer).batch(6, progress)
    assert torch.equal(crops.pixels, again.pixels)
    assert torch.equal(crops.characters, again.characters) and torch.equal(crops.under, again.under)
    other = batches.batch(7, progress)
    assert not torch.equal(crops.pixels, other.pixels)
    assert crops.second is None
    slots = crops.pixels.shape[0] * crops.pixels[0, ::CELL, ::CELL, 0].numel() * SLOTS
    assert int(crops.characters[:, 0].max()) < slots


def test_a_short_run_learns_saves_and_resumes(corpus: Corpus, settings: Settings, tmp_path: Path) -> None:
    run = Run(tmp_path, corpus, settings, Fonts())
    probes = [make_batches(run.corpus, run.tokenizer).batch(100 + number, 0.1) for number in range(4)]

    def characters() -> float:
        return float(np.mean([run.loss(probe)[1]["characters"] for probe in probes]))

    before = characters()
    train_steps(run, 20)
    assert characters() < 0.85 * before
    run.save()
    resumed = Run(tmp_path, corpus, settings, Fonts())
    assert resumed.progress.step == 20
    for name, value in run.starter.state_dict().items():
        assert torch.equal(value, resumed.starter.state_dict()[name]), name
    assert train_steps(run, 3) == pytest.approx(train_steps(resumed, 3), abs=1e-3)


@pytest.mark.parametrize("done", [0.1, 0.6, 0.95])
def test_every_stage_gives_finite_losses_and_gradients(
    corpus: Corpus, settings: Settings, tmp_path: Path, done: float
) -> None:
    run = Run(tmp_path, corpus, settings, Fonts())
    batches = make_batches(run.corpus, run.tokenizer)
    for index in (0, 1, 3):
        loss, parts = run.loss(batches.batch(index, done), watch=True)
        loss.backward()
        assert torch.isfinite(loss) and parts.keys() == {"words", "error", "characters", "recall"}
    norms = [float(p.grad.norm()) for p in run.starter.parameters() if p.grad is not None]
    assert np.isfinite(norms).all() and max(norms) > 0


def test_reading_leaves_words_where_they_are(corpus: Corpus, settings: Settings, tmp_path: Path) -> None:
    run = Run(tmp_path, corpus, settings, Fonts())
    crops = make_batches(run.corpus, run.tokenizer).batch(1, 0.3)
    loss, parts = run.loss(crops)
    expected = parts["characters"] + parts["words"] + 0.03 * parts["error"]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-3)
    loss.backward()
    model = run.starter.model
    assert model.language_model.embed_tokens.weight.grad is None
    optimizer = torch.optim.Adam(model.visual.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        told, _ = run._word_loss(run.starter.look(crops.pixels), crops)
        optimizer.zero_grad()
        told.backward()
        optimizer.step()
        losses.append(float(told.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_a_fresh_network_is_a_bag_of_codes_without_its_constant_part(
    corpus: Corpus, settings: Settings, tmp_path: Path
) -> None:
    starter = Run(tmp_path, corpus, settings, Fonts()).starter
    codes, constant = starter.codes(), starter.constant()
    assert float(constant.norm()) == pytest.approx(3.0, abs=1e-4)
    assert float((codes @ constant).abs().max()) < 1e-3
    ids = torch.tensor([[40, 41, 42, 43]])
    with torch.no_grad():
        pooled = starter.projection(starter.pool(ids, torch.tensor([4])))[0]
        singly = torch.stack([starter.projection(starter.pool(ids[:, [i]], torch.tensor([1])))[0] for i in range(4)])
    assert torch.allclose(pooled, singly.mean(dim=0), atol=1e-4)  # order and neighbours add nothing yet
    assert float(torch.nn.functional.cosine_similarity(singly[0] @ singly.T, codes[40] @ codes[ids[0]].T, dim=0)) > 0.9


def test_what_ends_of_pictures_learn_is_no_part_of_words(corpus: Corpus, settings: Settings, tmp_path: Path) -> None:
    starter = Run(tmp_path, corpus, settings, Fonts()).starter
    codes = starter.codes()
    config = starter.model.config
    with torch.no_grad():
        for token in (config.vision_start_token_id, config.vision_end_token_id, config.image_token_id):
            starter.model.language_model.embed_tokens.weight[token] += 1.0
    torch.testing.assert_close(starter.codes()[40:200], codes[40:200])


def test_codes_are_alike_where_letters_are(tokenizer: PreTrainedTokenizerBase) -> None:
    codes = torch.nn.functional.normalize(letter_codes(tokenizer, 256), dim=1)
    texts = [tokenizer.decode([token]).strip().lower() for token in range(len(tokenizer))]
    grams = [{text[i : i + n] for n in (2, 3) for i in range(len(text) - n + 1)} for text in texts]
    shared, strange = [], []
    for one in range(300, len(texts)):
        for other in range(one):
            if texts[one] != texts[other] and len(grams[one]) > 1 and len(grams[other]) > 1:
                (shared if grams[one] & grams[other] else strange).append(float(codes[one] @ codes[other]))
    assert np.mean(shared) > 0.15 and abs(np.mean(strange)) < 0.05
    assert not codes[tokenizer.all_special_ids].any()


def test_the_last_layer_is_fitted_to_the_codes_under_the_cells(
    corpus: Corpus, settings: Settings, tmp_path: Path
) -> None:
    run = Run(tmp_path, corpus, settings, Fonts())
    batches = make_batches(run.corpus, run.tokenizer)
    stage = replace(settings.plan[0][1], crops=6)
    crops = batches.crop_batch(stage, batches.chance(20_000_000))
    with torch.no_grad():
        before = run._word_loss(run.starter.look(crops.pixels), crops)[1]
    explained = fit_merger(run.starter, batches, stage, 1)
    with torch.no_grad():
        after = run._word_loss(run.starter.look(crops.pixels), crops)[1]
    assert 0 < explained <= 1 and float(after) < min(1.0, float(before))
    assert float(after) == pytest.approx(1 - explained, abs=0.1)


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
    starter = run.averaged()
    before = starter.projection.weight.detach().clone()
    starter = run.calibrated(starter, 0.0)
    assert not torch.allclose(starter.projection.weight, before)
    export(starter, run.tokenizer, tmp_path / "checkpoint")
    embedder = ColPaLiQwenEmbedder.from_pretrained(tmp_path / "checkpoint")
    with torch.no_grad():
        ids = torch.tensor([run.tokenizer(VI).input_ids])
        expected = starter.embed(ids, torch.tensor([ids.shape[1]]))
    encoded = torch.as_tensor(embedder.encode(text=[VI]))
    assert float((encoded * expected).sum()) > 0.99  # written in bf16
    assert embedder.processor.image_processor.size["longest_edge"] == 1000 * 28 * 28
    with torch.no_grad():
        again = Starter.of(embedder).embed(ids, torch.tensor([ids.shape[1]]))
    torch.testing.assert_close(again, encoded, atol=1e-4, rtol=0)


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
        loss, _ = run.loss(batches.batch(run.progress.step, 0.1))
        for group in run.optimizer.param_groups:
            group["lr"] = 3e-3
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        run.progress.step += 1
        losses.append(float(loss.detach()))
    return losses
