"""Documents and questions for `examples/two_hop.py`."""

from .build import GROUPS, Case, Place, Split, cases, write_documents
from .group import Group, Language, Row
from .picture import DRAWING, PARTS, write_picture_case

__all__ = [
    "DRAWING",
    "GROUPS",
    "PARTS",
    "Case",
    "Group",
    "Language",
    "Place",
    "Row",
    "Split",
    "cases",
    "write_documents",
    "write_picture_case",
]
