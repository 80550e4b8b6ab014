"""Reranking without another model: by what each word of the query finds on a page, not by what the page is about.

The score of a search is a mean over all pairs of tokens (see `embedder.explain`): with g_j the projected tokens of the
query and h_i those of the page, cos(query, page) ~ mean_j mean_i g_j · h_i. A word that stands on one line of a page is
one in a thousand there. Here each token of the query takes the *best* token of the page instead of the mean,

    score = sum_j |g_j| max_i cos(g_j, h_i) / sum_j |g_j|,

which is late interaction (Khattab and Zaharia 2020, "ColBERT") by a model that was trained for one vector. Tokens of
the query count by their length, as they do in the mean: rare words are long in it. Those of the page do not, so that a
page cannot win by a token that is long, and near to everything.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from connectors.errors import DocumentError
from embedder.errors import InputError
from embedder.token_vectors import TellsTokens, TokenVectors
from vipylo_rag.search import Hit
from vipylo_rag.stored_page import page_sample

Matrix: TypeAlias = npt.NDArray[np.float32]
Key: TypeAlias = tuple[str, str, str]

# Pages embedded at once.
_TOGETHER = 16


class TokenRerank:
    """Orders hits by what each word (or image patch) of the query finds on their pages; see this module.

    Pages are embedded again, token by token, as nothing of this is stored: text in milliseconds, a picture as slowly as
    at ingest. So a page that has text is read by its text alone unless `pictures` says otherwise. What was embedded is
    kept for later questions.

    Whether it helps depends on the model: docs/benchmarks.md, "Rerank", has numbers, benchmarks/rerank.py makes them on
    documents of your own.

    Example:
        >>> index.search("tiền đặt cọc", rerank=TokenRerank())                               # doctest: +SKIP

    Args:
        weight: of the new score, from 0 to 1; the rest is the first one's. Both are brought to mean 0 and deviation 1
            over the hits before, so that scores are deviations from the hits' mean. 1 gives the new score as it is, a
            cosine at most 1. The default was best on half of the queries of the benchmark, and measured on the other.
        pictures: look at the pictures of pages that have text, too. Pages without text are looked at in any case.
        keep_mb: memory for embedded pages.

    Raises:
        InputError: a weight outside 0 to 1. When called: the embedder pools the last token, so that there is nothing to
            compare; or a hit does not know its query (it was pickled). DocumentError: a stored picture is damaged.
    """

    def __init__(self, weight: float = 0.75, *, pictures: bool = False, keep_mb: int = 256) -> None:
        if not 0 <= weight <= 1:
            raise InputError(f"weight={weight}: it is between 0 (the first order) and 1 (the tokens' alone)")
        self.weight = weight
        self.pictures = pictures
        self._room = keep_mb * 2**20
        self._kept: OrderedDict[Key, npt.NDArray[np.float16]] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def __call__(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits in their new order, with their new scores; equal ones stay in the order that they had."""
        if not hits:
            return []
        asked = hits[0].asked
        if asked is None or asked.query is None:
            raise InputError("these hits do not know what was searched for (they were pickled): search again")
        embedder = asked.embedder()
        if not isinstance(embedder, TellsTokens):
            raise InputError(
                f"the embedder {embedder.name!r} has no token vectors to rerank by: only models that take the mean of "
                "all tokens have (the starter, viPyloQwen)"
            )
        (query,) = embedder.token_vectors([asked.query.sample])
        found = np.empty(len(hits))
        for start in range(0, len(hits), _TOGETHER):
            some = hits[start : start + _TOGETHER]
            found[start : start + _TOGETHER] = [
                late_interaction(query, page) for page in self._pages(some, embedder, embedder.fingerprint)
            ]
        scores = found if self.weight == 1 else self._mixed(found, np.array([hit.score for hit in hits]))
        order = np.argsort(-scores, kind="stable")
        return [replace(hits[place], score=float(scores[place])) for place in order]

    def _mixed(self, found: npt.NDArray[np.float64], first: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return self.weight * standardised(found) + (1 - self.weight) * standardised(first)

    def _pages(self, hits: Sequence[Hit], embedder: TellsTokens, fingerprint: str) -> list[Matrix]:
        """Unit vectors of the pages' tokens, kept or new."""
        keys = [(fingerprint, hit.id, str(hit.metadata.get("content_sha256", hit.text))) for hit in hits]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
            for key in known:
                self._kept.move_to_end(key)
        new = [place for place, key in enumerate(keys) if key not in known]
        if new:
            samples = [page_sample(hits[place].text, self._picture(hits[place])) for place in new]
            for place, page in zip(new, embedder.token_vectors(samples, batch_size=_TOGETHER), strict=True):
                known[keys[place]] = self._keep(keys[place], unit(content(page)).astype(np.float16))
        return [known[key].astype(np.float32) for key in keys]

    def _picture(self, hit: Hit) -> Image.Image | None:
        if hit.text.strip() and not self.pictures:
            return None
        try:
            return hit.image
        except OSError as error:
            raise DocumentError(f"{hit.name}, page {hit.page}: its stored picture cannot be read ({error})") from error

    def _keep(self, key: Key, page: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
        with self._lock:
            if key not in self._kept and page.nbytes <= self._room:
                self._kept[key] = page
                self._size += page.nbytes
                while self._size > self._room:
                    _, dropped = self._kept.popitem(last=False)
                    self._size -= dropped.nbytes
        return page


def late_interaction(query: TokenVectors, page: Matrix) -> float:
    """What the tokens of a query find on a page, -1 to 1.

    Args:
        page: unit vectors of the page's tokens [N, dim].

    Source: Khattab and Zaharia 2020, "ColBERT"; the weights are ours (see this module).
    """
    asked = content(query)
    lengths = np.linalg.norm(asked, axis=1)
    best = (asked @ page.T).max(axis=1)  # |g_j| times the best cosine
    return float(best.sum() / max(float(lengths.sum()), 1e-12))


def content(tokens: TokenVectors) -> Matrix:
    """The vectors of the tokens that say something; of all, where none does."""
    chosen: Matrix = tokens.vectors[tokens.content] if tokens.content.any() else tokens.vectors
    return chosen


def unit(vectors: Matrix) -> Matrix:
    """Each row at length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Matrix = vectors / np.maximum(lengths, 1e-12)
    return scaled


def standardised(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """At mean 0 and deviation 1; equal scores become 0."""
    deviation = float(scores.std())
    centred: npt.NDArray[np.float64] = scores - scores.mean()
    return centred / deviation if deviation > 1e-12 else np.zeros_like(centred)
