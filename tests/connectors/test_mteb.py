"""Embedders as mteb models: tasks defined here, run by mteb itself, offline, and scores worked out from our vectors."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image, ImageDraw

from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from embedder.prefixes import PROMPTS
from trainer.metrics import ndcg_at_k, recall_at_k, spearman

mteb = pytest.importorskip("mteb", reason="mteb is not installed: pip install vipylo-rag[bench]")

from datasets import Dataset, DatasetDict  # noqa: E402
from mteb.abstasks.retrieval import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.sts import AbsTaskSTS  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402
from mteb.abstasks.zeroshot_classification import AbsTaskZeroShotClassification  # noqa: E402
from mteb.types import PromptType  # noqa: E402

from connectors.mteb_encoder import MtebEncoder, mteb_name, register  # noqa: E402

COLOURS = ["red", "green", "blue", "orange", "black"]


def metadata(name: str, type_: str, category: str, modalities: list[str], main_score: str) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        description="defined in a test",
        reference=None,
        dataset={"path": "none/none", "revision": "1"},
        type=type_,
        category=category,
        modalities=modalities,
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=main_score,
    )


def picture(number: int) -> Image.Image:
    image = Image.new("RGB", (84 + 28 * (number % 3), 84), "white")
    ImageDraw.Draw(image).ellipse((10, 10, 70, 40 + 6 * number), fill=COLOURS[number % len(COLOURS)])
    return image


TEXTS = [f"{colour} {thing}" for colour in COLOURS for thing in ("car", "house", "contract number 7")]
QUERIES = ["a red car", "which house is green", "contract 7 in blue", "orange"]
RIGHT = {"q0": {"d0": 2, "d1": 1}, "q1": {"d4": 1}, "q2": {"d8": 1, "d2": 1}, "q3": {"d9": 1, "d10": 3, "d11": 1}}


class InMemoryRetrieval(AbsTaskRetrieval):
    """Its rows are given, not downloaded."""

    queries_: ClassVar[dict[str, list[Any]]]
    corpus_: ClassVar[dict[str, list[Any]]]

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        split = {
            "queries": numbered("q", self.queries_),
            "corpus": numbered("d", self.corpus_),
            "relevant_docs": {query: dict(right) for query, right in RIGHT.items()},
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def numbered(letter: str, columns: dict[str, list[Any]]) -> Dataset:
    rows = len(next(iter(columns.values())))
    return Dataset.from_dict({"id": [f"{letter}{row}" for row in range(rows)], **columns})


class TextTask(InMemoryRetrieval):
    metadata = metadata("OurTextRetrieval", "Retrieval", "t2t", ["text"], "ndcg_at_10")
    queries_: ClassVar = {"text": QUERIES}
    corpus_: ClassVar = {"text": [*TEXTS, ""], "title": [""] * (len(TEXTS) + 1)}


class PageTask(InMemoryRetrieval):
    metadata = metadata("OurPages", "DocumentUnderstanding", "t2i", ["text", "image"], "ndcg_at_5")
    queries_: ClassVar = {"text": QUERIES}
    corpus_: ClassVar = {"image": [picture(row) for row in range(12)]}


class MixedTask(InMemoryRetrieval):
    metadata = metadata("OurMixed", "Any2AnyRetrieval", "it2it", ["text", "image"], "ndcg_at_10")
    queries_: ClassVar = {"text": QUERIES, "image": [picture(row) for row in range(4)]}
    corpus_: ClassVar = {"text": TEXTS[:12], "image": [picture(row) for row in range(12)]}


class SimilarTask(AbsTaskSTS):
    metadata = metadata("OurSTS", "STS", "t2t", ["text"], "cosine_spearman")

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        rows = {"sentence1": TEXTS, "sentence2": TEXTS[3:] + TEXTS[:3], "score": [float(n % 6) for n in range(15)]}
        self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
        self.data_loaded = True


class ColourTask(AbsTaskZeroShotClassification):
    metadata = metadata("OurColours", "ZeroShotClassification", "i2t", ["image", "text"], "accuracy")

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        rows = {"image": [picture(n) for n in range(10)], "label": [n % 5 for n in range(10)]}
        self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
        self.data_loaded = True

    def get_candidate_labels(self) -> list[str]:
        return [f"a {colour} disc" for colour in COLOURS]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """mteb knows hubs; nothing here may ask them."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def embedder(tiny_checkpoint: Path) -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def encoder(embedder: ColPaLiQwenEmbedder) -> MtebEncoder:
    return MtebEncoder(embedder, name="test/tiny")


