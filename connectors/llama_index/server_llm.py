"""Language models behind an OpenAI-style server (vLLM, Ollama, ...): streams that end when they are closed, bounded
waits, and retries only as long as nothing of the answer has come."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
from llama_index.core.llms import ChatMessage, ChatResponse, MessageRole
from llama_index.llms.openai.utils import to_openai_message_dicts
from llama_index.llms.openai_like import OpenAILike
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, AsyncOpenAI
from pydantic import Field

from connectors.errors import LLMError
from connectors.llama_index.blocking import blocking

_MOST_OF_A_MESSAGE = 300


class LLMRefusedError(LLMError):
    """The server understood the request and will not answer it: asked again as it is, it would refuse again."""


class ServerLLM(OpenAILike):
    """A chat model on an OpenAI-style server.

    Each answer has a connection of its own, which closes with it: a stream that is closed or cancelled stops the
    server's work at once, and no event loop's connection is met in another.

    Attributes:
        connect_seconds: to reach the server, for each try.
        first_seconds: from asking to the first token, retries and their waits included: the server may be loading the
            model or be busy.
        next_seconds: from one token to the next.
    """

    connect_seconds: float = Field(default=10.0, gt=0)
    first_seconds: float = Field(default=120.0, gt=0)
    next_seconds: float = Field(default=60.0, gt=0)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex saves it."""
        return "ViPyloServerLLM"

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The answer, piece by piece.

        Raises:
            LLMError: the server cannot be reached, refuses, is too slow, or breaks off.
        """
        return blocking(lambda: self._streamed(messages, kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The answer, piece by piece; see `stream_chat`."""
        return self._streamed(messages, kwargs)

    async def _streamed(self, messages: Sequence[ChatMessage], options: dict[str, Any]) -> AsyncGenerator[ChatResponse]:
        content = ""
        finished: str | None = None
        waits = httpx.Timeout(None, connect=self.connect_seconds)
        try:
            async with AsyncOpenAI(
                api_key=self.api_key,
                base_url=self.api_base,
                max_retries=self.max_retries,
                timeout=waits,
                default_headers=self.default_headers,
            ) as client:
                async with asyncio.timeout(self.first_seconds):
                    stream = await client.chat.completions.create(**self._request(messages, options))
                try:
                    chunks = aiter(stream)
                    allowed = self.first_seconds
                    while True:
                        async with asyncio.timeout(allowed):
                            chunk = await anext(chunks, None)
                        if chunk is None:
                            break
                        if not chunk.choices:
                            continue
                        finished = chunk.choices[0].finish_reason or finished
                        delta = chunk.choices[0].delta
                        piece = (delta.content if delta else None) or ""
                        if piece:
                            content += piece
                            allowed = self.next_seconds
                            yield _response(content, piece)
                finally:
                    await stream.close()
        except TimeoutError as error:
            raise LLMError(self._too_slow(content)) from error
        except (APIError, httpx.HTTPError, json.JSONDecodeError) as error:
            raise self._error(error, content) from error
        if finished is None:
            raise LLMError(
                f"{self._place()} ended its answer before it was complete"
                if content
                else f"{self._place()} gave no answer: is it an OpenAI-style server? Its address usually ends in /v1"
            )
        # So that who reads it knows of an answer that ends for want of room.
        yield _response(content, "", finish_reason=finished)

    def _request(self, messages: Sequence[ChatMessage], options: dict[str, Any]) -> dict[str, Any]:
        said = to_openai_message_dicts(messages, model=self.model)
        return {"messages": said, **self._get_model_kwargs(stream=True, **options)}

    def _place(self) -> str:
        return (
            f"the language model {self.model} at {httpx.URL(self.api_base or '').copy_with(username='', password='')}"
        )

    def _too_slow(self, content: str) -> str:
        if content:
            return f"{self._place()} stopped in the middle of its answer: nothing came for {self.next_seconds:g} s"
        return f"{self._place()} gave no token within {self.first_seconds:g} s: it is busy or still loading; try again"

    def _error(self, error: Exception, content: str) -> LLMError:
        match error:
            case APITimeoutError():
                return LLMError(f"{self._place()} cannot be reached within {self.connect_seconds:g} s: is it running?")
            case APIConnectionError() if not content:
                cause = error.__cause__ or error
                return LLMError(f"{self._place()} cannot be reached ({cause}): is it running, is the address right?")
            case APIStatusError():
                return self._status_error(error)
            case APIError() if not content:
                return LLMError(f"{self._place()} failed: {_said(error)}")
        return LLMError(f"{self._place()} broke off in the middle of its answer ({_said(error)}): ask again")

    def _status_error(self, error: APIStatusError) -> LLMError:
        said, place = _said(error), self._place()
        match error.status_code:
            case 401 | 403:
                return LLMError(f"{place} refuses the key ({said}): set VIPYLO_LLM_KEY")
            case 404:
                return LLMError(f"{place} is not there ({said}): check the address and the model's name")
            case 429:
                return LLMError(f"{place} is overloaded ({said}): try again later")
            case code if code < 500 and code != 408:
                return LLMRefusedError(f"{place} refused the question ({code}: {said})")
            case code:
                return LLMError(f"{place} failed ({code}: {said})")


def _response(content: str, piece: str, **said: str) -> ChatResponse:
    message = ChatMessage(role=MessageRole.ASSISTANT, content=content)
    return ChatResponse(message=message, delta=piece, additional_kwargs=said)


def _said(error: Exception) -> str:
    """What a server said, on one line and short: it may be a whole page of HTML."""
    body = getattr(error, "body", None)
    told = body.get("message") if isinstance(body, dict) else None
    message = " ".join(str(told or getattr(error, "message", "") or error).split())
    return message[:_MOST_OF_A_MESSAGE] or type(error).__name__
