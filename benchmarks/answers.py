"""Does the passage that is quoted where no language model is set up hold the answer? On questions in three languages.

    python benchmarks/answers.py demo/documents          # or --out answers.json, --embedder CHECKPOINT, --show

Fields of eighteen invented papers (`answer_fields.yaml`, a half was kept from tuning) and, where their folder is given,
the sample documents that `make demo` writes (`answer_samples.yaml`). Both have questions that no page answers, too,
which should be refused.
"""

import argparse
import json
import re
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.console import Console
from rich.table import Table

from embedder import ColPaLiQwenEmbedder
from vipylo_rag import Answer, MultimodalIndex
from vipylo_rag.passages import quoted

DATA = Path(__file__).parent
# The papers are texts: pictures of them need no more.
_PIXELS = 100_000


@dataclass(frozen=True)
class Asked:
    """A question with what came of it; `value` is None where the documents do not answer.

    Attributes:
        first: the first passage holds the value.
        any: one of the passages does.
    """

    question: str
    value: str | None
    found: bool
    first: bool
    any: bool
    passages: tuple[str, ...]

    @classmethod
    def of(cls, answer: Answer, value: str | None) -> "Asked":
        """What an answer without a language model quotes: a line that says so, then passages, best first."""
        passages = tuple(answer.text.split("\n\n")[1:]) if answer.found else ()
        holding = [value is not None and holds(passage, value) for passage in passages]
        return cls(answer.question, value, answer.found, bool(holding and holding[0]), any(holding), passages)


@dataclass(frozen=True)
class Row:
    """A line of the table: counts of questions that documents answer, and of others."""

    name: str
    answered: int
    first: int
    any: int
    unanswered: int
    refused: int

    @classmethod
    def of(cls, name: str, asked: Sequence[Asked]) -> "Row":
        """The sums over some questions."""
        answered = [one for one in asked if one.value is not None]
        others = [one for one in asked if one.value is None]
        return cls(
            name,
            len(answered),
            sum(one.first for one in answered),
            sum(one.any for one in answered),
            len(others),
            sum(not one.found for one in others),
        )


def holds(text: str, value: str) -> bool:
    """Whether a value stands in a text and no figure or letter of its script goes on; blanks do not matter."""
    said, wanted = ("".join(unicodedata.normalize("NFC", part).casefold().split()) for part in (text, value))
    before = r"(?<!\d)" if wanted[0].isdigit() else ""
    return bool(re.search(before + re.escape(wanted) + (r"(?!\d)" if wanted[-1].isdigit() else ""), said))


def papers() -> list[dict[str, Any]]:
    """The invented papers with their questions."""
    read: list[dict[str, Any]] = yaml.safe_load((DATA / "answer_fields.yaml").read_text(encoding="utf-8"))
    return read


def ask_papers(embedder: str, folder: Path) -> dict[str, list[Asked]]:
    """All papers in one index, asked; by `dev` and `test`."""
    documents = folder / "papers"
    documents.mkdir()
    for paper in papers():
        (documents / f"{paper['name']}.txt").write_text(paper["text"], encoding="utf-8")
    asked: dict[str, list[Asked]] = {"dev": [], "test": []}
    small = ColPaLiQwenEmbedder.from_pretrained(embedder, max_pixels=_PIXELS)
    with MultimodalIndex.open(folder / "papers-index", embedder=small) as index:
        index.ingest(documents)
        for paper in papers():
            said = [*paper["asked"], *((question, None) for question in paper["unanswered"])]
            asked[paper["split"]] += [Asked.of(index.ask(question), value) for question, value in said]
    return asked


def ask_samples(embedder: str, samples: Path, folder: Path) -> list[Asked]:
    """The sample documents, asked; their index is written to `folder`."""
    said = yaml.safe_load((DATA / "answer_samples.yaml").read_text(encoding="utf-8"))
    with MultimodalIndex.open(folder / "samples-index", embedder=embedder) as index:
        index.ingest(samples)
        pairs = [*said["answered"], *((question, None) for question in said["unanswered"])]
        return [Asked.of(index.ask(question), value) for question, value in pairs]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, nargs="?", help="the folder of sample documents; none: only the papers")
    parser.add_argument("--embedder", default="starter", help="a checkpoint's name or directory")
    parser.add_argument("--out", type=Path, help="also write all questions and passages as JSON")
    parser.add_argument("--show", action="store_true", help="print the questions that failed")
    given = parser.parse_args(arguments)
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        by_paper = ask_papers(given.embedder, Path(folder))
        asked = {f"papers, {split}": some for split, some in by_paper.items()}
        if given.samples:
            asked["sample documents"] = ask_samples(given.embedder, given.samples, Path(folder))
    table = Table(box=box.SIMPLE)
    for head in ("documents", "answered", "first passage", "any passage", "not answered", "refused"):
        table.add_column(head, justify="left" if head == "documents" else "right")
    for name, some in asked.items():
        row = Row.of(name, some)
        table.add_row(name, *map(str, (row.answered, row.first, row.any, row.unanswered, row.refused)))
    console.print(table)
    if given.show:
        for one in (one for some in asked.values() for one in some if not (one.first if one.value else not one.found)):
            console.print(one.question, one.value or "(not answered)", *one.passages[:1], sep="\n  ", markup=False)
    if given.out:
        said = {name: [asdict(one) for one in some] for name, some in asked.items()}
        given.out.write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")
        console.print(f"written: {quoted(str(given.out))}", markup=False)


if __name__ == "__main__":
    main()
