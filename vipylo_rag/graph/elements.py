"""What the page graph is made of: the labels of its nodes and relations, their ids and properties, and paths in it.

It is a LlamaIndex property graph. Documents, pages and figures are `ChunkNode`s, entities are `EntityNode`s:

| label | id | properties |
|---|---|---|
| document | uuid5 of tenant and source | tenant, source, name |
| page | the id of its point in the index | tenant, source, name, page, kind, sha256 (of content) |
| figure | uuid5 of its page's id and its number | tenant, page_id, number, box [x0, y0, x1, y1], caption |
| any other | `entity_id` of tenant and name | tenant, name (as written most often), pages (how many mention it) |

| relation | from -> to | properties |
|---|---|---|
| HAS_PAGE | document -> page | |
| NEXT | page -> the page after it | |
| HAS_FIGURE | page -> figure | |
| MENTIONS | page -> entity | count, surface (as written there) |
| NEAR | page -> page | cosine |
| any other | entity -> entity | page_id it was read on |
"""

import math
import unicodedata
import uuid
from dataclasses import dataclass
from typing import Any, Final

from connectors.page import PAGE_NAMESPACE

DOCUMENT: Final = "document"
PAGE: Final = "page"
FIGURE: Final = "figure"

HAS_PAGE: Final = "HAS_PAGE"
NEXT: Final = "NEXT"
HAS_FIGURE: Final = "HAS_FIGURE"
MENTIONS: Final = "MENTIONS"
NEAR: Final = "NEAR"
STRUCTURE: Final = frozenset({HAS_PAGE, NEXT, HAS_FIGURE, MENTIONS, NEAR})

# Labels of the entities that are found without a language model; with one, a label is what the model says.
NAME: Final = "name"
CODE: Final = "code"
DATE: Final = "date"
AMOUNT: Final = "amount"
HEADING: Final = "heading"
TERM: Final = "term"


@dataclass(frozen=True)
class PathStep:
    """One node on the way to a page, and the relation that led to it.

    Attributes:
        label: of the node: "page", "figure", "document", or an entity's label.
        name: what to show: an entity's name, a figure's caption or number, a page as "file.pdf, page 3".
        relation: that was walked to get here, in either direction; "" at the first step.
        node: the node's id in the graph.
        page_id: the point's id where the step is a page; "" elsewhere.
    """

    label: str
    name: str
    relation: str
    node: str
    page_id: str = ""


def normal_name(name: str) -> str:
    """An entity's name as names are compared: one Unicode form, case and blanks do not count."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def entity_id(tenant: str, name: str) -> str:
    """The id of an entity's node. Nobody's entities are another tenant's, even where they have the same name."""
    said = normal_name(name).replace('"', " ")  # as `EntityNode.id` has it
    return f"{tenant}\x1f{said}" if tenant else said


def number_of(value: Any) -> float:
    """A property that should be a finite number; 0 for what is none: others may have written the graph."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        return float(value) if math.isfinite(value) else 0.0
    except OverflowError:  # an integer of hundreds of digits
        return 0.0


def is_point_id(node_id: str) -> bool:
    """Whether a node can be a point of the index. Stores refuse other ids, each in its own words."""
    try:
        return str(uuid.UUID(node_id)) == node_id
    except (ValueError, AttributeError, TypeError):
        return False


def document_id(tenant: str, source: str) -> str:
    """The id of a document's node."""
    return str(uuid.uuid5(PAGE_NAMESPACE, f"{tenant}\x00document\x00{source}"))


def figure_id(page_id: str, number: int) -> str:
    """The id of the node of a page's figure, counted from 1."""
    return str(uuid.uuid5(PAGE_NAMESPACE, f"{page_id}\x00figure\x00{number}"))