def run(encoder: Any, task: Any, folder: Path) -> dict[str, Any]:
    """The scores that mteb itself works out, and writes."""
    result = mteb.evaluate(
        encoder,
        task,
        cache=mteb.ResultCache(folder),
        encode_kwargs={"batch_size": 4},
        show_progress_bar=False,
        co2_tracker=False,
    )
    (scores,) = result.task_results[0].scores["test"]
    (written,) = folder.glob(f"results/**/{task.metadata.name}.json")
    assert json.loads(written.read_text())["scores"]["test"][0]["main_score"] == pytest.approx(
        scores["main_score"], abs=1e-5
    )
    assert encoder.mteb_model_meta.revision in written.parts
    return dict(scores)


def check_retrieval(scores: dict[str, Any], queries: np.ndarray, documents: np.ndarray) -> None:
    cosines = queries @ documents.T
    for k in (3, 5, 10):
        expected, recalls = [], []
        for row, query in enumerate(RIGHT):
            ranks = [1 + int((cosines[row] > cosines[row, int(d[1:])]).sum()) for d in RIGHT[query]]
            expected.append(ndcg_at_k(ranks, k, list(RIGHT[query].values())))
            recalls.append(recall_at_k(ranks, k))
        assert scores[f"ndcg_at_{k}"] == pytest.approx(np.mean(expected), abs=1e-5)
        assert scores[f"recall_at_{k}"] == pytest.approx(np.mean(recalls), abs=1e-5)


def test_text_retrieval_by_mteb_gives_the_metrics_of_our_own_vectors(
    encoder: MtebEncoder, embedder: ColPaLiQwenEmbedder, tmp_path: Path
) -> None:
    scores = run(encoder, TextTask(), tmp_path)
    queries = embedder.encode(text=QUERIES, task="instr", convert_to="numpy")
    documents = np.vstack([embedder.encode(text=TEXTS, convert_to="numpy"), np.zeros((1, embedder.dim))])
    check_retrieval(scores, queries, documents)


def test_questions_find_page_images(encoder: MtebEncoder, embedder: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    scores = run(encoder, PageTask(), tmp_path)
    queries = embedder.encode(text=QUERIES, task="vqa_single", convert_to="numpy")
    documents = embedder.encode(images=[picture(row) for row in range(12)], convert_to="numpy")
    check_retrieval(scores, queries, documents)


def test_text_and_image_of_a_row_are_one_sample(
    encoder: MtebEncoder, embedder: ColPaLiQwenEmbedder, tmp_path: Path
) -> None:
    scores = run(encoder, MixedTask(), tmp_path)
    pictures = [picture(row) for row in range(12)]
    queries = embedder.encode(text=QUERIES, images=pictures[:4], task="vqa_single", convert_to="numpy")
    check_retrieval(scores, queries, embedder.encode(text=TEXTS[:12], images=pictures, convert_to="numpy"))


def test_sts_and_zero_shot_classification(encoder: MtebEncoder, embedder: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    scores = run(encoder, SimilarTask(), tmp_path)
    vectors = embedder.encode(text=TEXTS, task="text_pair", convert_to="numpy")
    cosines = (vectors * np.roll(vectors, -3, axis=0)).sum(axis=1)
    assert scores["cosine_spearman"] == pytest.approx(spearman(cosines, [n % 6 for n in range(15)]), abs=1e-5)

    accuracy = run(encoder, ColourTask(), tmp_path)["accuracy"]
    labels = embedder.encode(text=[f"a {colour} disc" for colour in COLOURS], convert_to="numpy")
    found = (embedder.encode(images=[picture(n) for n in range(10)], convert_to="numpy") @ labels.T).argmax(axis=1)
    assert accuracy == pytest.approx(np.mean(found == np.arange(10) % 5), abs=1e-9)


def batches(*rows: dict[str, list[Any]]) -> list[dict[str, list[Any]]]:
    return list(rows)


def encode(encoder: MtebEncoder, *rows: dict[str, list[Any]], task: Any = TextTask, **options: Any) -> np.ndarray:
    return encoder.encode(batches(*rows), task_metadata=task.metadata, hf_split="test", hf_subset="default", **options)


def test_vectors_are_unit_float32_and_empty_rows_zero(encoder: MtebEncoder, embedder: ColPaLiQwenEmbedder) -> None:
    rows = {"text": ["a", "  ", "<image> is a word here"]}, {"text": ["b"]}
    vectors = encode(encoder, *rows, prompt_type=PromptType.document, batch_size=1)
    assert vectors.dtype == np.float32 and vectors.shape == (4, embedder.dim)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1, 1], abs=1e-6)
    assert encode(encoder, prompt_type=PromptType.document).shape == (0, embedder.dim)


