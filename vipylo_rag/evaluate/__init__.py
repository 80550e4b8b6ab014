"""How well an index finds: nDCG, recall and MRR on a data set of texts and pictures, with confidence intervals."""

from vipylo_rag.evaluate.corpus import corpus_index
from vipylo_rag.evaluate.dataset import Dataset
from vipylo_rag.evaluate.evaluation import evaluate, score
from vipylo_rag.evaluate.html_page import write_html
from vipylo_rag.evaluate.result import Earlier, Evaluation
from vipylo_rag.evaluate.runs import Run
from vipylo_rag.evaluate.trec import write_runs

__all__ = [
    "Dataset",
    "Earlier",
    "Evaluation",
    "Run",
    "corpus_index",
    "evaluate",
    "score",
    "write_html",
    "write_runs",
]
