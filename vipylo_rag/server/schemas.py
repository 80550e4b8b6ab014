"""What the server says, as JSON: the contract between it, its web page and other programs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["hybrid", "dense", "lexical", "graph"]
Language = Literal["vi", "en", "zh"]
GraphPhase = Literal["read", "neighbours", "write", "embed"]


class Schema(BaseModel):
    """A JSON object of the server's."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Box(Schema):
    """A word and where it stands on the page's picture, in fractions of width and height from the top left."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float


class PageSummary(Schema):
    """A page as lists show it."""

    id: str = Field(description="The page's id, for /api/pages/{id}.")
    document: str = Field(description="The id of its document, for /api/documents/{id} and as a filter.")
    name: str = Field(description="The document's file name; of a file in an archive, both names.")
    page: int = Field(description="1-based.")
    kind: str
    image: str | None = Field(description="Path of the page's picture, or null for a page of text only.")
    thumbnail: str | None
    width: int | None = None
    height: int | None = None
    warning: str | None = None


class PathStep(Schema):
    """A step on the way to a page that was found along the page graph."""

    label: str = Field(description="page, figure, document, or what kind of entity it is: name, code, date, ...")
    name: str = Field(description="What to show: an entity's name, a figure's caption, a page as `file.pdf, page 3`.")
    relation: str = Field(description="What led here from the step before, in either direction; empty at the first.")
    page_id: str | None = Field(description="The page's id, for /api/pages/{id}, where the step is a page.")


class FoundPage(PageSummary):
    """A page in a ranked list."""

    rank: int
    score: float = Field(
        description="Cosine (dense), BM25 (lexical), reciprocal-rank fusion (hybrid) or activation (graph)."
    )
    snippet: str
    boxes: list[Box] = Field(description="The words of the page that the query asks for; at most 200.")
    path: list[PathStep] = Field(
        description="In mode graph the way to this page, which ends it; empty if found directly."
    )


class SearchResult(Schema):
    """What a search found, best first."""

    mode: Mode
    text: str
    images: int = Field(description="How many pictures were part of the query.")
    hits: list[FoundPage]
    took_ms: float


class PageDetail(PageSummary):
    """One page whole."""

    text: str
    pages: int = Field(description="How many pages its document has in the index.")
    previous: str | None = Field(description="Id of the page before, or null.")
    next: str | None
    metadata: dict[str, str | int | float | bool | None]


class HeatMap(Schema):
    """The shares of a page's picture in a score: a grid over the whole picture, row by row from the top."""

    rows: int
    columns: int
    shares: list[float] = Field(description="rows x columns numbers.")


class WordShare(Schema):
    """A word's share of a score; `box` is null where it is not known where the word stands."""

    text: str
    share: float
    box: Box | None = None


class Explanation(Schema):
    """Why a page has its score: shares that add up to `score`."""

    score: float = Field(description="The cosine of the query's and the page's vectors.")
    picture: HeatMap | None = Field(description="Null for a page without a picture.")
    heat: HeatMap | None = Field(
        description="What to draw: the picture's shares, with each word's share spread over its box."
    )
    words: list[WordShare] = Field(description="Words of the page's text, strongest first; at most 200.")
    text_share: float = Field(description="Sum over the page's whole text.")
    picture_share: float
    other_share: float = Field(description="Sum over what is neither: the tokens around text and picture.")
    query_words: list[WordShare] = Field(description="The query's words with their shares, in their order.")
    boxes: list[Box] = Field(description="The words of the page that the query asks for.")


class Citation(Schema):
    """What a [number] in an answer refers to."""

    number: int
    page: PageSummary
    quote: str = Field(description="The passage of the page that the claim rests on; may be empty for a picture.")
    boxes: list[Box] = Field(description="The words of that passage on the page.")


class AnswerResult(Schema):
    """An answer. `generated` is false where no language model is configured: then it quotes the best passages."""

    question: str
    answer: str
    found: bool = Field(description="False: the documents do not answer this; `pages` are the nearest.")
    generated: bool
    language: Language
    model: str | None
    citations: list[Citation]
    pages: list[FoundPage] = Field(description="What was given to the model, in the order of the numbers [1], [2], ...")


