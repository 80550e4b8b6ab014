"""What the LlamaIndex tests share: pictures, pages, a stock embedding, a language model that remembers its prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymupdf
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.schema import Node
from PIL import Image, ImageDraw

from connectors.loaders.image import ImageLoader
from connectors.loaders.pdf import PDFLoader

COLOURS = ("red", "green", "blue")


def write_pictures(folder: Path) -> list[Path]:
    """One picture of each colour."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name in COLOURS:
        image = Image.new("RGB", (90, 60), "white")
        ImageDraw.Draw(image).rectangle((10, 10, 60, 50), fill=name)
        paths.append(folder / f"{name}.png")
        image.save(paths[-1])
    return paths


def picture_pages(paths: Sequence[Path]) -> list[Node]:
    """The pictures as pages, read by our loader: no text, one image each."""
    return [node for path in paths for node in ImageLoader(image_dir=path.parent / "pages").load_data(path)]


def write_pdf(path: Path, pages: Sequence[str]) -> Path:
    """A real PDF with one text a page."""
    with pymupdf.open() as document:
        for text in pages:
            document.new_page(width=200, height=150).insert_htmlbox(pymupdf.Rect(10, 10, 190, 140), f"<h2>{text}</h2>")
        document.save(path)
    return path


def pdf_pages(path: Path) -> list[Node]:
    """The pages of a PDF: text and image each."""
    return PDFLoader(image_dir=path.parent / "pages").load_data(path)


class LengthEmbedding(BaseEmbedding):
    """A stock embedding of text alone, whose vectors tell texts apart by their length, and queries from documents."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [1.0, float(len(text)), 0.0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return [1.0, float(len(query)), 1.0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class RuleLLM(CustomLLM):
    """Answers with a fixed text and keeps what it was shown."""

    answer: str = "Theo nguồn [1]."
    _shown: list[list[ChatMessage]] = PrivateAttr(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, context_window=8000, num_output=200)

    @property
    def shown(self) -> list[list[ChatMessage]]:
        return self._shown

    def blocks(self) -> list[str]:
        """The kinds of content in the last prompt, in order."""
        return [block.block_type for message in self._shown[-1] for block in message.blocks]

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._shown.append(list(messages))
        return ChatResponse(message=ChatMessage(role="assistant", content=self.answer))

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self._shown.append([ChatMessage(content=prompt)])
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        yield self.complete(prompt)
