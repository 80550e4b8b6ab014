"""Run files: what `--run-out` writes is read back to the same figures, others' as trec_eval reads them."""

import gzip
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from embedder.errors import InputError
from tests.vipylo_rag.conftest import write_picture
from tests.vipylo_rag.evaluate.conftest import Vipylo, WriteDataset, write_lines
from vipylo_rag.evaluate import Dataset, Earlier, Evaluation, Run, score, write_html, write_runs
from vipylo_rag.evaluate.dataset_judgements import Judgement
from vipylo_rag.evaluate.dataset_lines import Item
from vipylo_rag.evaluate.figures import groups
from vipylo_rag.evaluate.ranking import Ranking
from vipylo_rag.evaluate.result import FoundDocument, Measured
from vipylo_rag.evaluate.trec_ids import escaped

KS = (1, 3, 10)
QUERIES = [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}, {"_id": "q3", "text": "three"}]
QRELS = [("q1", "d1", 1), ("q2", "d2", 2), ("q2", "d1", 1)]


def searched(dataset: Dataset, found: dict[str, list[tuple[str, float]]]) -> Evaluation:
    """What `evaluate` would have measured, had a search found these."""
    results = tuple(
        Ranking(
            item,
            "dense",
            "document",
            {one.document: one.grade for one in dataset.judgements[item.id] if one.grade > 0},
            tuple(FoundDocument(id_, value, "page") for id_, value in found[item.id]),
        ).judged(KS)
        for item in dataset.queries.values()
    )
    measured = Measured("x", "test", len(results), 0, 1, 1, "x", "x", max(KS))
    return Evaluation(measured, ("dense",), KS, results, groups(results, ("dense",), KS))


IDS = st.lists(st.text("ab %2\u3000\xa0đ#", min_size=1, max_size=5), min_size=4, max_size=8, unique=True)


