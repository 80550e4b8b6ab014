"""The model for other programs, spoken to as OpenAI's embeddings are: text, pictures, and both as one vector."""

import asyncio
import base64
import binascii
import io
from collections.abc import Callable, Coroutine
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from connectors.loaders.picture import page_picture
from connectors.stores.protocol import Vector
from embedder.errors import InputError
from embedder.prefixes import IMAGE_MARKER, literal
from embedder.protocol import Embedder, Sample
from vipylo_rag.server.errors import PROBLEMS
from vipylo_rag.server.model_line import ModelLine
from vipylo_rag.server.options import MIB, ServerOptions
from vipylo_rag.server.query_form import checked_text
from vipylo_rag.server.schemas import Embedding, Embeddings, EmbeddingUsage
from vipylo_rag.server.state import ServerState, state_of

# What a body may hold beside one value for each letter of its texts.
_OTHER_VALUES = 10_000


class _CountedRoute(APIRoute):
    """Refuses a body of more values than the largest request has, before they are made objects: as many megabytes of
    JSON as pictures need would be gigabytes of small ones."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def counted(request: Request) -> Response:
            options: ServerOptions = request.app.state.server.options
            try:
                body = await request.body()
            except ClientDisconnect as error:
                raise HTTPException(400, "the request was broken off") from error
            most = options.embedding_inputs * options.text_characters + _OTHER_VALUES
            if sum(body.count(mark) for mark in (b",", b"[", b"{")) > most:
                raise HTTPException(413, "the request holds too many values: send fewer inputs in a call")
            return await handle(request)

        return counted


router = APIRouter(prefix="/v1", tags=["embeddings"], responses=PROBLEMS, route_class=_CountedRoute)

_DATA = "data:"
_BASE64 = ";base64"
# What browsers show, and scans; formats that need another program, or name files, are not read from strangers.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


class Asked(BaseModel):
    """A part of a request. Fields that are not known are let pass, as OpenAI's clients send some of their own."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TextPart(Asked):
    """Words of a sample."""

    type: Literal["text"]
    text: str


class ImageUrl(Asked):
    """A picture, as "data:image/png;base64,..."."""

    url: str


class ImagePart(Asked):
    """A picture of a sample."""

    type: Literal["image_url"]
    image_url: ImageUrl


T = TypeVar("T")
# The first wrong entry says enough; an error for each would take a thousand times the list's own memory.
Listed: TypeAlias = Annotated[list[T], Field(fail_fast=True)]
Part: TypeAlias = Annotated[TextPart | ImagePart, Field(discriminator="type")]
Content: TypeAlias = str | Listed[Part]


class Message(Asked):
    """A message, as vLLM takes samples: its content is the sample."""

    role: Literal["user"]
    content: Content


class EmbeddingRequest(Asked):
    """What is to be embedded: `input` or, as vLLM has it, `messages`."""

    input: str | Listed[Part] | Listed[Content] | Listed[int] | Listed[Listed[int]] | None = Field(
        default=None,
        description="A text; a list of texts; a list of parts (text and image_url) that make one sample; or a list of "
        "such lists. Lists of tokens are refused.",
    )
    messages: Listed[Message] | None = Field(default=None, description="One user's message: one sample.")
    model: str | None = Field(default=None, description="The id that /v1/models gives, or nothing.")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1, description="Keep so many components, at unit length.")


class Model(BaseModel):
    """The model, as OpenAI lists models."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "vipylo-rag"
    dimensions: int
    max_model_len: int


class Models(BaseModel):
    """A list of one."""

    object: Literal["list"] = "list"
    data: list[Model]


def model_id(embedder: Embedder) -> str:
    """The model's name for others: a checkpoint that lies in a folder is called by the folder's last name."""
    path = PurePath(embedder.name)
    return path.name if path.is_absolute() or embedder.name.startswith(".") else embedder.name


@router.get("/models")
def models(state: Annotated[ServerState, Depends(state_of)]) -> Models:
    """The one model that embeds here, as OpenAI lists models."""
    embedder = state.index.embedder
    return Models(data=[Model(id=model_id(embedder), dimensions=embedder.dim, max_model_len=embedder.max_tokens)])


@router.post("/embeddings")
async def embeddings(asked: EmbeddingRequest, state: Annotated[ServerState, Depends(state_of)]) -> Embeddings:
    """Vectors of texts, of pictures, or of both together as one sample, as OpenAI's API gives them.

    Pictures come as data: URIs; no address is ever opened. Where pictures stand among a sample's texts does not matter:
    the vector is that of a search for the same text and pictures.
    """
    line = state.index.embedder
    assert isinstance(line, ModelLine)
    name = model_id(line)
    if asked.model not in (None, name):
        raise HTTPException(404, f"there is no model {asked.model[:80]!r} here: ask for {name!r}, or name none")
    dim = asked.dimensions or line.dim
    if dim > line.dim:
        raise InputError(f"dimensions={dim}: this model has {line.dim}")
    contents = _contents(asked, state.options)
    samples = await asyncio.to_thread(_samples, contents, state.options)
    tokens = asyncio.create_task(asyncio.to_thread(line.tokens, samples))
    try:
        rows = await line.encode_rows_async(samples)
    except BaseException:
        tokens.cancel()
        raise
    if rows.errors:
        row, error = min(rows.errors.items())
        raise InputError(f"input {row}: {error}")
    count = sum(await tokens)
    data = [
        Embedding(index=row, embedding=_written(_cut(vector, dim), asked.encoding_format))
        for row, vector in enumerate(rows.vectors)
    ]
    return Embeddings(data=data, model=name, usage=EmbeddingUsage(prompt_tokens=count, total_tokens=count))


def _contents(asked: EmbeddingRequest, options: ServerOptions) -> list[Content]:
    """The samples' contents, not looked at closely yet."""
    if (asked.input is None) == (asked.messages is None):
        raise InputError("give what is to be embedded as `input`, or as `messages`, and not both")
    if asked.messages is not None:
        if len(asked.messages) != 1:
            raise InputError(f"{len(asked.messages)} messages: give one, of the user; several samples go into `input`")
        return [asked.messages[0].content]
    contents = _several(asked.input)
    if not contents:
        raise InputError("`input` is empty: give a text, parts, or a list of them")
    if len(contents) > options.embedding_inputs:
        raise InputError(f"{len(contents)} inputs: {options.embedding_inputs} at most; send the others in a call more")
    return contents


