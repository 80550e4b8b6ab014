"""Data sets that are wrong: each error names file, line and field, and none is anything but ours."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedder.errors import InputError
from tests.vipylo_rag.conftest import write_picture
from tests.vipylo_rag.evaluate.conftest import WriteDataset, write_lines, write_qrels
from vipylo_rag.evaluate import Dataset

CORPUS = [{"_id": "d1", "title": "Title", "text": "one", "year": 2024}, {"_id": "d2", "text": "two"}]
QUERIES = [{"_id": "q1", "text": "one", "language": "en"}, {"_id": "q2", "text": "two"}]
QRELS = [("q1", "d1", 1), ("q2", "d2", 0)]


def test_what_is_read(write_dataset: WriteDataset) -> None:
    data = Dataset.load(write_dataset(CORPUS, QUERIES, QRELS))
    assert (data.name, data.split, data.unjudged, list(data.queries)) == ("data", "test", 1, ["q1"])
    assert data.corpus is not None and len(data.corpus) == 2
    first, _ = data.corpus
    assert (first.text, dict(first.metadata), first.place[-15:]) == ("Title\none", {"year": 2024}, "/corpus.jsonl:1")


def test_splits_and_a_single_qrels_file(write_dataset: WriteDataset) -> None:
    folder = write_dataset(CORPUS, QUERIES, QRELS)
    write_qrels(folder / "qrels" / "dev.tsv", [("q2", "d2", 1)])
    assert list(Dataset.load(folder, split="dev").queries) == ["q2"]
    with pytest.raises(InputError, match=r"train\.tsv: is not there; there are the splits dev, test"):
        Dataset.load(folder, split="train")
    with pytest.raises(InputError, match="is no name of a file"):
        Dataset.load(folder, split="../qrels")
    (folder / "qrels" / "test.tsv").rename(folder / "qrels.tsv")
    (folder / "qrels" / "dev.tsv").unlink()
    assert Dataset.load(folder).split == "qrels"
    (folder / "qrels.tsv").write_bytes("﻿q1\td1\t2\r\n\r\n".encode())  # no header, a BOM, Windows' line ends
    assert Dataset.load(folder).judgements["q1"][0].grade == 2.0


BAD_ITEMS: list[tuple[Any, str]] = [
    ("{", "is no JSON"),
    ("[1]", "is no JSON object"),
    ('{"_id": "x", "score": NaN, "text": "a"}', "NaN is no JSON number"),
    ("[" * 100_000, "is no JSON"),
    ({"text": "a"}, 'the field "_id" is missing'),
    ({"_id": "", "text": "a"}, "\"_id\" is '', no text"),
    ({"_id": True, "text": "a"}, '"_id" is True, no text'),
    ({"_id": "a\tb", "text": "a"}, "has characters that are none"),
    ({"_id": "\ud800", "text": "a"}, "has characters that are none"),
    ({"_id": "x", "text": 3}, '"text" is 3, no text'),
    ({"_id": "x", "text": "\udc00"}, '"text" holds half a character'),
    ({"_id": "d1", "text": "again"}, "the \"_id\" 'd1' is that of line 1 too"),
    ({"_id": "x", "image": "gone.png"}, "\"image\": there is no file 'gone.png'"),
    ({"_id": "x", "image": "a.png", "images": ["a.png"]}, 'has both "image" and "images"'),
    ({"_id": "x", "images": "a.png"}, "\"images\" is 'a.png', no list"),
    ({"_id": "x", "images": ["a.png", 5]}, r'"images\[1\]" is 5, no path'),
    ({"_id": "x", "image": "../a.png"}, "is no path inside"),
    ({"_id": "x", "image": "/etc/passwd"}, "is no path inside"),
    ({"_id": "x", "image": "C:\\a.png"}, "is no path inside"),
    ({"_id": "x", "image": "sub\\..\\..\\a.png"}, "is no path inside"),
    ({"_id": "x", "image": "https://example.org/a.png"}, "there is no file"),
    ({"_id": "x", "image": "a\x00b"}, "there is no file"),
    ({"_id": "x", "image": "a" * 5000}, "there is no file"),
    ({"_id": "x", "image": "link.png"}, "is a link that leads out"),
    ({"_id": "x", "image": "."}, "there is no file"),
]


@pytest.mark.parametrize(("row", "said"), BAD_ITEMS)
def test_a_bad_line_is_named(write_dataset: WriteDataset, tmp_path: Path, row: Any, said: str) -> None:
    folder = write_dataset(CORPUS, QUERIES, QRELS)
    write_picture(folder / "a.png", "red")
    (folder / "link.png").symlink_to(write_picture(tmp_path / "outside.png", "blue"))
    line = row if isinstance(row, str) else json.dumps(row)
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" + line + "\n")  # a blank line counts, and is skipped
    with pytest.raises(InputError, match=rf"corpus\.jsonl:4: .*{said}"):
        Dataset.load(folder)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("q1\td2", "is not query-id, corpus-id and score"),
        ("q1 0 d2 1", "is not query-id, corpus-id and score"),
        ("q1\td2\thigh", "the score is 'high', no number"),
        ("q1\td2\tnan", "no number"),
        ("q1\td2\t1e308", "is '1e308', beyond 1,000,000,000"),
        ("q9\td2\t1", r"queries\.jsonl has no query 'q9'"),
        ("q1\td9\t1", r"corpus\.jsonl has no document 'd9'"),
        ("q1\td1\t1", "'d1' was judged for 'q1' in line 2 already"),
        ("query-id\tcorpus-id\tscore", "no number"),
    ],
)
def test_a_bad_judgement_is_named(write_dataset: WriteDataset, row: str, said: str) -> None:
    folder = write_dataset(CORPUS, QUERIES, QRELS)
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(InputError, match=rf"test\.tsv:4: .*{said}"):
        Dataset.load(folder)


def test_nothing_to_measure(write_dataset: WriteDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"test\.tsv: no query has a right document"):
        Dataset.load(write_dataset(CORPUS, QUERIES, [("q1", "d1", 0)]))
    with pytest.raises(InputError, match=r"corpus\.jsonl: is empty"):
        Dataset.load(write_dataset([], QUERIES, QRELS, name="empty"))
    with pytest.raises(InputError, match=r"corpus\.jsonl: cannot be read: No such file"):
        Dataset.load(write_dataset(None, QUERIES, QRELS, name="none"))
    with pytest.raises(InputError, match="is no folder"):
        Dataset.load(tmp_path / "nowhere")


def test_a_line_of_a_gigabyte_is_refused_early(write_dataset: WriteDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipylo_rag.evaluate.dataset_files.MOST_LINE_BYTES", 2**20)
    folder = write_dataset(CORPUS, QUERIES, QRELS)
    (folder / "corpus.jsonl").write_bytes(b'{"_id": "' + b"x" * (2**20 + 10))
    with pytest.raises(InputError, match=r"corpus\.jsonl:1: the line is longer than 1 MiB"):
        Dataset.load(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.dictionaries(
    st.sampled_from(["_id", "title", "text", "image", "images", "language", "other"]), JSON, max_size=6
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, max_size=3), bytes_=st.binary(max_size=60), query=st.text(max_size=4), grade=JSON)
def test_whatever_is_in_the_files_the_error_is_ours(
    tmp_path: Path, rows: list[dict[str, Any]], bytes_: bytes, query: str, grade: Any
) -> None:
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_lines(folder / "queries.jsonl", QUERIES)
    (folder / "queries.jsonl").write_bytes((folder / "queries.jsonl").read_bytes() + bytes_)
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text(f"q1\td1\t1\n{query}\td1\t{grade}\n", "utf-8", "replace")
    try:
        data = Dataset.load(folder)
    except InputError as error:
        assert str(folder) in str(error)
    else:
        assert data.queries and all(any(one.grade > 0 for one in given) for given in data.judgements.values())
