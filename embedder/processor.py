"""The tokenizer, image processor and chat template of a checkpoint, together, without torchvision."""

import json
from importlib.resources import files
from typing import Any

from transformers import Qwen2VLImageProcessorPil, Qwen2VLProcessor

TEMPLATE_FILE = "chat_template.jinja"


class StillImageProcessor(Qwen2VLProcessor):  # type: ignore[misc]
    """`Qwen2VLProcessor` without its video part, which cannot be built where torchvision is missing.

    The files of a checkpoint name the stock class, so that they load as it wherever torchvision exists.
    """

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)


def default_chat_template() -> str:
    """The chat template that new checkpoints are saved with."""
    return (files("embedder") / TEMPLATE_FILE).read_text(encoding="utf-8")


def build_processor(image_processor: Qwen2VLImageProcessorPil, tokenizer: Any, template: str) -> StillImageProcessor:
    """A processor from its parts."""
    return StillImageProcessor(image_processor=image_processor, tokenizer=tokenizer, chat_template=template)


def tokenizer_rules(tokenizer: Any) -> str:
    """All that decides a text's token ids: vocabulary, merges, normaliser, splits, added tokens; as one string."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    for state in ("padding", "truncation"):  # of the last call, not of the tokenizer
        rules.pop(state, None)
    return json.dumps(rules, sort_keys=True)
