"""From what a caller asks to what a store is asked: checked queries, filters whose values fit the fields' types."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from connectors.errors import FilterError
from connectors.loaders.registry import first_image
from connectors.payload import RESERVED_FIELDS
from connectors.stores.filters import And, AnyOf, Exists, Filter, Not, Or, Range, parse_filter
from connectors.stores.protocol import SearchMode, Vector
from embedder.errors import InputError
from embedder.prefixes import IMAGE_MARKER, literal
from embedder.protocol import Embedder, Sample

if TYPE_CHECKING:
    from vipylo_rag.rerank import Rerank

ImageInput = Image.Image | str | Path
# What a store compares, and beyond it: the pages that a page graph leads to (see `vipylo_rag.graph`).
PageMode = SearchMode | Literal["graph"]
FieldTypes = Mapping[str, frozenset[str]]

_UNFILTERED = frozenset({"text", "asset", "words", "tenant"})
_INTEGERS = frozenset({"page", "width", "height"})
_OWN_TYPES = {name: frozenset({"integer" if name in _INTEGERS else "string"}) for name in RESERVED_FIELDS - _UNFILTERED}
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer"}


@dataclass(frozen=True)
class SearchRequest:
    """What `MultimodalIndex.search` is given, as one thing: several can be searched at once."""

    text: str | None = None
    images: ImageInput | Sequence[ImageInput] | None = None
    top_k: int = 10
    where: Mapping[str, Any] | Filter | None = None
    mode: PageMode = "hybrid"
    tenant: str = ""
    rerank: "Rerank | None" = None
    candidates: int = 50


@dataclass(frozen=True)
class Query:
    """A checked query: words, pictures or both."""

    words: str
    pictures: tuple[Image.Image, ...]
    mode: PageMode
    top_k: int

    @classmethod
    def of(
        cls, text: str | None, images: ImageInput | Sequence[ImageInput] | None, top_k: int, mode: PageMode
    ) -> "Query":
        """A query from what a caller gave.

        Raises:
            InputError: nothing to search for, or a bad top_k or mode. DocumentError: an unreadable image file.
        """
        if mode not in ("hybrid", "dense", "lexical", "graph"):
            raise InputError(f"mode={mode!r} is none of hybrid, dense, lexical, graph")
        if top_k < 1:
            raise InputError(f"top_k={top_k}: ask for at least 1 hit")
        words = text.strip() if text else ""
        pictures = _pictures(images)
        if not words and not pictures:
            raise InputError("the query is empty: give a text, an image, or both")
        if mode == "lexical" and not words:
            raise InputError("lexical mode compares words: give a text, or use dense or hybrid mode")
        return cls(words, pictures, mode, top_k)

    @property
    def sample(self) -> Sample:
        """What is embedded."""
        # More markers than images: then "<image>" is a word that is asked for, not a place for a picture.
        asked = self.words if self.words.count(IMAGE_MARKER) <= len(self.pictures) else literal(self.words)
        return Sample(asked, self.pictures)


def query_vectors(queries: Sequence[Query], embedder: Callable[[], Embedder]) -> list[Vector | InputError | None]:
    """The queries' vectors [dim], embedded together; None in lexical mode, which needs no model, and an error for each
    query that cannot be embedded."""
    found: list[Vector | InputError | None] = [None] * len(queries)
    asked = [row for row, query in enumerate(queries) if query.mode != "lexical"]
    if not asked:
        return found
    # What is asked in several modes at once is embedded once: pictures are the same where they are the same object.
    keys = {row: (queries[row].words, *map(id, queries[row].pictures)) for row in asked}
    places = {key: place for place, key in enumerate(dict.fromkeys(keys.values()))}
    samples = {places[keys[row]]: queries[row].sample for row in asked}
    rows = embedder().encode_rows([samples[place] for place in range(len(samples))])
    for row in asked:
        place = places[keys[row]]
        error = rows.errors.get(place)
        found[row] = InputError(f"the query cannot be embedded: {error}") if error else rows.vectors[place]
    return found


def field_types(found: FieldTypes) -> dict[str, frozenset[str]]:
    """The fields that `where` may name with their JSON types: our own, and those that loaders added."""
    return {name: types for name, types in {**found, **_OWN_TYPES}.items() if name not in _UNFILTERED}


def checked_filter(where: Mapping[str, Any] | Filter | None, fields: FieldTypes) -> Filter | None:
    """A filter whose fields exist and whose values can be compared with theirs.

    Raises:
        FilterError: an unknown field or operator, or a value of a type that the field never has.
    """
    parsed = parse_filter(where, fields)
    if parsed is not None:
        _check_types(parsed, fields)
    return parsed


def _check_types(where: Filter, fields: FieldTypes) -> None:
    match where:
        case And(parts) | Or(parts):
            for part in parts:
                _check_types(part, fields)
        case Not(part):
            _check_types(part, fields)
        case Range(field):
            if not fields[field] & {"integer", "number"}:
                raise FilterError(f"the field {field!r} is {_spoken(fields[field])}: a range compares numbers")
        case AnyOf(field, values):
            # One fitting value is enough: a command line's "3" is tried as text and as a number.
            if values and not any(_JSON_TYPES[type(value)] in fields[field] for value in values):
                raise FilterError(f"the field {field!r} is {_spoken(fields[field])}: {values[0]!r} never equals it")
        case Exists():
            pass


def _spoken(types: frozenset[str]) -> str:
    names = {"string": "text", "integer": "an integer", "number": "a number", "boolean": "true or false"}
    return " or ".join(names[name] for name in sorted(types))


def _pictures(images: ImageInput | Sequence[ImageInput] | None) -> tuple[Image.Image, ...]:
    if images is None:
        return ()
    several = images if isinstance(images, Sequence) and not isinstance(images, str) else [images]
    return tuple(_picture(image) for image in several)


def _picture(image: ImageInput) -> Image.Image:
    """A query image. A path goes through the loaders, so that a photo, a scan or a DICOM file is seen as at ingest."""
    return image if isinstance(image, Image.Image) else first_image(image)
