"""Checkpoints as sentence-transformers directories: what `SentenceTransformer(path)` loads, we load and save.

Layout (sentence-transformers >= 6.2): `Qwen2VLModel` weights, `config.json`, tokenizer, `preprocessor_config.json` and
`chat_template.jinja` at the top; `modules.json`; `1_Pooling` (mean), `2_Dense` (projection), `3_Normalize`;
`config_sentence_transformers.json` with the task prefixes as `prompts`.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoTokenizer, Qwen2VLConfig, Qwen2VLImageProcessorPil, Qwen2VLModel
from transformers.utils import logging as transformers_logging

from embedder.errors import CheckpointError
from embedder.inputs import VISION_TOKENS
from embedder.prefixes import PREFIX_TOKENS, PROMPTS
from embedder.processor import TEMPLATE_FILE, StillImageProcessor, build_processor, default_chat_template

logger = logging.getLogger(__name__)

KNOWN = {"starter": "the small checkpoint that ships with the package"}
DIM = 1024
MAX_TOKENS = 8192

# A plain Qwen directory allows 12,845,056 pixels (16,384 tokens) an image; an A4 page needs about 1,000 tokens.
PLAIN_QWEN_MAX_PIXELS = 1280 * 28 * 28

_MODULES = (
    ("", "sentence_transformers.models.Transformer"),
    ("1_Pooling", "sentence_transformers.models.Pooling"),
    # vLLM recognises the projection by this classic path alone; the newer one is dropped there without a word.
    ("2_Dense", "sentence_transformers.models.Dense"),
    ("3_Normalize", "sentence_transformers.models.Normalize"),
)
_FILES = frozenset(
    {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json",
        TEMPLATE_FILE, "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling",
        "2_Dense", "3_Normalize",
    }
)  # fmt: skip
_HEADS = frozenset({"lm_head.weight"})  # a generator's head; an embedder has no use for it


@dataclass(frozen=True)
class Checkpoint:
    """The parts of a loaded checkpoint."""

    model: Qwen2VLModel
    projection: nn.Linear
    processor: StillImageProcessor
    prompts: dict[str, str]
    max_tokens: int


def resolve(name: str | Path) -> Path:
    """The directory of a checkpoint: "starter", a local path, or a hub id (downloaded, unless HF_HUB_OFFLINE is set).

    Raises:
        CheckpointError: no such directory, and no such model on a reachable hub.
    """
    if str(name) == "starter":
        directory = Path(str(files("embedder") / "starter"))
        if not (directory / "config.json").is_file():
            raise CheckpointError("the packaged starter checkpoint is missing: reinstall vipylo-rag")
        return directory
    local = Path(name).expanduser()
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise CheckpointError(f"{local} is not a checkpoint: it has no config.json")
        return local
    if local.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") != 1:
        raise CheckpointError(f"checkpoint {name} does not exist (known by name: {', '.join(KNOWN)})")
    return _download(str(name))


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.json", "*.jinja", "*.txt", "*.safetensors", "*.md"]))
    except Exception as error:  # the hub client raises a dozen kinds
        raise CheckpointError(
            f"checkpoint {hub_id} is neither a directory here nor reachable on the model hub ({_first_line(error)}); "
            f"give a local path, or one of: {', '.join(KNOWN)}"
        ) from error


def load_checkpoint(
    directory: Path,
    *,
    dtype: torch.dtype = torch.float32,
    attn_implementation: str | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    max_tokens: int | None = None,
) -> Checkpoint:
    """Load a sentence-transformers directory, or a plain `Qwen/Qwen2-VL-2B-Instruct` one with a fresh projection.

    Raises:
        CheckpointError: another architecture, another pooling, or weights that are missing, unexpected or misshapen.
    """
    config = _read_json(directory / "config.json")
    if config.get("model_type") != "qwen2_vl":
        raise CheckpointError(f"{directory} holds a {config.get('model_type')!r} model, not a qwen2_vl one")
    trained = (directory / "modules.json").is_file()
    if trained:
        _check_modules(directory)
    model = _load_model(directory, dtype, attn_implementation)
    image_processor = _load_image_processor(directory)
    if max_pixels is None and not trained:
        max_pixels = PLAIN_QWEN_MAX_PIXELS
    size = dict(image_processor.size)
    image_processor.size = {
        "shortest_edge": min_pixels or size["shortest_edge"],
        "longest_edge": max_pixels or size["longest_edge"],
    }
    tokenizer = _load_tokenizer(directory, model, trained)
    template = directory / TEMPLATE_FILE
    text = template.read_text(encoding="utf-8") if trained and template.is_file() else default_chat_template()
    limit = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)
    return Checkpoint(
        model=model,
        projection=_load_projection(directory, model, dtype, trained),
        processor=build_processor(image_processor, tokenizer, text),
        prompts=_read_json(directory / "config_sentence_transformers.json").get("prompts", {}) if trained else PROMPTS,
        max_tokens=max_tokens or (limit if trained else min(limit, MAX_TOKENS)),
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path.parent} is not a complete checkpoint: {path.name} is missing") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error


def _check_modules(directory: Path) -> None:
    kinds = [str(module.get("type")).rsplit(".", 1)[-1] for module in _read_json(directory / "modules.json")]
    if kinds != ["Transformer", "Pooling", "Dense", "Normalize"]:
        raise CheckpointError(
            f"{directory}: modules.json says {' > '.join(kinds)}, not Transformer > Pooling > Dense > Normalize"
        )
    pooling = _read_json(directory / "1_Pooling" / "config.json")
    classic = [key for key, on in pooling.items() if key.startswith("pooling_mode_") and on is True]
    mode = pooling.get("pooling_mode") or (classic[0].removeprefix("pooling_mode_") if len(classic) == 1 else classic)
    if mode not in ("mean", "mean_tokens"):
        raise CheckpointError(f"{directory} pools by {mode}; this embedder pools the mean over all tokens")


def _load_model(directory: Path, dtype: torch.dtype, attn_implementation: str | None) -> Qwen2VLModel:
    try:
        with _no_progress_bar():
            model, report = Qwen2VLModel.from_pretrained(
                str(directory),
                dtype=dtype,
                attn_implementation=attn_implementation,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except Exception as error:  # transformers and safetensors raise many kinds, safetensors a bare one
        raise CheckpointError(f"{directory} cannot be loaded: {_first_line(error)}") from error
    # transformers only warns here and leaves random weights behind: an embedder that answers nonsense, politely.
    problems = {
        "missing": sorted(report["missing_keys"]),
        "unexpected": sorted(set(report["unexpected_keys"]) - _HEADS),
        "of the wrong shape": sorted(str(key) for key in report["mismatched_keys"]),
    }
    for what, keys in problems.items():
        if keys:
            raise CheckpointError(f"{directory}: {len(keys)} weights are {what}, such as {', '.join(keys[:3])}")
    return model


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """transformers draws a bar even for a model that loads in milliseconds."""
    before = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            transformers_logging.enable_progress_bar()


def _load_image_processor(directory: Path) -> Qwen2VLImageProcessorPil:
    try:
        return Qwen2VLImageProcessorPil.from_pretrained(str(directory), local_files_only=True)
    except Exception as error:  # transformers raises many kinds
        raise CheckpointError(f"{directory}: the image processor cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _load_tokenizer(directory: Path, model: Qwen2VLModel, trained: bool) -> Any:
    # Without these files transformers makes a tokenizer of no words and does not complain.
    if not any((directory / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(f"{directory} is not a complete checkpoint: tokenizer.json is missing")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(directory), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise many kinds
        raise CheckpointError(f"{directory}: the tokenizer cannot be loaded: {_first_line(error)}") from error
    vocabulary = tokenizer.get_vocab()
    lost = [token for token in VISION_TOKENS if token not in vocabulary]
    missing = [token for token in PREFIX_TOKENS if token not in vocabulary]
    if lost or (trained and missing):
        raise CheckpointError(f"{directory}: the tokenizer lacks {', '.join(lost + missing)}")
    if missing:
        tokenizer.add_special_tokens({"additional_special_tokens": missing}, replace_extra_special_tokens=False)
        rows = model.get_input_embeddings().weight.shape[0]
        if len(tokenizer) > rows:  # the published models have spare rows; others get new ones
            model.resize_token_embeddings(len(tokenizer))
    return tokenizer


def _load_projection(directory: Path, model: Qwen2VLModel, dtype: torch.dtype, trained: bool) -> nn.Linear:
    hidden = model.config.text_config.hidden_size
    if not trained:
        logger.warning(
            "%s has no embedding head: a fresh, UNTRAINED projection %d -> %d is used; train it before you rely on it",
            directory, hidden, DIM,
        )  # fmt: skip
        return fresh_projection(hidden, DIM).to(dtype)
    config = _read_json(directory / "2_Dense" / "config.json")
    plain = config.get("bias") is False and str(config.get("activation_function")).endswith("Identity")
    if not plain or config.get("in_features") != hidden or not isinstance(config.get("out_features"), int):
        raise CheckpointError(f"{directory}: 2_Dense is not a plain {hidden} -> n projection (no bias, identity)")
    path = directory / "2_Dense" / "model.safetensors"
    try:
        weights = load_file(path)
    except Exception as error:  # safetensors raises its own bare type
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    shape = (config["out_features"], hidden)
    if set(weights) != {"linear.weight"} or tuple(weights["linear.weight"].shape) != shape:
        found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        raise CheckpointError(f"{path} holds {found}, not linear.weight {shape}")
    projection = nn.Linear(hidden, shape[0], bias=False, dtype=dtype)
    projection.load_state_dict({"weight": weights["linear.weight"]})
    return projection


def fresh_projection(hidden: int, dim: int, seed: int = 0) -> nn.Linear:
    """A new projection with orthonormal rows or columns: it keeps the angles that the pooled states have. Seeded."""
    projection = nn.Linear(hidden, dim, bias=False)
    nn.init.orthogonal_(projection.weight, generator=torch.Generator().manual_seed(seed))
    return projection


def save_checkpoint(
    directory: str | Path,
    model: Qwen2VLModel,
    projection: nn.Linear,
    tokenizer: Any,
    image_processor: Any,
    *,
    prompts: dict[str, str] | None = None,
    chat_template: str | None = None,
    max_tokens: int | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a checkpoint that we, sentence-transformers and vLLM load. Replaces an older one, all or nothing.

    Raises:
        CheckpointError: `directory` exists and is no checkpoint (nothing is overwritten).
    """
    target = Path(directory)
    if target.exists() and (strange := _strange_entries(target)):
        raise CheckpointError(f"{target} exists and holds other things ({strange[0]}): choose another directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        draft = Path(scratch) / "checkpoint"
        draft.mkdir()
        _write_model(draft, model, projection, dtype)
        _write_processor(draft, tokenizer, image_processor, chat_template or default_chat_template(), max_tokens)
        _write_modules(draft, projection, prompts or PROMPTS)
        if target.exists():
            for extra in target.glob("*.md"):  # a model card outlives its weights
                shutil.copy2(extra, draft / extra.name)
            target.rename(Path(scratch) / "old")
        draft.rename(target)


def _strange_entries(target: Path) -> list[str]:
    """What lies in a directory beside the files of a checkpoint; replacing it would lose that."""
    names = sorted(entry.name for entry in target.iterdir()) if target.is_dir() else [target.name]
    return [name for name in names if name not in _FILES and not name.endswith(".md")]


def _write_model(draft: Path, model: Qwen2VLModel, projection: nn.Linear, dtype: torch.dtype) -> None:
    config = Qwen2VLConfig.from_dict(model.config.to_dict())
    config.architectures = ["Qwen2VLModel"]
    config.dtype = dtype
    config.save_pretrained(draft)
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, draft / "model.safetensors", metadata={"format": "pt"})
    (draft / "2_Dense").mkdir()
    weight = projection.weight.detach().to("cpu", dtype).contiguous()
    save_file({"linear.weight": weight}, draft / "2_Dense" / "model.safetensors", metadata={"format": "pt"})


