"""The embedder as it is trained: unit vectors out, every parameter used by every chunk, parts frozen or adapted."""

import importlib.util
import logging
from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from embedder.model import ColPaLiQwenEmbedder
from embedder.pooling import cut_and_normalize
from trainer.config import LoraConfig, ModelConfig
from trainer.errors import ConfigError, TrainerError

logger = logging.getLogger(__name__)


class TrainableEmbedder(ColPaLiQwenEmbedder):
    """An embedder whose forward gives unit vectors, and which runs its vision tower even for texts alone.

    It is the embedder itself and not a wrapper, because FSDP2 and ZeRO-3 bring weights together in the hooks of the
    module that they were given: `encode` during training must pass through the same module.
    """

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """A collated batch -> [B, dim] float32, unit length."""
        if self.training and "pixel_values" not in batch:
            return self._without_image(batch)
        return cut_and_normalize(super().forward(batch).float())

    def _without_image(self, batch: dict[str, Tensor]) -> Tensor:
        """A chunk of texts, with one blank image whose features count for nothing.

        Without it the vision tower's parameters get no gradient: DDP raises ("Expected to have finished reduction"),
        and under FSDP and ZeRO-3 this rank misses the collectives that the others wait in.
        """
        visual = self.model.visual
        vision = self.model.config.vision_config
        merge = vision.spatial_merge_size
        width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        device = batch["input_ids"].device
        pixels = torch.zeros(merge * merge, width, device=device)
        # First, as with images: FSDP and ZeRO-3 gather weights as modules run, and all ranks must agree on the order.
        output = visual(pixels, grid_thw=torch.tensor([[1, merge, merge]], device=device))
        features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return cut_and_normalize(super().forward(batch).float()) + 0.0 * features.float().sum()


def trainable(config: ModelConfig) -> TrainableEmbedder:
    """Load what a run trains: float32 weights, parts frozen or adapted as configured, in training mode.

    Raises:
        CheckpointError: there is no such checkpoint, or it does not fit.
        ConfigError: `config.matryoshka` has a width above the checkpoint's vectors.
        TrainerError: LoRA is asked for and peft is not installed, or its targets are no layers.
    """
    loaded = ColPaLiQwenEmbedder.from_pretrained(
        config.checkpoint,
        device="cpu",
        dtype=torch.float32,
        attn_implementation=_attention(config.attention),
        min_pixels=config.min_pixels,
        max_pixels=config.max_pixels,
        max_tokens=config.max_tokens,
    )
    if wrong := [width for width in config.matryoshka if width > loaded.dim]:
        raise ConfigError(f"model.matryoshka has {wrong}, but vectors of {config.checkpoint} have {loaded.dim} numbers")
    network = TrainableEmbedder(
        loaded.model,
        loaded.projection,
        loaded.processor,
        prompts=loaded.prompts,
        max_tokens=loaded.max_tokens,
        name=config.checkpoint,
    )
    for part in config.frozen:
        for parameter in _part(network, part):
            parameter.requires_grad_(False)
    if config.lora:
        _adapt(network, config.lora)
    if config.gradient_checkpointing:
        # Reentrant checkpointing loses the gradient of parts whose inputs need none: the vision tower's first block.
        network.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        # transformers makes all embeddings ask for gradients, which only reentrant checkpointing needs: frozen parts
        # would be recomputed and differentiated for nothing.
        network.model.disable_input_require_grads()
    network.train()
    return network


def merged(network: TrainableEmbedder, state: dict[str, Tensor] | None = None) -> ColPaLiQwenEmbedder:
    """A plain embedder on the CPU with the network's weights, adapters folded into them. The network stays as it is.

    Args:
        state: weights to take instead of the network's own, such as the ones gathered from all ranks.
    """
    weights = dict(network.state_dict() if state is None else state)
    deltas = _adapter_deltas(network, weights)
    plain = {
        name.replace(".base_layer.", "."): tensor.detach().to("cpu", torch.float32)
        for name, tensor in weights.items()
        if ".lora_" not in name
    }
    for name, delta in deltas.items():
        plain[name] = plain[name] + delta
    with torch.device("meta"):
        model = type(network.model)(network.model.config)
        projection = nn.Linear(network.projection.in_features, network.projection.out_features, bias=False)
    embedder = ColPaLiQwenEmbedder(
        model,
        projection,
        network.processor,
        prompts=network.prompts,
        max_images=network.max_images,
        max_tokens=network.max_tokens,
        name=network.name,
    )
    embedder.load_state_dict(plain, strict=True, assign=True)
    _restore_buffers(embedder, network)
    return embedder


def _attention(wanted: str) -> str:
    if wanted == "flash_attention_2" and not (torch.cuda.is_available() and importlib.util.find_spec("flash_attn")):
        logger.warning("flash-attn is not installed or there is no GPU: attention runs through SDPA instead")
        return "sdpa"
    return wanted


def _part(network: TrainableEmbedder, name: str) -> Iterator[nn.Parameter]:
    model = network.model
    if name == "vision":
        return model.visual.parameters()  # type: ignore[no-any-return]
    if name == "layers":  # of the language model, without its embeddings
        return chain(model.language_model.layers.parameters(), model.language_model.norm.parameters())
    if name == "embeddings":
        return model.get_input_embeddings().parameters()  # type: ignore[no-any-return]
    return model.language_model.parameters()  # type: ignore[no-any-return]


def _adapt(network: TrainableEmbedder, lora: LoraConfig) -> None:
    """Adapters on the language model's linear layers; of the rest only the projection learns."""
    try:
        import peft
    except ImportError as error:
        raise TrainerError("model.lora needs peft: pip install 'vipylo-rag[train]'") from error
    # The vision tower has layers of some of these names too: adapt the language model alone.
    targets = rf"language_model\..*\.({'|'.join(lora.targets)})"
    settings = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, bias="none"
    )
    try:
        peft.inject_adapter_in_model(settings, network.model)
    except ValueError as error:
        raise TrainerError(f"model.lora.targets: {error}") from error
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(".lora_" in name or name.startswith("projection."))


def _adapter_deltas(network: TrainableEmbedder, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """What each adapter adds to its layer: scaling * B A, as weight name -> float32 tensor on the CPU."""
    deltas: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if not hasattr(module, "lora_A") or not hasattr(module, "scaling"):
            continue
        down = weights[f"{name}.lora_A.default.weight"].detach().to("cpu", torch.float32)
        up = weights[f"{name}.lora_B.default.weight"].detach().to("cpu", torch.float32)
        deltas[f"{name}.weight"] = (up @ down) * float(module.scaling["default"])
    return deltas


def _restore_buffers(embedder: ColPaLiQwenEmbedder, network: TrainableEmbedder) -> None:
    """Rotary frequencies are buffers outside the state: built on the meta device they hold nothing."""
    own = dict(network.named_buffers())
    for name, buffer in list(embedder.named_buffers()):
        if buffer.is_meta:
            place, _, leaf = name.rpartition(".")
            setattr(embedder.get_submodule(place), leaf, own[name].detach().to("cpu").clone())