def test_a_matryoshka_cut_is_renormalised_and_kept_apart(embedder: ColPaLiQwenEmbedder, encoder: MtebEncoder) -> None:
    cut = MtebEncoder(embedder, name="test/tiny", dim=8)
    vectors = encode(cut, {"text": ["a", "b"]})
    assert vectors == pytest.approx(embedder.encode(text=["a", "b"], task="text_pair", dim=8).numpy(), abs=1e-6)
    assert cut.mteb_model_meta.embed_dim == 8
    assert cut.mteb_model_meta.experiment_name != encoder.mteb_model_meta.experiment_name
    with pytest.raises(InputError, match="dim=0"):
        MtebEncoder(embedder, dim=0)


def test_prompts_of_the_checkpoint_come_before_our_prefixes(embedder: ColPaLiQwenEmbedder) -> None:
    own = MtebEncoder(embedder, prompts={"query": "Q: ", "OurTextRetrieval": "ours: ", "document": "D: "})
    asked = encode(own, {"text": ["a"]}, prompt_type=PromptType.query)
    assert asked == pytest.approx(embedder.encode(text="ours: a").numpy(), abs=1e-6)
    asked = encode(own, {"text": ["a"]}, prompt_type=PromptType.document, task=PageTask)
    assert asked == pytest.approx(embedder.encode(text="D: a").numpy(), abs=1e-6)
    none = MtebEncoder(embedder, prompts={})
    assert encode(none, {"text": ["a"]}) == pytest.approx(embedder.encode(text="a").numpy(), abs=1e-6)
    assert embedder.prompts == PROMPTS


def test_image_queries_get_the_prefix_that_training_gives_them(
    embedder: ColPaLiQwenEmbedder, encoder: MtebEncoder
) -> None:
    to_text = type(
        "ToText", (PageTask,), {"metadata": metadata("T", "Any2AnyRetrieval", "i2t", ["image", "text"], "x")}
    )
    to_image = type("ToImage", (PageTask,), {"metadata": metadata("I", "Any2AnyRetrieval", "i2i", ["image"], "x")})
    for task, text in ((to_text, "<ocr> "), (to_image, "")):
        found = encode(encoder, {"image": [picture(1)]}, task=task, prompt_type=PromptType.query)
        assert found == pytest.approx(embedder.encode(text=[text], images=[picture(1)]).numpy(), abs=1e-6)


def test_what_cannot_be_embedded_is_named(encoder: MtebEncoder) -> None:
    wide = Image.new("RGB", (3000, 3))
    with pytest.raises(InputError, match=r"row 2 of the data cannot be embedded: .*200 times"):
        encode(encoder, {"image": [picture(0), picture(1)]}, {"image": [wide]}, task=PageTask)
    with pytest.raises(InputError, match="rows with audio"):
        encode(encoder, {"audio": [1]})
    with pytest.raises(InputError, match="an image as str"):
        encode(encoder, {"image": ["a.png"]})
    with pytest.raises(InputError, match="precision='int8'"):
        encode(encoder, {"text": ["a"]}, precision="int8")


def test_a_registered_embedder_is_got_by_name(embedder: ColPaLiQwenEmbedder, tmp_path: Path) -> None:
    meta = register(embedder, name="test/registered")
    assert meta.revision and embedder.fingerprint.startswith(meta.revision)
    loaded = mteb.get_model("test/registered")
    assert isinstance(loaded, MtebEncoder) and loaded.embedder is embedder
    assert mteb.get_model_meta("test/registered").modalities == ["text", "image"]
    scores = run(loaded, TextTask(), tmp_path)
    assert 0 < scores["ndcg_at_10"] <= 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("starter", "vipylo/starter"),
        ("Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2-VL-2B-Instruct"),
        ("runs/2026 final/checkpoint-7", "vipylo/checkpoint-7"),
        ("./mine", "vipylo/mine"),
        ("remote:org/model", "org/model"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert mteb_name(name) == expected


def test_without_mteb_the_way_out_is_told() -> None:
    code = "import sys; sys.modules['mteb'] = None\nimport connectors.mteb_encoder"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'PluginError: mteb is not installed: pip install "vipylo-rag[bench]"' in ran.stderr
