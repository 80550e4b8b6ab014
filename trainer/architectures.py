"""Configurations of checkpoints without their weights: of a directory, of a published model, or of a hub id."""

from pathlib import Path
from typing import Any

from trainer.errors import ConfigError

# The published configurations, so that a plan needs no hub. Source: config.json of these repositories on the model hub.
_QWEN2_VL_2B: dict[str, Any] = {
    "vision_config": {
        "depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4, "hidden_size": 1536, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "hidden_act": "quick_gelu",
    },
    "text_config": {
        "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
        "num_key_value_heads": 2, "vocab_size": 151936, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
        "bos_token_id": 151643, "eos_token_id": 151645,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
}  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2-VL-2B-Instruct": _QWEN2_VL_2B,
    "Qwen/Qwen2-VL-2B": _QWEN2_VL_2B,
}


def place_of(checkpoint: str) -> str:
    """Where a checkpoint's small files are: its directory, or the hub id itself."""
    from embedder.checkpoint import resolve

    local = checkpoint == "starter" or Path(checkpoint).expanduser().is_dir()
    return str(resolve(checkpoint)) if local else checkpoint


def model_config(checkpoint: str) -> Any:
    """The `Qwen2VLConfig` of a directory, of "starter", of a published model (no network), or of a hub id.

    Raises:
        ConfigError: there is none, or it is of another architecture.
    """
    from transformers import PreTrainedConfig, Qwen2VLConfig

    if checkpoint in PUBLISHED and not Path(checkpoint).is_dir():
        return Qwen2VLConfig.from_dict(PUBLISHED[checkpoint])
    try:
        # Only the configuration of a hub model is fetched, never its weights.
        content, _ = PreTrainedConfig.get_config_dict(place_of(checkpoint))
    except Exception as error:  # transformers and the hub client raise a dozen kinds
        raise ConfigError(
            f"model.checkpoint: no configuration of {checkpoint!r} here or on the hub "
            f"({(str(error).strip().splitlines() or [type(error).__name__])[0]}); give a directory or one of: "
            f"starter, {', '.join(PUBLISHED)}"
        ) from error
    if content.get("model_type") != "qwen2_vl":
        raise ConfigError(
            f"model.checkpoint: {checkpoint} holds a {content.get('model_type')!r} model, not a qwen2_vl one"
        )
    return Qwen2VLConfig.from_dict(content)
