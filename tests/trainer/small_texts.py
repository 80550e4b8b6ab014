"""A small folder of texts of every kind that the starter recipe reads, and a run over it that takes seconds."""

import json
from dataclasses import replace
from multiprocessing import Value
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from trainer.starter.corpus import Corpus
from trainer.starter.model import Shape
from trainer.starter.render import Fonts
from trainer.starter.samples import Batches, CharacterSet, Stage
from trainer.starter.tokenizer import train_tokenizer
from trainer.starter.train import Settings

VI = "Người lao động có quyền nghỉ hằng năm và hưởng nguyên lương theo hợp đồng lao động số"
EN = "The worker may rest every year and keeps the full wage that the contract names in part"
ZH = "劳动者每年有权休假并领取合同规定的全部工资，具体办法由双方约定，编号为"
TINY = Shape(
    hidden=32, layers=1, heads=1, key_value_heads=1, intermediate=32, vision_width=32, vision_depth=1, vision_heads=1
)
STAGES = (
    (0.5, Stage("easy", 4, (112, 112), 4, (14, 18), True)),
    (0.8, Stage("characters", 4, (112, 112), 2, (12, 18), False)),
    (1.0, Stage("strips", 2, (112, 168), 1, (12, 18), False)),
)


def write_small_texts(folder: Path) -> Path:
    """Every file kind the reader knows."""
    rows = [f"{EN} {i}.\t{VI} {i}.\tx" for i in range(400)]
    (folder / "pairs.tsv").write_text("\n".join(["en\tvi\tattribution", *rows]), encoding="utf-8")
    articles = [
        {"title": f"{i}", "paragraphs": [{"context": f"{ZH}{i}。" * 2, "qas": [{"question": f"编号{i}是什么？"}]}]}
        for i in range(60)
    ]
    (folder / "squad.json").write_text(json.dumps({"data": articles}), encoding="utf-8")
    questions = [{"file": f"{i}", "q": f"What is part {i}?", "a": f"{EN} {i}."} for i in range(40)]
    (folder / "qa.jsonl").write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
    (folder / "law.txt").write_text("\n\n".join(f"Điều {i}. {VI} {i}." for i in range(200)), encoding="utf-8")
    alike = [f"{ZH}{i},{ZH}第{i}项,{i % 6}" for i in range(60)]
    (folder / "alike.csv").write_text("\n".join(alike), encoding="utf-8")
    (folder / "SOURCE.txt").write_text("not a text", encoding="utf-8")
    return folder


def small_tokenizer(corpus: Corpus) -> PreTrainedTokenizerBase:
    """Trained on the corpus; 600 tokens."""
    return train_tokenizer((text for document in corpus.documents for text in document.paragraphs), 600)


def small_settings() -> Settings:
    """A tiny network; the time never runs out."""
    return replace(
        Settings(), minutes=1000.0, vocabulary=600, characters=200, shape=TINY, plan=STAGES, warmup_steps=3, log_every=5
    )


def make_batches(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> Batches:
    """Batches of the small stages."""
    return Batches(corpus, tokenizer, CharacterSet.of(corpus, 200), Fonts(), STAGES, Value("d", 0.0), seed=5)
