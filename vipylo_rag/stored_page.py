"""What is embedded and stored of a page: its sample, point and payload, and the digest that tells if it changed."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image

from connectors.loaders.pool import PageRead
from connectors.page import page_id
from connectors.payload import page_payload
from connectors.stores.protocol import Point, Vector
from embedder.prefixes import literal
from embedder.protocol import Sample

# Where loaders write what a user should know of a page that is indexed all the same.
WARNING_FIELDS = ("warning", "text_error", "ocr_error", "conversion_error")


def page_point(page: PageRead, vector: Vector, tenant: str) -> Point:
    """A page of a tenant as the store keeps it."""
    return Point(page_id(page.source, page.number, tenant), vector, page.text, payload_of(page, tenant))


def page_sample(text: str, picture: Image.Image | None) -> Sample:
    """What is embedded of a page: its picture and its text, which is data and no markup."""
    return Sample(literal(text), () if picture is None else (picture,))


def payload_of(page: PageRead, tenant: str) -> dict[str, Any]:
    """What is stored beside a page's vector."""
    return page_payload(
        source=page.source,
        number=page.number,
        kind=page.kind,
        text=page.text,
        content_sha256=page.content_sha256,
        tenant=tenant,
        asset=page.asset,
        words=page.words,
        size=page.size,
        metadata=page.metadata,
    )


def page_warning(page: PageRead) -> str | None:
    """What the loader warns of: a text layer or scan that could not be read, a picture that may show a name, ..."""
    said = [str(page.metadata[key]) for key in WARNING_FIELDS if page.metadata.get(key)]
    return "; ".join(said) or None


def page_digest(page: PageRead) -> str:
    """Hex digest of all that is stored of a page: what it shows, what the loader says of it. Equal: nothing to do."""
    said = json.dumps(page.metadata, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{page.content_sha256}\n{page.kind}\n{page.words}\n{said}".encode()).hexdigest()


def json_types(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a payload with their JSON types; of a list, those of its elements."""
    for name, value in payload.items():
        for element in value if isinstance(value, list) else [value]:
            type_ = _TYPES.get(type(element))
            if type_:
                yield name, type_


_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