@settings(max_examples=80, deadline=None)
@given(ids=IDS, data=st.data())
def test_written_runs_read_back_give_the_same_figures(ids: list[str], data: st.DataObject) -> None:
    """Whatever ties, negative scores, scores that rise (a reranker's), and blanks and signs in ids there are."""
    assume(all(id_.strip() for id_ in ids) and not {escaped(id_) for id_ in ids if escaped(id_) != id_} & {*ids})
    asked = ids[:2]
    judged = {
        query: data.draw(st.dictionaries(st.sampled_from(ids), st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0]), min_size=1))
        for query in asked
    }
    assume(all(max(grades.values()) > 0 for grades in judged.values()))
    values = st.sampled_from([0.1, 0.1 + 1e-12, 1.0, -2.5, 0.0, 3e-9]) | st.floats(-1e6, 1e6)
    found = {
        query: [(id_, data.draw(values)) for id_ in data.draw(st.permutations(ids))[: data.draw(st.integers(0, 8))]]
        for query in asked
    }
    assume(any(found.values()))
    dataset = Dataset(
        Path("x"),
        "test",
        {query: Item(query, "words") for query in asked},
        {query: tuple(Judgement(*one) for one in judged[query].items()) for query in asked},
    )
    ours = searched(dataset, found)
    with tempfile.TemporaryDirectory() as folder:
        run, qrels = write_runs(ours, dataset.judgements, folder)
        write_lines(Path(folder) / "queries.jsonl", [{"_id": query, "text": "words"} for query in asked])
        read = Dataset.load(folder, corpus=False)
        assert qrels.name == "qrels.txt" and read.judgements.keys() == dataset.judgements.keys()
        theirs = score([Run.read(run)], read, ks=KS)
    assert theirs.modes == ("dense",)
    for one, other in zip(ours.results, theirs.results, strict=True):
        assert one.metrics == pytest.approx(other.metrics, abs=1e-6)
        assert [each.id for each in one.found][:10] == [each.id for each in other.found]


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.text("abAđ9-", min_size=1, max_size=3), st.sampled_from(["1", "1.00000001", "0.5", "-3e-2", "16777217"])
        ),
        min_size=1,
        max_size=25,
        unique_by=lambda row: row[0],
    ),
    grades=st.lists(st.integers(0, 3), min_size=25, max_size=25),
)
def test_ties_stand_as_in_trec_eval(rows: list[tuple[str, str]], grades: list[int]) -> None:
    """By the score as a 32-bit number, which 1.00000001 is no other than 1; then by name, the last letter first."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    judged = {document: grade for (document, _), grade in zip(rows, grades, strict=False)}
    assume(max(judged.values()) > 0)
    dataset = Dataset(
        Path("x"), "test", {"q": Item("q", "words")}, {"q": tuple(Judgement(*one) for one in judged.items())}
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "theirs.run"
        # Ranks are not read: these are all the same.
        file.write_text("".join(f"q Q0\t{document}  1 {value} tag\n" for document, value in rows), encoding="utf-8")
        ours = score([Run.read(file)], dataset, ks=KS).results[0].metrics
    run = {"q": {document: float(value) for document, value in rows}}
    theirs = pytrec_eval.RelevanceEvaluator({"q": judged}, {"ndcg_cut.1,3,10", "recall.1,3,10"}).evaluate(run)["q"]
    for k in KS:
        assert ours[f"ndcg@{k}"] == pytest.approx(theirs[f"ndcg_cut_{k}"], abs=1e-6)
        assert ours[f"recall@{k}"] == pytest.approx(theirs[f"recall_{k}"], abs=1e-6)


def write_run(file: Path, rows: Sequence[tuple[str, str, float]], tag: str = "bm25") -> Path:
    text = "".join(f"{query} Q0 {document} 1 {value} {tag}\n" for query, document, value in rows)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


def test_the_command_scores_runs_without_a_model(write_dataset: WriteDataset, vipylo: Vipylo, tmp_path: Path) -> None:
    """By hand. "first": q1 has d1 at 2, nDCG@10 = 1/log2(3); q2 is not in it: 0. "second": q1 has d1 at 1, q2 d1 at 1
    and d2 at 2: (1 + 2/log2(3)) / (2 + 1/log2(3)) = 2.2618595 / 2.6309298 = 0.8597187."""
    corpus = [{"_id": "d1", "text": "a", "name": "n", "page": 2}, {"_id": "d2", "text": "b"}]
    folder = write_dataset(corpus, QUERIES, QRELS)
    rows = [("q1", "d2", 2.0), ("q1", "d1", 1.0), ("q3", "d1", 1.0), ("q9", "d1", 1.0), ("q1", "gone", 0.5)]
    first = write_run(tmp_path / "first.run.gz", rows)
    second = write_run(tmp_path / "second.run", [("q1", "d1", 1), ("q2", "d1", 5), ("q2", "d2", 4.5)])
    out = tmp_path / "out.json"
    code, told, _ = vipylo("evaluate", folder, "--run", first, "--run", second, "--json", out)
    assert code == 0
    said = json.loads(out.read_text())
    assert said["modes"] == ["first", "second"] and said["measured"]["embedder"] is None
    of = {(row["mode"], row["query"]): row["metrics"]["ndcg@10"] for row in said["queries"]}
    assert of == pytest.approx(
        {("first", "q1"): 0.6309298, ("first", "q2"): 0.0, ("second", "q1"): 1.0, ("second", "q2"): 0.8597187},
        abs=1e-6,
    )
    assert "first: 1 query found nothing: not in first.run.gz" in told
    assert "first: 1 query that the data set does not have: left out" in told
    assert "first: 1 document that the corpus does not have: taken as wrong" in told
    assert re.search(r"second +− first +nDCG@10 +2 +\+.614", told)
    against = tmp_path / "b" / "first.run"
    write_run(against, [("q1", "d1", 2.0), ("q1", "d2", 1.0)], "first")
    code, told, _ = vipylo("evaluate", folder, "--run", against, "--against", out)
    assert code == 0 and re.search(r"first +− earlier +nDCG@10 +2 +\+.185", told)
    (folder / "corpus.jsonl").unlink()  # it is not needed
    code, told, _ = vipylo("evaluate", folder, "--run", first, "--json", out)
    assert code == 0 and "the corpus does not have" not in told
    for option in (["--index", "x"], ["--work", "x"], ["--mode", "dense"], ["--run-out", "x"], ["--embedder", "y"]):
        code, _, told = vipylo("evaluate", folder, "--run", first, *option)
        assert code == 2 and f"nothing is searched: leave {option[0]} out" in told and told.count("\n") == 1


def test_runs_are_called_by_tags_or_by_files(tmp_path: Path, write_dataset: WriteDataset) -> None:
    dataset = Dataset.load(write_dataset(None, QUERIES, QRELS), corpus=False)
    rows = [("q1", "d1", 1.0)]
    ours, theirs = (write_run(tmp_path / f"{tag}.run", rows, tag) for tag in ("vipylo-hybrid", "colbert"))
    a, b = (write_run(tmp_path / name / "same.run", rows) for name in ("a", "b"))

    def modes(*files: Path) -> tuple[str, ...]:
        return score([Run.read(file) for file in files], dataset).modes

    assert modes(ours, theirs) == ("hybrid", "colbert")
    assert modes(ours, a) == ("hybrid", "bm25")
    assert modes(a, theirs, ours, b) == (str(a), str(theirs), str(ours), str(b))
    a.write_text(a.read_text() + "q2 Q0 d1 1 1 another\n")
    assert modes(a) == ("same",) and modes(b) == ("bm25",)
    with pytest.raises(InputError, match=r"same\.run: is given twice"):
        modes(a, a)
    with pytest.raises(InputError, match="give at least one"):
        modes()


def test_a_query_without_words_is_no_lexical_ones(tmp_path: Path, write_dataset: WriteDataset) -> None:
    folder = write_dataset(None, [*QUERIES, {"_id": "seen", "image": "a.png"}], [*QRELS, ("seen", "d1", 1)], "with")
    write_picture(folder / "a.png", "red")
    dataset = Dataset.load(folder, corpus=False)
    rows = [("q1", "d1", 1.0), ("q2", "d1", 1.0)]
    for tag, queries in (("vipylo-lexical", 2), ("vipylo-dense", 3), ("lexical", 3)):
        assert len(score([Run.read(write_run(tmp_path / "x.run", rows, tag))], dataset).results) == queries


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q1 Q0 d1 1 1.0", r"x\.run:2: is no line of a run: query, Q0, document"),
        ("q1 Q0 d 1 1 1.0 tag", r"x\.run:2: is no line of a run"),
        ("q1 Q0 d1 1 high tag", "the score is 'high', no number"),
        ("q1 Q0 d1 1 nan tag", "no number"),
        ("q1 Q0 d1 1 1e39 tag", "'1e39', no number that trec_eval can hold"),
        ("q1 Q0 d2 1 1.0 tag", "the query 'q1' has the document 'd2' already"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = write_run(tmp_path / "x.run", [("q1", "d2", 1.0)])
    file.write_text(f"{file.read_text()}{line}\n")
    with pytest.raises(InputError, match=said):
        Run.read(file)


def test_a_run_of_nothing_or_of_too_much_is_refused(
    tmp_path: Path, write_dataset: WriteDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.load(write_dataset(None, QUERIES, QRELS), corpus=False)
    with pytest.raises(InputError, match=r"has no query that is judged in .*its first is 'q3'"):
        score([Run.read(write_run(tmp_path / "x.run", [("q3", "d1", 1.0)]))], dataset)
    with pytest.raises(InputError, match="is empty"):
        Run.read(write_run(tmp_path / "x.run", []))
    monkeypatch.setattr("vipylo_rag.evaluate.runs.MOST_RUN_LINES", 3)
    with pytest.raises(InputError, match=r"x\.run:4: a run of more than 3 lines"):
        Run.read(write_run(tmp_path / "x.run", [("q1", f"d{number}", 1.0) for number in range(5)]))


def test_an_id_that_may_be_two_is_refused(tmp_path: Path, write_dataset: WriteDataset) -> None:
    corpus = [{"_id": id_, "text": id_} for id_ in ("a b", "a%20b", "d1", "100%25")]
    folder = write_dataset(corpus, QUERIES, [("q1", "d1", 1), ("q1", "100%25", 2)])
    run = Run.read(write_run(tmp_path / "x.run", [("q1", "a%20b", 2.0), ("q1", "100%25", 1.0)]))
    with pytest.raises(InputError, match="'a%20b' is an id, and how 'a b' is written here, too"):
        score([run], Dataset.load(folder))
    run = Run.read(write_run(tmp_path / "x.run", [("q1", "100%25", 1.0)]))  # others' ids are as they are
    assert score([run], Dataset.load(folder)).results[0].right[0].rank == 1


def test_the_page_of_runs_shows_the_corpus_and_runs_no_text(tmp_path: Path, write_dataset: WriteDataset) -> None:
    evil = "<script>document.title='owned'</script>"
    corpus = [{"_id": "d1", "text": f"wanted {evil}", "image": "red.png"}, {"_id": "d2", "text": "found instead"}]
    folder = write_dataset(corpus, QUERIES, [("q1", "d1", 1)])
    write_picture(folder / "red.png", "red")
    dataset = Dataset.load(folder)
    run = Run.read(write_run(tmp_path / "x.run", [("q1", "d2", 2.0), ("q1", "d1", 1.0)], evil))
    result = score([run], dataset)
    write_html(tmp_path / "out.html", result, dataset, dataset.corpus)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "found instead" in page and page.count("data:image/webp") == 1 and "rankings from files" in page
    assert "<script" not in page and "&lt;script&gt;" in page and "embedder" not in page
    write_html(tmp_path / "out.html", result, dataset, None)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "data:image" not in page and "found instead" not in page and ">d2<" in page


def test_earlier_results_name_their_modes(tmp_path: Path, write_dataset: WriteDataset) -> None:
    dataset = Dataset.load(write_dataset(None, QUERIES, QRELS), corpus=False)
    rows = [("q1", "d1", 1.0)]
    score([Run.read(write_run(tmp_path / "x.run", rows))], dataset).write(tmp_path / "old.json")
    other = Run.read(write_run(tmp_path / "y.run", rows, "other"))
    with pytest.raises(InputError, match=r"none of these queries in the mode other \(its modes: bm25\)"):
        score([other], dataset, against=Earlier.read(tmp_path / "old.json"))
