"""SplitDocuments: a stock node parser for text documents, in a pipeline that pages and pictures go through as well."""

from collections.abc import Sequence
from typing import Any

from llama_index.core.bridge.pydantic import Field, SerializeAsAny
from llama_index.core.node_parser import NodeParser, SentenceSplitter
from llama_index.core.schema import BaseNode, Document, TextNode, TransformComponent

from connectors.llama_index.media import resource_of


class SplitDocuments(TransformComponent):
    """Splits text documents and lets everything with a picture pass, and every page: a page is one node already.

    The stock `SentenceSplitter` refuses a `Node` ("Unknown document type"), and parts an `ImageDocument` from its text.

    Args:
        splitter: what splits the text.
    """

    splitter: SerializeAsAny[NodeParser] = Field(default_factory=SentenceSplitter)

    @classmethod
    def class_name(cls) -> str:
        """Name used in serialised pipelines."""
        return "SplitDocuments"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """The nodes in their order, each text document replaced by its parts."""
        done: list[BaseNode] = []
        for node in nodes:
            splits = isinstance(node, Document | TextNode) and resource_of(node) is None
            done.extend(self.splitter([node], **kwargs) if splits else [node])
        return done
