"""A Qwen2-VL model in this process, as a LlamaIndex LLM that takes images; it needs no server and no network."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import torch
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CompletionResponseGen,
    ImageBlock,
    LLMMetadata,
    MessageRole,
    TextBlock,
)
from llama_index.core.llms import CustomLLM
from PIL import Image
from pydantic import PrivateAttr
from transformers import (
    AutoTokenizer,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer
from transformers.utils import logging as transformers_logging

from embedder.errors import CheckpointError, InputError
from embedder.prefixes import literal
from embedder.processor import StillImageProcessor

# A plain checkpoint allows 16,384 tokens an image; these are what a page of a million pixels needs.
_MOST_PIXELS = 1280 * 28 * 28
_MOST_TOKENS_OF_A_LETTER = 4
_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


class _Stop(StoppingCriteria):  # type: ignore[misc]
    """Ends a generation between two tokens."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self.asked.is_set(), device=input_ids.device, dtype=torch.bool)


@dataclass(frozen=True)
class _End:
    """That a generation has ended: `reason` "stop", or "length" where it may write no more."""

    reason: str


class Qwen2VLLLM(CustomLLM):
    """A `Qwen2VLForConditionalGeneration` checkpoint. One answer at a time: others wait for it."""

    name: str
    context_window: int
    max_new_tokens: int = 1024
    _model: Any = PrivateAttr()
    _processor: StillImageProcessor = PrivateAttr()
    _busy: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def from_pretrained(cls, directory: Path, device: str | None = None) -> Self:
        """The model in a directory, in the precision that it was saved in (float32 on a CPU).

        Raises:
            CheckpointError: no Qwen2-VL model with safetensors weights and a head that writes.
        """
        if not (directory / "config.json").is_file():
            raise CheckpointError(f"{directory} is not a checkpoint: it has no config.json")
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        bar = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()
        try:
            model, report = Qwen2VLForConditionalGeneration.from_pretrained(
                str(directory),
                dtype=torch.float32 if place == "cpu" else "auto",
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
            pictures = Qwen2VLImageProcessorPil.from_pretrained(str(directory), local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(str(directory), local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers and safetensors raise many kinds
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise CheckpointError(f"{directory} holds no Qwen2-VL model that can be loaded: {said[0]}") from error
        finally:
            if bar:
                transformers_logging.enable_progress_bar()
        # transformers only warns of these, and would write with random weights.
        if missing := sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"]):
            raise CheckpointError(
                f"{directory} cannot write answers: {len(missing)} weights are missing, such as {missing[0]} "
                "(an embedder's checkpoint has no head that writes)"
            )
        size = dict(pictures.size)
        pictures.size = {**size, "longest_edge": min(size["longest_edge"], _MOST_PIXELS)}
        made = cls(name=directory.name, context_window=model.config.text_config.max_position_embeddings)
        made._model = model.to(place).eval()
        made._processor = StillImageProcessor(pictures, tokenizer, chat_template=tokenizer.chat_template)
        return made

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex saves it."""
        return "Qwen2VLLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex asks of a model."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.max_new_tokens,
            is_chat_model=True,
            model_name=self.name,
        )

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The answer, piece by piece; closing the stream stops the model after the token that it is at."""
        return self._streamed(messages)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """As `stream_chat`; the event loop stays free while the model works."""
        return self._astreamed(messages)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer."""
        return _response("".join(response.delta or "" for response in self._streamed(messages)), None)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer."""
        return _response("".join([response.delta or "" async for response in self._astreamed(messages)]), None)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The answer to a prompt of text alone."""
        return CompletionResponse(text=self.chat([ChatMessage(content=prompt)]).message.content or "")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The answer to a prompt of text alone, piece by piece."""
        for response in self._streamed([ChatMessage(content=prompt)]):
            yield CompletionResponse(text=response.message.content or "", delta=response.delta)

    def _streamed(self, messages: Sequence[ChatMessage]) -> Generator[ChatResponse, None, None]:
        arrived: SimpleQueue[str | BaseException | _End] = SimpleQueue()
        stop = _Stop()
        thread = threading.Thread(
            target=self._generate, args=(messages, stop, arrived.put), name="qwen2-vl", daemon=True
        )
        thread.start()
        content = ""
        try:
            while not isinstance(piece := arrived.get(), _End):
                if isinstance(piece, BaseException):
                    raise piece
                content += piece
                yield _response(content, piece)
            yield _response(content, "", finish_reason=piece.reason)
        finally:
            stop.asked.set()
            thread.join()

    async def _astreamed(self, messages: Sequence[ChatMessage]) -> AsyncGenerator[ChatResponse, None]:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[str | BaseException | _End] = asyncio.Queue()
        stop = _Stop()

        def put(piece: str | BaseException | _End) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, piece)

        working = asyncio.create_task(asyncio.to_thread(self._generate, messages, stop, put))
        content = ""
        try:
            while not isinstance(piece := await arrived.get(), _End):
                if isinstance(piece, BaseException):
                    raise piece
                content += piece
                yield _response(content, piece)
            yield _response(content, "", finish_reason=piece.reason)
        finally:
            stop.asked.set()
            await asyncio.shield(working)

    def _generate(self, messages: Sequence[ChatMessage], stop: _Stop, put: Any) -> None:
        """Generate in the calling thread; `put` gets the pieces, then the end, or the error that ended it."""
        try:
            with self._busy:
                put(_End("stop") if stop.asked.is_set() else self._write(messages, stop, put))
        except BaseException as error:
            put(error)

    def _write(self, messages: Sequence[ChatMessage], stop: _Stop, put: Any) -> _End:
        inputs = self._inputs(messages).to(self._model.device)
        length = int(inputs["input_ids"].shape[1])
        if length + 1 > self.context_window:
            raise InputError(
                f"the question has {length} tokens with its pages; {self.name} takes {self.context_window}"
            )
        streamer = _PieceStreamer(self._processor.tokenizer, put)
        most = min(self.max_new_tokens, self.context_window - length)
        with torch.inference_mode():
            written = self._model.generate(
                **inputs,
                max_new_tokens=most,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                streamer=streamer,
                stopping_criteria=StoppingCriteriaList([stop]),
            )
        ends = self._model.generation_config.eos_token_id
        said_all = int(written[0, -1]) in (ends if isinstance(ends, list) else [ends])
        full = written.shape[1] - length >= most and not said_all
        return _End("length" if full else "stop")

    def _inputs(self, messages: Sequence[ChatMessage]) -> Any:
        """Messages as the model's own turns; the template is Qwen's, whatever a checkpoint's file says."""
        text, images = "", []
        for message in messages:
            text += f"<|im_start|>{message.role.value}\n"
            for block in message.blocks:
                if isinstance(block, TextBlock):
                    text += literal(block.text)  # control tokens in a text stay text
                elif isinstance(block, ImageBlock):
                    text += _IMAGE
                    with Image.open(BytesIO(block.resolve_image().read())) as image:
                        images.append(image.convert("RGB"))
                else:
                    raise InputError(f"{self.name} takes texts and images, not a {block.block_type} block")
            text += "<|im_end|>\n"
        text += f"<|im_start|>{MessageRole.ASSISTANT.value}\n"
        return self._processor(text=[text], images=images or None, return_tensors="pt", return_mm_token_type_ids=True)


class _PieceStreamer(BaseStreamer):  # type: ignore[misc]
    """Hands text on as soon as it is whole: a letter may be several tokens."""

    def __init__(self, tokenizer: Any, put: Any) -> None:
        self._tokenizer, self._put = tokenizer, put
        self._ids: list[int] | None = None  # None until the prompt has come, which is no answer

    def put(self, value: torch.Tensor) -> None:
        """What `generate` calls with the prompt, then with each token."""
        if self._ids is None:
            self._ids = []
            return
        self._ids += value.reshape(-1).tolist()
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        if text and (not text.endswith("\ufffd") or len(self._ids) >= _MOST_TOKENS_OF_A_LETTER):
            self._put(text)
            self._ids = []

    def end(self) -> None:
        """What `generate` calls last."""
        if self._ids and (text := self._tokenizer.decode(self._ids, skip_special_tokens=True)):
            self._put(text)


def _response(content: str, piece: str | None, **said: str) -> ChatResponse:
    message = ChatMessage(role=MessageRole.ASSISTANT, content=content)
    return ChatResponse(message=message, delta=piece, additional_kwargs=said)