def _write_processor(draft: Path, tokenizer: Any, image_processor: Any, template: str, max_tokens: int | None) -> None:
    tokenizer.save_pretrained(str(draft))
    image_processor.save_pretrained(str(draft))
    (draft / TEMPLATE_FILE).write_text(template, encoding="utf-8")
    for name in ("tokenizer_config.json", "preprocessor_config.json"):
        settings = _read_json(draft / name)
        settings["processor_class"] = "Qwen2VLProcessor"
        if name == "tokenizer_config.json" and max_tokens:
            settings["model_max_length"] = max_tokens
        if name == "preprocessor_config.json":
            settings["image_processor_type"] = "Qwen2VLImageProcessor"
        _write_json(draft / name, settings)


def _write_modules(draft: Path, projection: nn.Linear, prompts: dict[str, str]) -> None:
    forward = {"method": "forward", "method_output_name": "last_hidden_state"}
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": kind} for index, (path, kind) in enumerate(_MODULES)
    ]
    _write_json(draft / "modules.json", modules)
    _write_json(
        draft / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": forward, "image": forward, "message": {**forward, "format": "structured"}},
            "module_output_name": "token_embeddings",
        },
    )
    _write_json(
        draft / "1_Pooling" / "config.json",
        {"embedding_dimension": projection.in_features, "pooling_mode": "mean", "include_prompt": True},
    )
    _write_json(
        draft / "2_Dense" / "config.json",
        {
            "in_features": projection.in_features,
            "out_features": projection.out_features,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    (draft / "3_Normalize").mkdir()
    _write_json(
        draft / "config_sentence_transformers.json",
        {
            "model_type": "SentenceTransformer",
            "prompts": prompts,
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
