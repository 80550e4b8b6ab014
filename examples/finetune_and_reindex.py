"""Fine-tune the starter on your own JSONL, then move an index to the new checkpoint while the old one goes on serving.

    python -m examples.finetune_and_reindex work          # data of its own: a company's nicknames for its machines
    python -m examples.finetune_and_reindex work --train my_train.jsonl --documents docs/ --ask "question" file.pdf 3

Searches before and after, prints the ranks of the pages asked for, and writes the pages found into work/pages.html.
Run it from the root of a checkout of the repository.
"""

import argparse
import json
import random
import sys
import threading
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pymupdf

from examples.contact_sheet import Shown, write_contact_sheet
from trainer.config import load_config
from trainer.run import train
from vipylo_rag import Hit, MultimodalIndex, ViPyloError

# What people call a machine, what its papers call it, and what they say of it: no model can know the nickname.
MACHINES = (
    ("Lão Hạc", "máy ép nhựa số 4", "Khuôn nguội quá bốn mươi giây thì nắp hộp bị cong vênh."),
    ("the dragon", "steam boiler B2", "Blow down every morning and log the pressure of the feed water."),
    ("小胖", "三号包装机", "薄膜张力过大时会拉断，请先松开压辊。"),
    ("Chị Dậu", "băng tải kho lạnh", "Bôi mỡ ổ bi chịu lạnh hai tuần một lần, kiểm tra độ căng của dây."),
    ("old Bessie", "forklift 12", "Charge the battery only when the indicator is below thirty per cent."),
    ("孙悟空", "码垛机器人", "抓手的吸盘每周清洁一次，真空度不足时更换。"),
    ("Thị Nở", "lò sấy gỗ", "Mở cửa hút ẩm khi độ ẩm của gỗ lên trên mười tám phần trăm."),
    ("the choir", "compressor station", "Three units run in turn; the fourth stands by for the paint shop."),
)
SAID = ("{} lại hỏng rồi", "who repairs {}?", "{} 在哪里？", "{} – lịch bảo trì", "spare parts for {}", "{} 的说明书")
ASKED = ("hướng dẫn sử dụng {}", "{}: what does the manual say?", "{} 怎么保养")


@dataclass(frozen=True)
class Question:
    """A question with the page that answers it."""

    text: str
    name: str
    page: int


def own_data(folder: Path) -> tuple[Path, Path, list[Question]]:
    """A training file that pairs nicknames with names, documents that know the names alone, and questions in words that
    the file does not have."""
    rows = [
        {"task": "text_pair", "query": {"text": said.format(nickname)}, "positive": {"text": paper.format(machine)}}
        for nickname, machine, _ in MACHINES
        for said, paper in zip(SAID, ("{}", "{}: file", "{} – sổ", "档案 {}", "{} (inventory)", "nhãn {}"), strict=True)
    ]
    random.Random(0).shuffle(rows)
    jsonl = folder / "train.jsonl"
    jsonl.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    documents, questions = folder / "documents", []
    documents.mkdir()
    with pymupdf.open() as pdf:
        for number, (nickname, machine, text) in enumerate(MACHINES, start=1):
            page = pdf.new_page(width=300, height=200)
            page.insert_htmlbox(pymupdf.Rect(20, 20, 280, 180), f"<h2>{machine}</h2><p>{text}</p>")
            questions.append(Question(ASKED[(number - 1) % 3].format(nickname), "machines.pdf", number))
        pdf.save(documents / "machines.pdf")
    return jsonl, documents, questions