def _several(given: Any) -> list[Content]:
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], TextPart | ImagePart):
        return [given]
    contents: list[Content] = []
    for entry in given or []:
        if isinstance(entry, int) or (isinstance(entry, list) and entry and isinstance(entry[0], int)):
            raise InputError(
                "`input` is a list of tokens, which have no meaning outside of the model that they are of: give text "
                "(LangChain: check_embedding_ctx_length=False)"
            )
        contents.append(entry)
    return contents


def _samples(contents: list[Content], options: ServerOptions) -> list[Sample]:
    samples = []
    room = options.images * options.image_pixels
    for row, content in enumerate(contents):
        try:
            sample, room = _sample(content, options, room)
        except InputError as error:
            raise InputError(f"input {row}: {error}") from error
        samples.append(sample)
    return samples


def _sample(content: Content, options: ServerOptions, room: int) -> tuple[Sample, int]:
    """A sample as a search makes one of the same text and pictures, and how many pixels may still be decoded."""
    parts: list[Part] = [TextPart(type="text", text=content)] if isinstance(content, str) else content
    text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
    urls = [part.image_url.url for part in parts if isinstance(part, ImagePart)]
    checked_text(text, options)
    if len(urls) > options.images:
        raise InputError(f"{len(urls)} pictures: {options.images} at most in one sample")
    images = []
    for url in urls:
        picture = _opened(_bytes(url, options), min(room, options.image_pixels))
        room -= picture.width * picture.height
        images.append(_decoded(picture))
    return Sample(literal(text) if text.count(IMAGE_MARKER) > len(images) else text, tuple(images)), room


def _bytes(url: str, options: ServerOptions) -> bytes:
    """What a data: URI holds."""
    head, comma, written = url.partition(",")
    if not head.lower().startswith(_DATA):
        raise InputError("a picture's url is no data: URI, and addresses are not opened here: send the picture itself")
    if not comma or not head.lower().endswith(_BASE64):
        raise InputError('a picture\'s data: URI is not base64: write "data:image/png;base64,..."')
    if len(written) * 3 // 4 > options.image_bytes + 2:
        raise InputError(f"a picture is larger than the {options.image_bytes / MIB:.3g} MiB that are taken here")
    try:
        return base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"a picture's data: URI is no base64: {error}") from error


def _opened(data: bytes, most_pixels: int) -> Image.Image:
    """A picture that is not decoded yet: how large it is, is known before that."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"a picture is too large: {error}") from error
    except Exception as error:  # what Pillow's readers raise on garbage is not limited to one kind
        raise InputError(f"a picture is none of {', '.join(_FORMATS)}, or damaged") from error
    if image.width * image.height > most_pixels:
        raise InputError(
            f"a picture has {image.width}x{image.height} pixels: {most_pixels / 1e6:.3g} million are the most, or what "
            "is left of them in this call"
        )
    return image


def _decoded(picture: Image.Image) -> Image.Image:
    """A picture as a search takes it: no larger than a page's, on white where it is transparent."""
    try:
        return page_picture(picture)
    except Exception as error:
        raise InputError(f"a picture cannot be decoded: {error}") from error


def _cut(vector: Vector, dim: int) -> Vector:
    """The first `dim` components at unit length."""
    kept = vector[:dim]
    return kept if dim == len(vector) else (kept / max(float(np.linalg.norm(kept)), 1e-12)).astype(np.float32)


def _written(vector: Vector, encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    numbers: list[float] = vector.tolist()
    return numbers
