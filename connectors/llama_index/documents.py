"""Pages for those stock parts that ask a node for `.text`, which LlamaIndex's `Node` lacks."""

from collections.abc import Sequence

from llama_index.core.schema import BaseNode, Document, Node


def as_documents(nodes: Sequence[BaseNode]) -> list[BaseNode]:
    """The same pages as `Document`s, which are `Node`s with a `text`: same ids, images, metadata, relationships.

    Stock graph extractors (`SimpleLLMPathExtractor` and others) assert that a node has it. Nodes of other classes are
    returned as they are.
    """
    return [_document(node) if type(node) is Node else node for node in nodes]


def _document(node: Node) -> Document:
    return Document(**{field: getattr(node, field) for field in Node.model_fields})