def finetuned(jsonl: Path, output: Path, steps: int, learning_rate: float) -> Path:
    """A checkpoint of the starter trained on the file, by the configuration that comes with the trainer."""
    changes = {
        "output": str(output),
        "data.train": str(jsonl.absolute()),
        "data.workers": 0,
        "optimization.max_steps": steps,
        "optimization.learning_rate": learning_rate,
        "report.log_every": max(1, steps // 5),
        "report.trackers": [],
    }
    return train(load_config(str(files("trainer") / "configs" / "starter_finetune.yaml"), changes))


def reindexed(index: MultimodalIndex, checkpoint: Path, question: Question) -> int:
    """Move the index to the checkpoint; how many searches the old vectors answered meanwhile."""
    failed: list[ViPyloError] = []

    def move() -> None:
        try:
            index.reindex(str(checkpoint), progress=lambda report: print(f"  {report.settled} of {report.pages} pages"))
        except ViPyloError as error:
            failed.append(error)

    moving, answered = threading.Thread(target=move), 0
    moving.start()
    while moving.is_alive():
        answered += bool(index.search(question.text, top_k=3))
        moving.join(0.05)
    if failed:
        raise failed[0]
    return answered


def ask(index: MultimodalIndex, questions: list[Question]) -> list[list[Hit]]:
    """What each question finds by its vector alone, as words would find the nicknames nowhere."""
    return [index.search(question.text, top_k=100, mode="dense") for question in questions]


def rank(hits: list[Hit], question: Question) -> int | None:
    """Of the right page, from 1."""
    places = ((hit.name, hit.page) == (question.name, question.page) for hit in hits)
    return next((number for number, right in enumerate(places, start=1) if right), None)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 2 if something cannot be read or trained on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    option = parser.add_argument
    option("folder", type=Path, help="where all is written; new, or empty")
    option("--train", type=Path, metavar="JSONL", help="your training file: docs/training.md says what is in it")
    option("--documents", type=Path, help="what is indexed; needed with --train")
    option("--ask", nargs=3, action="append", default=[], metavar=("TEXT", "FILE", "PAGE"), help="and what answers it")
    option("--steps", type=int, default=30, help="of training (%(default)s)")
    option("--learning-rate", type=float, default=1e-3, help="(%(default)s; with much data, less)")
    asked = parser.parse_args(arguments)
    if bool(asked.train) != bool(asked.documents and asked.ask):
        parser.error("your own data are --train, --documents and --ask, all three")
    asked.folder.mkdir(parents=True, exist_ok=True)
    if any(asked.folder.iterdir()):
        parser.error(f"{asked.folder} is not empty: choose a folder that does not exist yet")
    jsonl, documents, questions = asked.train, asked.documents, [Question(t, f, int(p)) for t, f, p in asked.ask]
    if not asked.train:
        jsonl, documents, questions = own_data(asked.folder)
    try:
        with MultimodalIndex.open(asked.folder / "index", embedder="starter") as index:
            print(f"{index.ingest(documents).pages_embedded} pages embedded by the starter")
            before = ask(index, questions)
            checkpoint = finetuned(jsonl, asked.folder / "trained", asked.steps, asked.learning_rate)
            print(f"trained: {checkpoint}\nreindexing")
            meanwhile = reindexed(index, checkpoint, questions[0])
            print(f"  {meanwhile} searches were answered meanwhile, by the old vectors")
            after = ask(index, questions)
    except ViPyloError as error:
        print(error, file=sys.stderr)
        return 2
    shown = []
    print("\nbefore  after   rank of the right page")
    for question, old, new in zip(questions, before, after, strict=True):
        ranks = [rank(hits, question) or "-" for hits in (old, new)]
        print(f"{ranks[0]:>6}  {ranks[1]:>5}   {question.text}")
        right = frozenset({(question.name, question.page)})
        shown += [Shown(question.text, "before: starter", None, old[:4], right, f"rank {ranks[0]}")]
        shown += [Shown(question.text, "after: fine-tuned", None, new[:4], right, f"rank {ranks[1]}")]
    write_contact_sheet(asked.folder / "pages.html", "Before and after fine-tuning", "The right page is framed.", shown)
    print(f"\npages as pictures: {asked.folder / 'pages.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
