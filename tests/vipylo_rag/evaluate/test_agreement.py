"""Our figures against trec_eval's and ranx's on random rankings, through the files that `--run-out` writes."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vipylo_rag.evaluate.conftest import Vipylo, WriteDataset
from vipylo_rag.evaluate.figures import figures

pytrec_eval = pytest.importorskip("pytrec_eval")

KS = (1, 3, 10, 25)
MEASURES = {f"{kind}.{','.join(map(str, KS))}" for kind in ("ndcg_cut", "recall")} | {"recip_rank"}

RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
qrels, run, names = json.load(sys.stdin)
found = evaluate(Qrels(qrels), Run(run), names, return_mean=False)
print(json.dumps({name: [float(value) for value in found[name]] for name in names}))
"""


def by_trec_eval(qrels: dict[str, dict[str, int]], run: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Our metrics by trec_eval. It knows MRR without a cut alone: the run is cut before."""
    found = {query: {} for query in qrels}  # type: dict[str, dict[str, float]]
    whole = pytrec_eval.RelevanceEvaluator(qrels, MEASURES).evaluate(run)
    for k in KS:
        cut = {query: dict(sorted(given.items(), key=lambda pair: -pair[1])[:k]) for query, given in run.items()}
        first = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)
        for query in qrels:
            # trec_eval leaves out a query that the run has nothing for; to us it is one that found nothing.
            got, of_cut = whole.get(query, defaultdict(float)), first.get(query, defaultdict(float))
            found[query] |= {
                f"ndcg@{k}": got[f"ndcg_cut_{k}"], f"recall@{k}": got[f"recall_{k}"], f"mrr@{k}": of_cut["recip_rank"],
            }  # fmt: skip
    return found


@settings(max_examples=300, deadline=None)
@given(
    grades=st.lists(st.integers(-1, 4), min_size=1, max_size=40).filter(lambda grades: max(grades) > 0),
    seed=st.integers(0, 2**31),
    found=st.integers(0, 60),
)
def test_figures_are_trec_evals(grades: list[int], seed: int, found: int) -> None:
    judged = {f"d{number}": grade for number, grade in enumerate(grades)}
    ranking = [*judged, *(f"u{number}" for number in range(20))]
    random.Random(seed).shuffle(ranking)
    run = {"q": {document: float(100 - place) for place, document in enumerate(ranking[:found])}}
    places = {document: place for place, document in enumerate(ranking[:found], start=1)}
    right = {document: grade for document, grade in judged.items() if grade > 0}
    ours = figures([places.get(document) for document in right], list(right.values()), KS)
    assert ours == pytest.approx(by_trec_eval({"q": judged}, run)["q"], abs=1e-6)


@pytest.fixture
def measured(
    write_dataset: WriteDataset, vipylo: Vipylo, prescribed: str, tmp_path: Path
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Our figures by query of a random data set with many ties; its qrels and ranking as read from the files."""
    chance = random.Random(7)

    def direction() -> str:  # few different ones: cosines tie
        return " ".join(str(chance.choice([-1, 0, 0.5, 1])) for _ in range(3)) + " 0.1"

    ids = [f"doc {number}" for number in range(40)]  # blanks, which part a TREC file's columns
    corpus = [{"_id": id_, "text": f"[{direction()}]"} for id_ in ids]
    queries = [{"_id": f"q{number}", "text": f"[{direction()}]"} for number in range(30)]
    qrels = [
        (query["_id"], document, chance.choice([0, 1, 1, 2, 3]))
        for query in queries[:-2]  # the last two are not judged: left out here, and by both of the others
        for document in chance.sample(ids, 6)
    ]
    folder = write_dataset(corpus, queries, qrels)
    out, runs = tmp_path / "out.json", tmp_path / "runs"
    cuts = [part for k in KS for part in ("-k", k)]
    command = ["evaluate", folder, "--embedder", prescribed, "--mode", "dense", "--json", out, "--run-out", runs]
    assert vipylo(*command, *cuts)[0] == 0
    said = json.loads(out.read_text())
    assert sum(row["tied"] for row in said["queries"]) > 10
    run: dict[str, dict[str, float]] = defaultdict(dict)
    for line in (runs / "dense.run").read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        run[query][document] = float(score)
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (runs / "qrels.txt").read_text().splitlines():
        query, _, document, grade = line.split()
        judged[query][document] = int(grade)
    assert set(judged["q0"]) <= {id_.replace(" ", "%20") for id_ in ids}
    # Both files read back, beside the corpus, give the same figures without a search.
    (folder / "qrels" / "test.tsv").unlink()
    shutil.copy(runs / "qrels.txt", folder / "qrels" / "test.txt")
    again = tmp_path / "again.json"
    assert vipylo("evaluate", folder, "--run", runs / "dense.run", "--json", again, "--against", out, *cuts)[0] == 0
    read = json.loads(again.read_text())
    assert [row["metrics"] for row in read["queries"]] == [row["metrics"] for row in said["queries"]]
    assert read["groups"] == said["groups"] and {one["paired"]["p"] for one in read["differences"]} == {1.0}
    return {row["query"]: row["metrics"] for row in said["queries"]}, dict(judged), dict(run)


def test_a_whole_run_is_trec_evals_and_ranxs(measured: Any) -> None:
    ours, qrels, run = measured
    assert len(ours) == 28 and ours.keys() == qrels.keys()
    theirs = by_trec_eval(qrels, run)
    for query, metrics in ours.items():
        assert metrics == pytest.approx(theirs[query], abs=1e-6)
    pytest.importorskip("ranx")
    names = [f"{kind}@{k}" for kind in ("ndcg", "recall", "mrr") for k in KS]
    # Its compiled code takes a minute to be made; uncompiled it gives the same, in a process of its own.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX],
        input=json.dumps([qrels, run, names]),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    found = json.loads(done.stdout)
    for place, query in enumerate(sorted(qrels)):  # ranx sorts its queries
        assert {name: found[name][place] for name in names} == pytest.approx(dict(ours[query]), abs=1e-6)
