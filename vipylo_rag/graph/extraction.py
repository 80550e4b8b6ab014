"""Reading pages for the graph: what an extractor (any LlamaIndex one) and the figure finder say of them.

What they say comes out of documents and language models: names are bounded, and none of it can pass for a page.
"""

import json
import re
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from llama_index.core.graph_stores.types import KG_NODES_KEY, KG_RELATIONS_KEY, EntityNode, Relation
from llama_index.core.schema import BaseNode, TransformComponent
from PIL import Image

from connectors.errors import LLMError, StoreUnavailableError
from connectors.loaders.words import load_words
from connectors.payload import asset_path, payload_node
from connectors.stores.protocol import StoredPoint
from embedder.errors import ViPyloError
from vipylo_rag.graph.elements import DOCUMENT, FIGURE, PAGE, STRUCTURE, entity_id, normal_name
from vipylo_rag.graph.readings import FigureRead, Link, Mention, PageReading

_LONGEST_NAME: Final = 200
_LONGEST_LABEL: Final = 64
_LONGEST_CONTEXT: Final = 300
_MOST_MENTIONS: Final = 2000  # of a page
_ENTITY: Final = "entity"
_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])\s*|\n+")

# What reading a bad file raises: it costs its own page.
_BAD_PICTURE: Final = (ViPyloError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)


class Extraction:
    """Reads pages. `assets` is the index's folder of pictures and words."""

    def __init__(self, extractor: TransformComponent, assets: Path, tenant: str) -> None:
        self._extractor = extractor
        self._assets = assets
        self._tenant = tenant

    def read(self, pages: Sequence[StoredPoint]) -> list[PageReading]:
        """What each page says. A page that cannot be read carries the reason; others are not concerned.

        Raises:
            LLMError, StoreUnavailableError: what the extractor asks is away, which is no page's fault.
        """
        said, reasons = self._extracted(pages)
        return [self._reading(page, said.get(page.id), reasons.get(page.id)) for page in pages]

    def _extracted(self, pages: Sequence[StoredPoint]) -> tuple[dict[str, BaseNode], dict[str, str]]:
        try:
            return self._asked(pages), {}
        except (LLMError, StoreUnavailableError):
            raise
        except Exception as error:  # a third party's extractor may raise anything
            if len(pages) == 1:
                return {}, {pages[0].id: f"the extractor failed ({type(error).__name__}: {_line(str(error))})"}
        said: dict[str, BaseNode] = {}
        reasons: dict[str, str] = {}
        for page in pages:  # one of them is bad: find out which
            found, why = self._extracted([page])
            said |= found
            reasons |= why
        return said, reasons

    def _asked(self, pages: Sequence[StoredPoint]) -> dict[str, BaseNode]:
        nodes = {page.id: payload_node(page.payload, self._assets) for page in pages}
        for id_, node in nodes.items():
            node.id_ = id_
        return {node.node_id: node for node in self._extractor(list(nodes.values()))}

    def _reading(self, page: StoredPoint, node: BaseNode | None, reason: str | None) -> PageReading:
        payload = page.payload
        mentions: list[Mention] = []
        links: list[Link] = []
        if node is not None:
            text = str(payload["text"])
            entities = [e for e in node.metadata.get(KG_NODES_KEY, []) if isinstance(e, EntityNode)]
            relations = [r for r in node.metadata.get(KG_RELATIONS_KEY, []) if isinstance(r, Relation)]
            mentions, links = _kept(self._tenant, entities, relations, text)
        figures: Sequence[FigureRead] = ()
        try:
            figures = self._figures(payload)
        except _BAD_PICTURE as error:
            reason = reason or f"its picture cannot be read ({_line(str(error))})"
        return PageReading(
            id=page.id,
            tenant=self._tenant,
            source=payload["source"],
            name=payload["name"],
            number=payload["page"],
            kind=payload["kind"],
            sha256=payload["content_sha256"],
            mentions=mentions,
            links=links,
            figures=figures,
            reason=reason,
        )

    def _figures(self, payload: Any) -> list[FigureRead]:
        from vipylo_rag.graph.figures import find_figures

        asset = asset_path(self._assets, payload["asset"]) if payload.get("asset") else None
        if asset is None:
            return []
        if payload["kind"] in ("image", "dicom"):
            return [FigureRead((0.0, 0.0, 1.0, 1.0), _line(payload["text"])[:_LONGEST_CONTEXT])]
        words = asset_path(self._assets, payload["words"]) if payload.get("words") else None
        with Image.open(asset) as picture:
            found = find_figures(picture.convert("RGB"), load_words(words) if words else ())
        return [FigureRead(figure.box, _line(figure.caption)[:_LONGEST_CONTEXT]) for figure in found]