class AskPages(Schema):
    """The first event (`pages`) of a streamed answer."""

    pages: list[FoundPage]


class AskToken(Schema):
    """An event (`token`) of a streamed answer: text to append."""

    text: str


class Problem(Schema):
    """What went wrong, and the way out: the body of every error, and the event `error` of a streamed answer."""

    detail: str


class FailedPage(Schema):
    """A page that is not in the index."""

    page: int
    reason: str


class Document(Schema):
    """A document and its state."""

    id: str
    name: str
    state: Literal["pending", "done", "failed"]
    kind: str | None = Field(description="Of its first page; null where none is in the index.")
    pages: int = Field(description="In the index.")
    bytes: int
    reason: str | None = Field(description="Why it failed.")
    failed_pages: list[FailedPage] = Field(description="At most 20.")
    added: str = Field(description="When it was first seen: ISO 8601, UTC.")
    uploaded: bool = Field(description="It came through this server, and its file goes away with it.")
    first_page: PageSummary | None


class DocumentList(Schema):
    """A part of the documents, newest first."""

    total: int
    documents: list[Document]


class UploadedFile(Schema):
    """One file of an upload and how far it is."""

    name: str
    state: Literal["waiting", "reading", "done", "unchanged", "failed"]
    pages: int = Field(description="In the index so far.")
    reason: str | None = None
    document: str | None = None
    failed_pages: list[FailedPage] = []
    sent_as: str | None = Field(default=None, description="The name it came under, where another document has that.")


class Upload(Schema):
    """Files that were sent together."""

    id: str
    state: Literal["waiting", "reading", "done"]
    files: list[UploadedFile]


class GraphProgress(Schema):
    """How far a build of a page graph is: pages read, neighbours found, nodes written, or entities embedded."""

    phase: GraphPhase
    done: int = Field(description="Of this phase.")
    total: int


class Graph(Schema):
    """The page graph of the caller's documents, which mode `graph` goes along."""

    state: Literal["none", "waiting", "building", "built"] = Field(
        description="`waiting` and `building` are also said of a graph that is brought up to date."
    )
    ready: bool = Field(description="Whether mode `graph` can be asked for, also while it is brought up to date.")
    pages: int = Field(description="In the graph.")
    stale: int = Field(description="Pages of the index that are not in the graph yet: they are found without paths.")
    entities: int | None = Field(description="Names, codes, dates, …, by the last build; null where not counted.")
    figures: int | None
    relations: int | None
    built: str | None = Field(description="When the last build ended: ISO 8601, UTC.")
    progress: GraphProgress | None = Field(description="Of the build that runs.")
    reason: str | None = Field(description="Why a build waits or did not come to its end, or what it had to leave out.")


class Facet(Schema):
    """A value of a field with the number of pages that have it."""

    value: str
    label: str
    pages: int


class Facets(Schema):
    """What pages can be filtered by."""

    kinds: list[Facet]
    documents: list[Facet] = Field(description="`value` is a document's id, `label` its name; at most 200.")


class Limits(Schema):
    """What the server takes."""

    upload_bytes: int
    file_bytes: int
    image_bytes: int
    images: int
    top_k: int
    text_characters: int


class Info(Schema):
    """What this server is, for the caller: counts are of their own documents."""

    name: str
    pages: int
    documents: int
    failed: int
    embedder: str
    llm: str | None = Field(description="The language model that answers, or null: then answers quote passages.")
    graph: bool = Field(description="Whether mode `graph` can be asked for: the caller's pages are in a page graph.")
    writable: bool = Field(description="Whether documents can be uploaded and deleted.")
    limits: Limits


class Health(Schema):
    """The server is up and its index is open."""

    status: Literal["ok"]


class EmbeddingUsage(Schema):
    """Token counts, as OpenAI's API has them."""

    prompt_tokens: int
    total_tokens: int


class Embedding(Schema):
    """One vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Embeddings(Schema):
    """The answer of /v1/embeddings."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
