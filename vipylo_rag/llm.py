"""The language model that answers: by the URL of an OpenAI-style server, or from a Qwen2-VL checkpoint's directory."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.errors import LLMError
from embedder.errors import InputError, PluginError, ViPyloError

if TYPE_CHECKING:
    from llama_index.core.llms import LLM, ChatResponse

# For a server that does not tell; today's multimodal models take at least as much.
CONTEXT_WINDOW = 32_768
MOST_TOKENS = 1024
_RETRIES = 3
_ASK_SECONDS = 10.0

# How servers and libraries say that a model takes no images, or not so many.
_ABOUT_IMAGES = re.compile(r"image|vision|visual|multi-?modal|content.?(type|part|block)|modalit", re.IGNORECASE)
_REFUSALS = frozenset({400, 413, 415, 422})


def load_llm(
    spec: str | Path,
    model: str | None = None,
    key: str | None = None,
    *,
    connect_seconds: float = 10.0,
    first_seconds: float = 120.0,
    next_seconds: float = 60.0,
    device: str | None = None,
) -> "LLM":
    """The language model at a URL or in a directory.

    Args:
        spec: "http://localhost:8000/v1" of an OpenAI-style server (vLLM, Ollama: "http://localhost:11434"), or the
            directory of a Qwen2-VL checkpoint.
        model: its name on the server; by default the only one that the server has.
        key: the server's key, if it asks for one.
        connect_seconds, first_seconds, next_seconds: how long a server may take to be reached, to give the first token,
            and from one token to the next.
        device: where a local checkpoint runs.

    Raises:
        InputError: neither a URL nor a directory; a server with several models, and none chosen; a vipylo server, which
            has no language model. LLMError: the server cannot be reached. PluginError: the package for servers is not
            installed. CheckpointError: the directory holds no Qwen2-VL model that can write.
    """
    if re.match(r"https?://", str(spec)):
        return _server(str(spec), model, key, connect_seconds, first_seconds, next_seconds)
    if not Path(spec).is_dir():
        raise InputError(f"language model {spec}: give the http:// URL of an OpenAI-style server, or a directory")
    from connectors.llama_index.local_llm import Qwen2VLLLM

    return Qwen2VLLLM.from_pretrained(Path(spec), device=device)


def refuses_images(error: Exception) -> bool:
    """Whether an error, before any token, can mean that the model takes no images: then its pages' texts are tried."""
    if isinstance(error, (TypeError, ValueError, NotImplementedError)) and not isinstance(error, ViPyloError):
        return True  # a LlamaIndex LLM whose messages know no image blocks
    status = getattr(error, "status_code", None) or getattr(error.__cause__, "status_code", None)
    return status in _REFUSALS or (status is not None and status >= 500 and bool(_ABOUT_IMAGES.search(str(error))))


def broken_off(response: "ChatResponse") -> bool:
    """Whether this response is a model's last because it may write no more, not because all was said."""
    said = response.additional_kwargs.get("finish_reason")
    for choice in getattr(response.raw, "choices", None) or ():  # what LlamaIndex's own OpenAI models give
        said = getattr(choice, "finish_reason", None) or said
    return said == "length"


def llm_error(error: Exception, name: str) -> ViPyloError:
    """An error of a model as one of ours."""
    if isinstance(error, ViPyloError):
        return error
    said = " ".join(str(error).split())[:300]
    return LLMError(f"the language model {name} failed ({type(error).__name__}: {said})")


def _server(
    url: str, model: str | None, key: str | None, connect_seconds: float, first_seconds: float, next_seconds: float
) -> "LLM":
    try:
        from connectors.llama_index.server_llm import ServerLLM
    except ImportError as error:
        raise PluginError(
            f"language models on servers need a package that is not installed ({error.name}): "
            "pip install 'vipylo-rag[llm]'"
        ) from error
    base = _base(url)
    # A key must be given all the same, or the client takes OPENAI_API_KEY and sends it to whatever server this is.
    key = key or "none"
    known = _models(base, key, connect_seconds) if model is None else {}
    if model is None and len(known) != 1:
        names = ", ".join(sorted(known)[:20])
        raise InputError(f"{base} has {len(known)} models{f' ({names})' if names else ''}: say which, by its name")
    chosen = model or next(iter(known))
    return ServerLLM(
        model=chosen,
        api_base=base,
        api_key=key,
        is_chat_model=True,
        context_window=known.get(chosen) or CONTEXT_WINDOW,
        max_tokens=MOST_TOKENS,
        temperature=0.0,
        max_retries=_RETRIES,
        connect_seconds=connect_seconds,
        first_seconds=first_seconds,
        next_seconds=next_seconds,
    )


def _base(url: str) -> str:
    """The address that "/chat/completions" is below: of a bare host, its /v1."""
    base = re.sub(r"/(chat/)?completions/?$", "", url.strip()).rstrip("/")
    return base if re.match(r"https?://[^/]+/", base) else f"{base}/v1"


def _models(base: str, key: str, connect_seconds: float) -> dict[str, int | None]:
    """The names of a server's models, with the length of what each takes in, where it tells."""
    import httpx

    try:
        asked = httpx.get(
            f"{base}/models",
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(_ASK_SECONDS, connect=connect_seconds),
            follow_redirects=False,
        )
        asked.raise_for_status()
        rows: list[dict[str, Any]] = asked.json()["data"]
        models = {str(row["id"]): row.get("max_model_len") for row in rows}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LLMError(
            f"no language model answers at {base} ({error}): is it running, is the address right?"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LLMError(f"{base}/models is no list of models: is it an OpenAI-style server?") from error
    if any(row.get("owned_by") == "vipylo-rag" for row in rows):  # as our own /v1/models says
        raise InputError(f"{base} is a vipylo server, whose model writes no answers: give a language model's address")
    return models