def _kept(
    tenant: str, entities: Iterable[EntityNode], relations: Iterable[Relation], text: str
) -> tuple[list[Mention], list[Link]]:
    mentions: dict[str, Mention] = {}
    for entity in entities:
        _keep(mentions, tenant, entity.name, entity.label, entity.properties, text)
    links = []
    for relation in relations:
        ends = [_keep(mentions, tenant, end, _ENTITY, {}, text) for end in (relation.source_id, relation.target_id)]
        if ends[0] is not None and ends[1] is not None and ends[0] != ends[1]:
            label = _line(relation.label)[:_LONGEST_LABEL] or "RELATED"
            if label.upper() in STRUCTURE:  # a model's word must not pass for the documents' own order
                label = f"SAID_{label.upper()}"
            links.append(Link(ends[0], label, ends[1], _plain(relation.properties)))
    return list(mentions.values()), links


def _keep(
    mentions: dict[str, Mention], tenant: str, name: str, label: str, said: dict[str, Any], text: str
) -> str | None:
    """Note that an entity stands on the page, unless it does already; its id, or None where it cannot be kept."""
    written = _line(str(said.get("surface") or name))[:_LONGEST_NAME]
    id_ = entity_id(tenant, _line(name)[:_LONGEST_NAME])
    if not normal_name(written) or not normal_name(_line(name)) or _like_ours(id_):
        return None
    if id_ not in mentions:
        if len(mentions) >= _MOST_MENTIONS:
            return None
        label = _line(label)[:_LONGEST_LABEL] or _ENTITY
        if label.casefold() in (DOCUMENT, PAGE, FIGURE):
            label = _ENTITY
        count = said.get("count")
        context = said.get("context") if isinstance(said.get("context"), str) else _sentence(text, written)
        mentions[id_] = Mention(
            entity=id_,
            label=label,
            surface=written,
            count=count if isinstance(count, int) and count > 0 else 1,
            context=_line(str(context))[:_LONGEST_CONTEXT],
        )
    return id_


def _like_ours(id_: str) -> bool:
    """Whether a name could be the id of a document, page or figure: those are UUIDs of version 5."""
    try:
        return uuid.UUID(id_).version == 5
    except ValueError:
        return False


def _sentence(text: str, name: str) -> str:
    """The first sentence of a text that a name stands in; "" if there is none."""
    wanted = normal_name(name)
    return next((part.strip() for part in _SENTENCE_END.split(text) if wanted in normal_name(part)), "")


def _plain(properties: dict[str, Any]) -> dict[str, Any]:
    """What every graph store can keep: texts, numbers and truth values."""
    kept = {key: value for key, value in properties.items() if isinstance(value, str | int | float | bool)}
    return dict(json.loads(json.dumps({key: _short(value) for key, value in kept.items()})))


def _short(value: Any) -> Any:
    return value[:_LONGEST_CONTEXT] if isinstance(value, str) else value


def _line(said: str) -> str:
    """On one line, and fit for UTF-8: broken PDFs give halves of characters."""
    return " ".join(said.encode("utf-8", "replace").decode().split())
