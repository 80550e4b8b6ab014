"""Asking an index a question: the pages that a search finds, and the answer made from them."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from connectors.stores.filters import Filter
from vipylo_rag.answer import Answer, AnswerEvent, answer_astream, answer_stream, check_question, whole
from vipylo_rag.index_reading import IndexReading
from vipylo_rag.prompt import Language
from vipylo_rag.query import ImageInput, PageMode, Query, SearchRequest

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

    from vipylo_rag.rerank import Rerank


class IndexAsking(IndexReading):
    """What answers questions from an index."""

    def ask(
        self,
        question: str,
        images: ImageInput | Sequence[ImageInput] | None = None,
        *,
        llm: "LLM | None" = None,
        top_k: int = 5,
        where: Mapping[str, Any] | Filter | None = None,
        mode: PageMode = "hybrid",
        rerank: "Rerank | None" = None,
        candidates: int = 50,
        language: Language | None = None,
        tenant: str = "",
    ) -> Answer:
        """The answer to a question, with the pages and passages that it rests on.

        Args:
            question: in Vietnamese, English or Chinese.
            images: PIL images or paths of image files that belong to the question.
            llm: any LlamaIndex LLM; one that takes images sees the pages. See `vipylo_rag.llm.load_llm` for servers by
                URL and local checkpoints. None: the answer quotes the passages that fit best.
            top_k: how many pages the answer is made from.
            where, mode, rerank, candidates, tenant: as in `search`.
            language: "vi", "en" or "zh", of the answer; by default the question's.

        Raises:
            InputError: no question, no such language, or as in `search`. DocumentError: an unreadable image.
            FilterError: as in `search`. LLMError: the model cannot be reached, refused, or broke off.

        Example:
            >>> answer = index.ask("Tiền đặt cọc là bao nhiêu?", llm=llm)            # doctest: +SKIP
            >>> for citation in answer.citations:                                    # doctest: +SKIP
            ...     print(citation.number, citation.hit.name, citation.hit.page, citation.quote)
        """
        return whole(
            self.ask_stream(
                question,
                images,
                llm=llm,
                top_k=top_k,
                where=where,
                mode=mode,
                rerank=rerank,
                candidates=candidates,
                language=language,
                tenant=tenant,
            )
        )

    def ask_stream(
        self,
        question: str,
        images: ImageInput | Sequence[ImageInput] | None = None,
        *,
        llm: "LLM | None" = None,
        top_k: int = 5,
        where: Mapping[str, Any] | Filter | None = None,
        mode: PageMode = "hybrid",
        rerank: "Rerank | None" = None,
        candidates: int = 50,
        language: Language | None = None,
        tenant: str = "",
    ) -> Generator[AnswerEvent, None, None]:
        """`ask`, piece by piece: `AskedPages`, then each `AnswerToken`, then `Answered`. Closing it stops the model."""
        check_question(question, language)
        query = Query.of(question, images, top_k, mode)
        hits = self.search_one(
            SearchRequest(question, list(query.pictures), top_k, where, mode, tenant, rerank, candidates)
        )
        yield from answer_stream(question, query.pictures, hits, llm, language=language)

    async def ask_astream(
        self,
        question: str,
        images: ImageInput | Sequence[ImageInput] | None = None,
        *,
        llm: "LLM | None" = None,
        top_k: int = 5,
        where: Mapping[str, Any] | Filter | None = None,
        mode: PageMode = "hybrid",
        rerank: "Rerank | None" = None,
        candidates: int = 50,
        language: Language | None = None,
        tenant: str = "",
    ) -> AsyncGenerator[AnswerEvent, None]:
        """`ask_stream` for an event loop, which stays free while pages are searched and the model writes."""
        check_question(question, language)
        query = await asyncio.to_thread(Query.of, question, images, top_k, mode)
        request = SearchRequest(question, list(query.pictures), top_k, where, mode, tenant, rerank, candidates)
        hits = await asyncio.to_thread(self.search_one, request)
        async with aclosing(answer_astream(question, query.pictures, hits, llm, language=language)) as events:
            async for event in events:
                yield event
