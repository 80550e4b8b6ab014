"""What finds the entities of a page: the rules, a language model, or anything that LlamaIndex takes as an extractor."""

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.schema import TransformComponent
from pydantic import BaseModel

from embedder.errors import InputError, PluginError
from embedder.plugins import load_plugin

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

_BY_LLM: Final = "llm"
_BY_RULES: Final = "rules"
# Options that are secret, or say where and how fast something runs, not what it finds.
_NOT_IDENTITY: Final = (
    "key",
    "token",
    "secret",
    "password",
    "credential",
    "header",
    "callback",
    "worker",
    "show_progress",
)


def load_extractor(
    name_or_component: "str | TransformComponent | None" = None, llm: "LLM | None" = None
) -> TransformComponent:
    """The extractor of a name, or the given one.

    Args:
        name_or_component: "rules", "llm", the name of another installed part (entry point group
            `vipylo_rag.extractors`), or any LlamaIndex extractor, which is returned as it is. By default "llm" where a
            language model is given, else "rules".
        llm: the language model that "llm" asks, any of LlamaIndex or what `vipylo_rag.llm.load_llm` gives.

    Raises:
        InputError: "llm" without a language model, or one for an extractor that takes none. PluginError: nothing has
            that name, or it is no extractor.
    """
    if isinstance(name_or_component, TransformComponent):
        if llm is not None:
            raise InputError("give a language model to the extractor itself, or name no extractor")
        return name_or_component
    name = name_or_component or (_BY_LLM if llm is not None else _BY_RULES)
    if name == _BY_LLM:
        if llm is None:
            raise InputError("the extractor 'llm' needs a language model: give its address, or take 'rules'")
        from vipylo_rag.graph.llm_extractor import LanguageModelExtractor

        return LanguageModelExtractor(llm)
    if llm is not None:
        raise InputError(f"the extractor {name!r} takes no language model: take 'llm', or give none")
    part = load_plugin("extractors", name)
    try:
        made = part() if isinstance(part, type) or not isinstance(part, TransformComponent) else part
    except Exception as error:  # a third party's part may raise anything
        raise PluginError(f"the extractor {name!r} cannot be made: {error}") from error
    if not isinstance(made, TransformComponent):
        raise PluginError(f"the extractor {name!r} is a {type(made).__name__}, not a LlamaIndex TransformComponent")
    return made


def extractor_identity(component: TransformComponent) -> str:
    """A name of what an extractor finds: its class's, and a hash of its options. Equal in every process; another one
    means that a graph made with it is to be made anew.

    Language models count by their class and name; keys, addresses and numbers of workers do not count.
    """
    said = json.dumps(_options(component), sort_keys=True, ensure_ascii=False)
    return f"{type(component).__name__}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _options(component: BaseModel) -> dict[str, Any]:
    kind = type(component)
    options = {name: getattr(component, name) for name in kind.model_fields if not _is_aside(name)}
    options["version"] = getattr(component, "version", None)
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        **{name: _said(value) for name, value in options.items()},
    }


def _is_aside(name: str) -> bool:
    return any(word in name.casefold() for word in _NOT_IDENTITY)


def _said(value: Any) -> Any:
    """An option as JSON that is equal in every process."""
    from llama_index.core.base.llms.base import BaseLLM

    match value:
        case None | bool() | int() | float() | str():
            return value
        case BaseLLM():
            return {"class": type(value).__qualname__, "model": value.metadata.model_name}
        case BasePromptTemplate():
            return value.get_template()
        case BaseModel():
            return _options(value)
        case dict():
            return {str(key): _said(one) for key, one in value.items() if not _is_aside(str(key))}
        case set() | frozenset():
            return sorted((_said(one) for one in value), key=str)
        case list() | tuple():
            return [_said(one) for one in value]
    named = (
        value if hasattr(value, "__qualname__") else type(value)
    )  # a function or a class; of any other thing, its class
    return f"{named.__module__}.{named.__qualname__}"
