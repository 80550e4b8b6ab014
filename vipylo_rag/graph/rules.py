"""Finds what a page names without a language model: names, codes, dates, amounts, headings and terms, by rules for
Vietnamese, English and Chinese."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from llama_index.core.graph_stores.types import KG_NODES_KEY, KG_RELATIONS_KEY, EntityNode, Relation
from llama_index.core.schema import BaseNode, MetadataMode, TransformComponent
from pydantic import Field, field_validator

from vipylo_rag.graph.elements import AMOUNT, CODE, DATE, HEADING, MENTIONS, NAME, TERM, normal_name
from vipylo_rag.graph.rules_amounts import amounts
from vipylo_rag.graph.rules_codes import codes
from vipylo_rag.graph.rules_dates import dates
from vipylo_rag.graph.rules_headings import headings
from vipylo_rag.graph.rules_names import names
from vipylo_rag.graph.rules_terms import terms
from vipylo_rag.graph.rules_text import Found, PageText

LABELS: Final = (NAME, CODE, DATE, AMOUNT, HEADING, TERM)
# Raised when rules find something else in a text than before: graphs are then built anew.
RULES_VERSION: Final = 3
# At most so many entities of a label on a page: a price list has thousands of codes, and nobody walks them all.
_MOST: Final = {NAME: 60, CODE: 80, DATE: 40, AMOUNT: 60, HEADING: 20, TERM: 40}
_MOST_CONTEXT: Final = 300
_MOST_TEXT: Final = 100_000  # characters that are read: some thirty printed pages
_MOST_NAME: Final = 120


class RuleExtractor(TransformComponent):
    """Entities of pages in Vietnamese, English and Chinese, found by rules: no model, nothing to download, the same for
    the same text.

    Works where LlamaIndex takes extractors, as in `PropertyGraphIndex(kg_extractors=[RuleExtractor()])`. Of a term it
    is not known from one page whether it is one: those that more pages have are worth keeping.

    Attributes:
        labels: which kinds of entities to find: "name", "code", "date", "amount", "heading", "term".
    """

    labels: tuple[str, ...] = Field(default=LABELS, description="Which kinds of entities to find.")

    @field_validator("labels")
    @classmethod
    def _known(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [label for label in labels if label not in LABELS]:
            raise ValueError(f"no such label: {', '.join(unknown)} (known: {', '.join(LABELS)})")
        return tuple(label for label in LABELS if label in labels)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex saves it."""
        return "ViPyloRuleExtractor"

    @property
    def version(self) -> int:
        """Changes when the same text gives other entities."""
        return RULES_VERSION

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[BaseNode]:
        """The same nodes: `metadata[KG_NODES_KEY]` has their entities, `metadata[KG_RELATIONS_KEY]` that the node
        mentions them, without which LlamaIndex's own graph would not lead from an entity to its pages."""
        for node in nodes:
            found = self.entities(node.get_content(metadata_mode=MetadataMode.NONE))
            said = [
                Relation(
                    label=MENTIONS,
                    source_id=node.node_id,
                    target_id=one.id,
                    properties={key: one.properties[key] for key in ("count", "surface")},
                )
                for one in found
            ]
            node.metadata[KG_NODES_KEY] = [*node.metadata.get(KG_NODES_KEY, []), *found]
            node.metadata[KG_RELATIONS_KEY] = [*node.metadata.get(KG_RELATIONS_KEY, []), *said]
        return list(nodes)

    def entities(self, text: str) -> list[EntityNode]:
        """The entities of a page's text (its first 100,000 characters), each once, in the order in which they are
        first named.

        Their properties: "surface" (as written where it stands first), "count", and "context": the sentences it stands
        in, at most 300 characters.
        """
        page = PageText(text[:_MOST_TEXT])
        merged: dict[str, _Mentions] = {}
        for label, found in _found(page).items():
            if label not in self.labels:
                continue
            mentions: dict[str, _Mentions] = {}
            for one in found:
                key = normal_name(one.name)
                if key and len(one.name) <= _MOST_NAME and key not in merged:
                    mentions.setdefault(key, _Mentions(one)).places.append((one.start, one.end))
            kept = sorted(mentions, key=lambda key: (-len(mentions[key].places), mentions[key].first.start))[
                : _MOST[label]
            ]
            merged.update({key: mentions[key] for key in kept})
        order = sorted(
            merged.values(), key=lambda one: (one.first.start, LABELS.index(one.first.label), one.first.name)
        )
        return [one.entity(page) for one in order]


@dataclass
class _Mentions:
    """Where a page names an entity."""

    first: Found
    places: list[tuple[int, int]]

    def __init__(self, first: Found) -> None:
        self.first = first
        self.places = []

    def entity(self, page: PageText) -> EntityNode:
        start, end = self.first.start, self.first.end
        said: list[str] = []
        for place in self.places[:4]:
            sentence = page.context(*place)
            if not said or (sentence not in said and len(" ".join([*said, sentence])) <= _MOST_CONTEXT):
                said.append(sentence)
        return EntityNode(
            name=self.first.name,
            label=self.first.label,
            properties={
                "surface": " ".join(page.text[start:end].split()),
                "count": len(self.places),
                "context": " ".join(said)[:_MOST_CONTEXT],
            },
        )


def _found(page: PageText) -> dict[str, list[Found]]:
    """All that the rules find, by label. What one rule took the next does not see, so their order matters: a date is no
    amount, an amount no code, and neither is part of a name."""
    found: dict[str, list[Found]] = {}
    for label, rule in ((DATE, dates), (AMOUNT, amounts), (CODE, codes)):
        found[label] = rule(page)
        page.take(found[label])
    found[NAME] = names(page)
    found[HEADING] = headings(page)
    page.take(found[NAME])
    found[TERM] = terms(page)
    return found
