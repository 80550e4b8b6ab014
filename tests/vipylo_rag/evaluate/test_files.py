"""The files of a data set: TREC's judgements, gzipped lines, and what is no file that may be read."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from embedder.errors import InputError
from tests.vipylo_rag.evaluate.conftest import WriteDataset
from vipylo_rag.evaluate import Dataset

CORPUS = [{"_id": "d1", "text": "one"}, {"_id": "d 2", "text": "two"}]
QUERIES = [{"_id": "q1", "text": "one"}, {"_id": "q 2", "text": "two"}]
QRELS = [("q1", "d1", 1), ("q 2", "d 2", 2), ("q 2", "d1", 0)]
TREC = "q1 0 d1 1\nq%202 0 d%202 2\nq%202\t0\td1  0\n"


@pytest.fixture
def folder(write_dataset: WriteDataset) -> Path:
    return write_dataset(CORPUS, QUERIES, QRELS)


def grades(data: Dataset) -> dict[str, dict[str, float]]:
    return {query: {one.document: one.grade for one in given} for query, given in data.judgements.items()}


@pytest.mark.parametrize(
    ("name", "split"),
    [("qrels/test.txt", None), ("qrels/dev.qrels", "dev"), ("qrels/dev.trec", "dev"), ("qrels.txt", None)],
)
@pytest.mark.parametrize("corpus", [True, False])
def test_trecs_judgements_are_beirs(folder: Path, name: str, split: str | None, corpus: bool) -> None:
    beir = grades(Dataset.load(folder))
    (folder / "qrels" / "test.tsv").unlink()
    (folder / name).write_text(TREC)
    assert (
        grades(Dataset.load(folder, split=split, corpus=corpus))
        == beir
        == {"q1": {"d1": 1}, "q 2": {"d 2": 2, "d1": 0}}
    )


def test_the_first_line_tells_the_form(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text("q1\t0\td1\t1\n")  # as MS MARCO has it
    assert grades(Dataset.load(folder)) == {"q1": {"d1": 1}}
    (folder / "qrels" / "test.tsv").write_text("q 2\td 2\t1\n")  # BEIR's without a header, and ids with blanks
    assert grades(Dataset.load(folder)) == {"q 2": {"d 2": 1}}
    for text, said in (
        ("q1 0 d1 1\nq1\td1\t1\n", r"test\.tsv:2: is not query-id, 0, corpus-id and score"),
        ("q1 0 d1 1\nq1 0 d1 2\n", r"test\.tsv:2: 'd1' was judged for 'q1' in line 1 already"),
        ("q9 0 d1 1\n", r"test\.tsv:1: queries\.jsonl has no query 'q9'"),
        ("q1 0 d9 1\n", r"test\.tsv:1: corpus\.jsonl has no document 'd9'"),
        ("q1 0 d1 x\n", "the score is 'x', no number"),
    ):
        (folder / "qrels" / "test.tsv").write_text(text)
        with pytest.raises(InputError, match=said):
            Dataset.load(folder)
    (folder / "qrels" / "test.txt").write_text(TREC)
    with pytest.raises(InputError, match=r"test\.tsv and test\.txt are both there: keep one"):
        Dataset.load(folder)


def pack(file: Path) -> Path:
    packed = file.with_name(f"{file.name}.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    return packed


def test_gzipped_lines_are_read(folder: Path) -> None:
    plain = Dataset.load(folder)
    packed = pack(folder / "corpus.jsonl")
    pack(folder / "queries.jsonl")
    data = Dataset.load(folder)
    assert data.corpus is not None and plain.corpus is not None and data.corpus.ids == plain.corpus.ids
    assert [item.text for item in data.corpus] == ["one", "two"] and [*data.queries] == ["q1", "q 2"]
    with gzip.open(packed, "at") as file:
        file.write("{\n")
    with pytest.raises(InputError, match=r"corpus\.jsonl\.gz:3: is no JSON"):
        Dataset.load(folder)
    for content in (
        gzip.compress(b'{"_id": "d1", "text": "one"}\n')[:-12],
        b"no gzip at all",
        gzip.compress(b"")[:10] + b"\xff" * 20,
    ):
        packed.write_bytes(content)
        with pytest.raises(InputError, match=r"corpus\.jsonl\.gz: is no gzip file, or a damaged one"):
            Dataset.load(folder)


def test_a_file_that_unpacks_without_end_is_refused_early(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipylo_rag.evaluate.dataset_files.MOST_LINE_BYTES", 2**16)
    packed = folder / "corpus.jsonl.gz"
    (folder / "corpus.jsonl").unlink()
    packed.write_bytes(gzip.compress(b"x" * 2**20))
    with pytest.raises(InputError, match=r"gz:1: the line is longer than"):
        Dataset.load(folder)
    monkeypatch.setattr("vipylo_rag.evaluate.dataset_files._ANY_RATIO_BYTES", 2**18)
    packed.write_bytes(gzip.compress((b" " * 1023 + b"\n") * 2**10))  # 1 MiB in some 1,100 bytes
    with pytest.raises(InputError, match=r"gz:257: the file holds more than 0\.000244 GiB unpacked"):
        Dataset.load(folder)


@pytest.mark.parametrize("name", ["queries.jsonl", "corpus.jsonl", "qrels/test.tsv"])
def test_only_files_of_the_folder_are_read(folder: Path, tmp_path: Path, name: str) -> None:
    file = folder / name
    elsewhere = shutil.copy(file, tmp_path / "elsewhere")
    file.rename(inside := folder / "moved")
    file.symlink_to(inside)  # a link inside is as good as a file
    assert Dataset.load(folder).queries
    file.unlink()
    file.symlink_to(elsewhere)
    with pytest.raises(InputError, match=rf"{name}: is a link that leads out of the data set's folder"):
        Dataset.load(folder)
    file.unlink()
    file.mkdir()
    with pytest.raises(InputError, match=rf"{name}: is no regular file|{name}: cannot be read: Is a directory"):
        Dataset.load(folder)
    file.rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(file)  # opened to be read to its end, it would be waited for
        with pytest.raises(InputError, match=rf"{name}: is no regular file"):
            Dataset.load(folder)
        file.unlink()
    file.symlink_to(file)
    with pytest.raises(InputError, match=rf"{name}.*(cannot be read|is not there)"):
        Dataset.load(folder)
