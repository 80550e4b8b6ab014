"""The model card: valid front matter, the numbers that were measured and no others, and no path of the machine."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedder import ColPaLiQwenEmbedder
from trainer.card import write_card
from trainer.config import TrainConfig
from trainer.evaluation import Evaluation, Part

EVALUATION = Evaluation(
    (
        Part("ocr", None, 40, 38, {"ndcg@10": 0.8125, "recall@1": 0.5}),
        Part("ocr", "vi", 20, 19, {"ndcg@10": 0.75, "recall@1": 0.25}),
        Part("text_pair", None, 9, 1200, {"spearman": 0.625}),
    ),
    samples=70,
    skipped=1,
)
FACTS = {"steps": 500, "samples": 384_000, "tokens": 91_000_000, "hours": 1.5, "skipped": 3, "best_step": 400}


def config(**more: Any) -> TrainConfig:
    content: dict[str, Any] = {
        "output": "/secret/folder/run",
        "model": {"checkpoint": "/secret/folder/base"},
        "data": {"train": "/secret/folder/TRAIN.jsonl", "evaluation": "/secret/folder/EVAL.jsonl"},
        "report": {"name": "Viet one", "licence": "apache-2.0", "data_credits": ["Tatoeba, CC BY 2.0 FR", "d2l"]},
    }
    return TrainConfig.model_validate(content | more)


def front_matter(card: str) -> dict[str, Any]:
    start, content, _ = card.split("---\n", 2)
    assert start == ""
    loaded: dict[str, Any] = yaml.safe_load(content)
    return loaded


def test_front_matter_numbers_credits_and_settings(tmp_path: Path) -> None:
    path = write_card(tmp_path, config(), EVALUATION, FACTS)
    assert path == tmp_path / "README.md"
    card = path.read_text(encoding="utf-8")
    fields = front_matter(card)
    assert fields["license"] == "apache-2.0" and fields["language"] == ["vi", "en", "zh"]
    assert fields["library_name"] == "sentence-transformers" and fields["pipeline_tag"] == "feature-extraction"
    assert "qwen2_vl" in fields["tags"] and "base_model" not in fields
    assert "| ocr | all | 40 | 38 | 0.812 | 0.500 |  |" in card
    assert "| ocr | vi | 20 | 19 | 0.750 | 0.250 |  |" in card
    assert "| text_pair | all | 9 | 1,200 |  |  | 0.625 |" in card
    assert "1 of 70 samples" in card and "91 million" in card and "1.5 h" in card and "| 500 |" in card
    assert "- Tatoeba, CC BY 2.0 FR\n- d2l" in card and "`TRAIN.jsonl`" in card and "`EVAL.jsonl`" in card
    assert "temperature: 0.07" in card and "ColPaLiQwenEmbedder.from_pretrained" in card
    assert "SentenceTransformer(" in card and "best of several evaluations" in card
    assert "/secret/folder" not in card


def test_nothing_is_claimed_that_was_not_measured(tmp_path: Path) -> None:
    report: dict[str, Any] = {"name": "Plain", "licence": None, "languages": []}
    card = write_card(tmp_path, config(report=report), None).read_text(encoding="utf-8")
    fields = front_matter(card)
    assert "license" not in fields and "language" not in fields
    assert "Nothing was measured" in card and "nDCG" not in card and "steps" not in card.split("```yaml")[0]
    assert "not stated" in card and "No licence was stated" in card
    assert "best of" not in write_card(tmp_path, config(), EVALUATION, {"steps": 2}).read_text(encoding="utf-8")


def test_what_the_configuration_changes_is_said(tmp_path: Path) -> None:
    model = {
        "checkpoint": "Qwen/Qwen2-VL-2B-Instruct", "lora": {"rank": 8}, "frozen": ["vision"], "matryoshka": [512, 256],
    }  # fmt: skip
    data = {"train": "t.jsonl", "prefixes": False}
    card = write_card(tmp_path, config(model=model, data=data), EVALUATION).read_text(encoding="utf-8")
    assert front_matter(card)["base_model"] == "Qwen/Qwen2-VL-2B-Instruct"
    assert "rank 8" in card and "vision frozen" in card and "256 and 512" in card
    assert "without task prefixes" in card and "prompt_name" not in card


def test_the_prefixes_are_those_that_were_trained(tmp_path: Path) -> None:
    def usage(*tasks: str) -> str:
        card = write_card(tmp_path, config(), EVALUATION, {"tasks": tasks}).read_text(encoding="utf-8")
        return card.split("## Use")[1].split("## ")[0]

    assert "tasks: `instr` and `vqa_multi`)" in usage("instr", "vqa_multi") and "`ocr`" not in usage("instr")
    mixed = usage("caption", "instr")
    assert "tasks: `instr`)" in mixed and "Queries of `caption` have no prefix" in mixed
    assert "prompt_name" not in usage("caption") and "Queries of `caption` have no prefix" in usage("caption")


def test_frozen_parts_are_not_called_trained(tmp_path: Path) -> None:
    model = {"checkpoint": "/secret/folder/base", "frozen": ["vision"]}
    card = write_card(tmp_path, config(model=model), EVALUATION).read_text(encoding="utf-8")
    assert "(weights trained, vision frozen)" in card and "all weights trained" not in card
    assert "bfloat16" in card


def test_text_of_others_stays_in_its_place(tmp_path: Path) -> None:
    report = {"name": "a\n---\n# b", "licence": "x: [y", "data_credits": ["one\n\n## Measured\n| a |"]}
    part = Part("a|b", None, 2, 2, {"ndcg@10": 1.0})
    card = write_card(tmp_path, config(report=report), Evaluation((part,), 2)).read_text(encoding="utf-8")
    assert front_matter(card)["license"] == "x: [y"
    assert card.count("\n## Measured") == 1 and "| a\\|b | all |" in card


@pytest.mark.parametrize("written", [1, 2])
def test_a_checkpoint_with_its_card_loads_and_is_saved_again(
    tiny_checkpoint: Path, tmp_path: Path, written: int
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    for _ in range(written):
        write_card(folder, config(), EVALUATION, FACTS)
    embedder = ColPaLiQwenEmbedder.from_pretrained(folder, device="cpu")
    embedder.save_pretrained(folder)  # refuses folders with strange files in them
    assert "Viet one" in (folder / "README.md").read_text(encoding="utf-8")
