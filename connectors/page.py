"""A page: the unit of everything above. One PDF page, photo, DICOM frame or text chunk, with text, image or both."""

import mimetypes
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from llama_index.core.schema import Node

PAGE_NAMESPACE = uuid.UUID("6f1c1d3e-6f0c-5c7e-9a52-0b7d3a1f4c11")

# In metadata so that LlamaIndex's pipeline cache tells two images apart, but never in a prompt or an embedding.
HASH_KEY = "content_sha256"


@dataclass(frozen=True)
class WordBox:
    """A word and where it stands on its page's picture: fractions of width and height, 0 at the left and the top.

    The page as shown (rotated, cropped) is what counts, so `x0 <= x1` and `y0 <= y1` are within 0 and 1.
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Page:
    """One page as a loader gives it, before any store or file holds it.

    Attributes:
        source: the document's path as the user named it (or a URL); the same for all pages of a document.
        number: 1-based page, frame or chunk number.
        kind: "pdf", "image", "dicom", "text", or a third-party loader's own word.
        text: the text layer; "" where there is none.
        image: the rendered page, mode "RGB", or None for a page that is text only.
        content_sha256: hex digest of what the page shows (pixels and text), equal for equal content.
        metadata: further JSON values of the loader (no personal data unless asked for).
        words: where the text's words stand, in reading order; () where that is not known. Citations draw them.
        image_sha256: hex digest of the picture alone, which names its file; None where it has not been taken.
    """

    source: str
    number: int
    kind: str
    text: str
    image: Image.Image | None
    content_sha256: str
    metadata: dict[str, Any] = field(default_factory=dict)
    words: tuple[WordBox, ...] = ()
    image_sha256: str | None = None


def page_id(source: str, number: int, tenant: str = "") -> str:
    """The id of a page: uuid5 of (tenant, source, page). The same page always gets the same id."""
    return str(uuid.uuid5(PAGE_NAMESPACE, f"{tenant}\x00{source}\x00{number}"))


def page_node(page: Page, image_path: str | None, tenant: str = "") -> "Node":
    """The page as a LlamaIndex `Node`: text always set (even ""), its image by path, its document as SOURCE."""
    metadata: dict[str, Any] = {
        **page.metadata,
        "source": page.source,
        "page": page.number,
        "kind": page.kind,
        HASH_KEY: page.content_sha256,
    }
    if page.image is not None:
        metadata["width"], metadata["height"] = page.image.size
    path = Path(image_path) if image_path else None
    return page_node_of(
        source=page.source, number=page.number, text=page.text, image_path=path, metadata=metadata, tenant=tenant
    )


def page_node_of(
    *, source: str, number: int, text: str, image_path: Path | None, metadata: dict[str, Any], tenant: str = ""
) -> "Node":
    """A page's node from its parts; `metadata` is kept out of embeddings, and its content hash out of prompts."""
    from llama_index.core.schema import MediaResource, Node, NodeRelationship, RelatedNodeInfo

    return Node(
        id_=page_id(source, number, tenant),
        text_resource=MediaResource(text=text),
        image_resource=MediaResource(path=image_path, mimetype=media_type(image_path)) if image_path else None,
        metadata=metadata,  # type: ignore[call-arg]  # pydantic's alias hides it from mypy
        excluded_embed_metadata_keys=sorted(metadata),
        excluded_llm_metadata_keys=[HASH_KEY],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source_id(source, tenant))},
    )


def media_type(path: Path) -> str | None:
    """The MIME type that a file's name tells, or None.

    LlamaIndex knows none for ".jpeg": a stock engine that shows a model several pages fails on such a picture.
    """
    return mimetypes.guess_type(path.name)[0]


def source_id(source: str, tenant: str = "") -> str:
    """The id of a document: uuid5 of (tenant, source)."""
    return str(uuid.uuid5(PAGE_NAMESPACE, f"{tenant}\x00{source}"))
