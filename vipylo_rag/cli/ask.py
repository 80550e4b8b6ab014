"""`vipylo ask`: an answer to a question, with the pages and words that it rests on."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vipylo_rag.cli.options import (
    DEFAULT_INDEX,
    CandidatesOption,
    DeviceOption,
    EmbedderOption,
    IndexOption,
    JsonOption,
    RerankOption,
    TenantOption,
    asked_embedder,
    asked_rerank,
    open_index,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_index.core.llms import LLM

    from vipylo_rag.answer import Answer, AnswerEvent, Citation
    from vipylo_rag.prompt import Language
    from vipylo_rag.search import Hit

NO_LLM = "none"


def ask(
    question: Annotated[str, typer.Argument(help="What to ask, in Vietnamese, English or Chinese.")],
    image: Annotated[
        list[Path] | None, typer.Option("--image", help="An image that belongs to the question; repeatable.")
    ] = None,
    index: IndexOption = DEFAULT_INDEX,
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm",
            help="URL of an OpenAI-style server, directory of a Qwen2-VL checkpoint, or none. (env: VIPYLO_LLM) "
            "A server's key is read from VIPYLO_LLM_KEY.",
        ),
    ] = None,
    llm_model: Annotated[
        str | None, typer.Option("--llm-model", help="The model's name on the server. (env: VIPYLO_LLM_MODEL)")
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="How many pages to answer from.")] = 5,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Filter, as kind=pdf, page<=3, name!=a.pdf; repeatable.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the answer: vi, en or zh; by default the question's.")
    ] = None,
    rerank: RerankOption = None,
    candidates: CandidatesOption = 50,
    tenant: TenantOption = "",
    embedder: EmbedderOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from the index's pages, and show what the answer rests on."""
    from connectors.stores.filters import parse_filter_text
    from vipylo_rag.answer import whole

    chosen: Language | None = language  # type: ignore[assignment]  # asking names the languages there are
    model = _llm(llm, llm_model, device)
    reordering = asked_rerank(rerank)
    with open_index(index, asked_embedder(embedder), device) as opened:
        events = opened.ask_stream(
            question,
            list(image or []),
            llm=model,
            top_k=top_k,
            where=parse_filter_text(where or [], opened.fields(tenant)),
            rerank=reordering,
            candidates=candidates,
            language=chosen,
            tenant=tenant,
        )
        if as_json:
            print_json(_row(whole(events)))
        else:
            _show(_streamed(events))


def _llm(spec: str | None, model: str | None, device: str | None) -> "LLM | None":
    from vipylo_rag.settings import Settings

    settings = Settings()
    chosen = spec or settings.llm
    if not chosen or chosen == NO_LLM:
        return None
    from vipylo_rag.llm import load_llm

    return load_llm(chosen, model or settings.llm_model, settings.llm_key, device=device or settings.device)


def _streamed(events: "Iterator[AnswerEvent]") -> "Answer":
    """Print the answer as it comes. What interrupts it ends its line first."""
    from vipylo_rag.answer import Answered, AnswerToken

    begun = False
    try:
        for event in events:
            if isinstance(event, AnswerToken):
                begun = True
                print(event.text, end="", flush=True)
            elif isinstance(event, Answered):
                print()
                begun = False
                return event.answer
    finally:
        if begun:
            print("", flush=True)
    raise AssertionError("a stream of events ends with the answer")


def _show(answer: "Answer") -> None:
    print()
    if not answer.found:
        print("nearest pages:" if answer.pages else "no page passes the filter, or the index is empty")
        for number, hit in enumerate(answer.pages, start=1):
            print(f"  {number}. {_place(hit)}")
    elif not answer.citations:
        print("pages that were given to the model:")
        for number, hit in enumerate(answer.pages, start=1):
            print(f"  {number}. {_place(hit)}")
    for citation in answer.citations:
        print(f"[{citation.number}] {_place(citation.hit)}")
        if citation.quote and answer.generated:  # else the answer itself is the quotes
            print(f"    “{citation.quote}”")
        if citation.boxes:
            print(f"    {_area(citation)}")
    if answer.model:
        sys.stdout.flush()  # before what stands on the other stream, where both go to one place
        print(f"answered by {answer.model}", file=sys.stderr)


def _place(hit: "Hit") -> str:
    from vipylo_rag.passages import quoted

    return f"{quoted(hit.name)}, page {hit.page}"


def _area(citation: "Citation") -> str:
    left, right = min(box.x0 for box in citation.boxes), max(box.x1 for box in citation.boxes)
    top, bottom = min(box.y0 for box in citation.boxes), max(box.y1 for box in citation.boxes)
    return (
        f"{len(citation.boxes)} words, {left:.0%} to {right:.0%} from the left and "
        f"{top:.0%} to {bottom:.0%} from the top"
    )


def _row(answer: "Answer") -> dict[str, Any]:
    return {
        "question": answer.question,
        "answer": answer.text,
        "found": answer.found,
        "generated": answer.generated,
        "language": answer.language,
        "model": answer.model,
        "citations": [
            {
                "number": one.number,
                "source": one.hit.source,
                "page": one.hit.page,
                "image": str(one.hit.image_path) if one.hit.image_path else None,
                "quote": one.quote,
                "boxes": [[box.text, box.x0, box.y0, box.x1, box.y1] for box in one.boxes],
            }
            for one in answer.citations
        ],
        "pages": [{"source": hit.source, "page": hit.page, "score": hit.score} for hit in answer.pages],
    }
