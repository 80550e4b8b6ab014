"""The formulas of trainer.cost against the real modules: counted, and measured while they run."""

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2VLConfig, Qwen2VLModel

from embedder.model import ColPaLiQwenEmbedder
from trainer.architectures import PUBLISHED, model_config
from trainer.cost import Architecture, Attention, Trained, Widths, Work
from trainer.errors import ConfigError

DIM = 64


def config(attention: Attention = "sdpa", activation: str = "quick_gelu", **sizes: int) -> Qwen2VLConfig:
    """Small, and no two sizes alike, so that none can stand in for another."""
    size = {"depth": 3, "embed_dim": 96, "hidden": 128, "intermediate": 320, "layers": 4} | sizes
    found = Qwen2VLConfig(
        vision_config={
            "depth": size["depth"], "embed_dim": size["embed_dim"], "num_heads": 2, "hidden_size": size["hidden"],
            "mlp_ratio": 4, "patch_size": 14, "hidden_act": activation,
        },
        text_config={
            "vocab_size": 300, "hidden_size": size["hidden"], "intermediate_size": size["intermediate"],
            "num_hidden_layers": size["layers"], "num_attention_heads": 4, "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
            "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
        },
        image_token_id=5, video_token_id=6, vision_start_token_id=7, vision_end_token_id=8,
    )  # fmt: skip
    found._attn_implementation = attention
    return found


def embedder(settings: Qwen2VLConfig) -> ColPaLiQwenEmbedder:
    torch.manual_seed(0)
    return ColPaLiQwenEmbedder.from_config(settings, dim=DIM).train()


def batch(grids: list[tuple[int, int]], text: int, texts: int) -> dict[str, Tensor]:
    """One row per image, with text; and rows of text alone."""
    rows = [[1] * text + [7] + [5] * (height * width // 4) + [8] for height, width in grids]
    rows += [[1] * (60 + 40 * row) for row in range(texts)]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    found = {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": ((ids == 5) & (mask == 1)).long()}
    if grids:
        found["pixel_values"] = torch.randn(sum(height * width for height, width in grids), 588)
        found["image_grid_thw"] = torch.tensor([[1, *grid] for grid in grids])
    return found


def work_of(inputs: dict[str, Tensor]) -> Work:
    rows, length = inputs["input_ids"].shape
    patches = inputs["image_grid_thw"].prod(dim=1).tolist() if "image_grid_thw" in inputs else []
    return Work(rows, rows * length, rows * length**2, sum(patches), sum(count**2 for count in patches))


PAGES = batch([(16, 16), (16, 20), (12, 16)], 90, 1)
TEXTS = batch([], 0, 5)
BATCHES = pytest.mark.parametrize("inputs", [PAGES, TEXTS], ids=["pages", "texts"])


def parts(model: Qwen2VLModel) -> dict[str, int]:
    embeddings = model.get_input_embeddings().weight.numel()
    language = sum(p.numel() for p in model.language_model.parameters())
    return {
        "vision": sum(p.numel() for p in model.visual.parameters()),
        "language": language - embeddings,
        "embeddings": embeddings,
    }


@pytest.mark.parametrize("name", ["Qwen/Qwen2-VL-2B-Instruct", "starter", "tiny"])
def test_parameters_are_those_of_the_real_modules(name: str) -> None:
    settings = config() if name == "tiny" else model_config(name)
    with torch.device("meta"):
        model = Qwen2VLModel(settings)
    counted = Architecture.of(settings).parameters()
    assert parts(model) == {part: getattr(counted, part) for part in ("vision", "language", "embeddings")}
    assert counted.projection == settings.text_config.hidden_size * 1024


def test_the_published_model_has_its_published_size() -> None:
    """2.21 billion: the generator's head is the token embeddings again, and counts once."""
    counted = Architecture.of(model_config("Qwen/Qwen2-VL-2B-Instruct")).parameters()
    assert counted.total - counted.projection == 2_208_985_600
    assert round(counted.vision / 1e6) == 665


def test_lora_adapters_are_counted_as_peft_makes_them() -> None:
    peft = pytest.importorskip("peft")
    settings, targets = config(), ("q_proj", "k_proj", "o_proj", "gate_proj", "down_proj")
    network = embedder(settings)
    peft.inject_adapter_in_model(
        peft.LoraConfig(r=5, target_modules=rf"language_model\..*\.({'|'.join(targets)})"), network.model
    )
    made = sum(p.numel() for name, p in network.named_parameters() if ".lora_" in name)
    architecture = Architecture.of(settings, DIM)
    assert architecture.adapters(5, targets) == made
    with FlopCounterMode(display=False) as counter:
        network(PAGES)
    step = architecture.step(
        work_of(PAGES), Trained(), cached=False, checkpointing=False, attention="sdpa", adapters=made
    )
    # The counter knows no fused attention on a CPU.
    assert counter.get_total_flops() == pytest.approx(step.forward - scores(architecture, PAGES), rel=1e-6)


def scores(architecture: Architecture, inputs: dict[str, Tensor]) -> float:
    flops = architecture.forward(work_of(inputs))
    return flops.vision_attention + flops.text_attention


def test_an_unknown_lora_target_is_named() -> None:
    with pytest.raises(ConfigError, match=r"lora\.targets: lm_head is none of q_proj"):
        Architecture.of(config()).adapters(4, ("q_proj", "lm_head"))


@BATCHES
def test_flops_of_a_forward_are_those_counted(inputs: dict[str, Tensor]) -> None:
    settings = config("eager")
    with FlopCounterMode(display=False) as counter:
        embedder(settings)(inputs)
    flops = Architecture.of(settings, DIM).forward(work_of(inputs))
    assert counter.get_total_flops() == pytest.approx(flops.total, rel=1e-6)
    by_module = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    text = by_module["ColPaLiQwenEmbedder.model.language_model"]
    assert text == pytest.approx(flops.text + flops.text_attention, rel=1e-6)
    if "pixel_values" in inputs:
        vision = by_module["ColPaLiQwenEmbedder.model.visual"]
        assert vision == pytest.approx(flops.patch_embedding + flops.vision + flops.vision_attention, rel=1e-6)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize(
    "frozen",
    ["", "vision", "language", "embeddings", "vision embeddings", "vision language"],
    ids=lambda f: f or "none",
)
def test_flops_of_training_are_those_counted(frozen: str, checkpointing: bool) -> None:
    settings = config("eager")
    network = embedder(settings)
    if checkpointing:
        network.model.activation_checkpointing_enable({"use_reentrant": False})
        network.model.disable_input_require_grads()  # else frozen parts are computed again and differentiated in vain
    for part in frozen.split():
        model = network.model
        {"vision": model.visual, "language": model.language_model, "embeddings": model.get_input_embeddings()}[
            part
        ].requires_grad_(False)
    trained = Trained(
        vision="vision" not in frozen,
        language="language" not in frozen,
        embeddings="embeddings" not in frozen and "language" not in frozen,
    )
    with FlopCounterMode(display=False) as counter:
        network(PAGES).sum().backward()
    step = Architecture.of(settings, DIM).step(
        work_of(PAGES), trained, cached=False, checkpointing=checkpointing, attention="eager"
    )
    assert counter.get_total_flops() == pytest.approx(step.total, rel=1e-6)
    assert (step.recomputed > 0) == (checkpointing and trained.through_text)


def kept_bytes(network: torch.nn.Module, inputs: dict[str, Tensor]) -> int:
    """Bytes of all storages that autograd saves in a forward, without the parameters themselves."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    found: dict[int, tuple[int, Tensor]] = {}  # the tensor too: a freed storage's address is used again

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(inputs)
    return sum(size for size, _ in found.values())


class PeakBytes(TorchDispatchMode):
    """The most bytes alive at once among what operations make; `known` storages (parameters, inputs) do not count."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._known:
                self._add(tensor.untyped_storage())
        return output

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


# On a CPU autocast leaves layer norms in bfloat16; on a GPU it raises them to float32 (Widths.of).
CPU_BF16 = Widths(compute=2, residual=4, vision_norm=2)


@contextlib.contextmanager
def precision(half: bool) -> Iterator[Widths]:
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        yield CPU_BF16 if half else Widths.of("fp32", sharded=False)


def copies_of(architecture: Architecture, half: bool) -> int:
    counted = architecture.parameters()
    return 2 * (counted.total - counted.embeddings) if half else 0


@BATCHES
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize(
    ("attention", "activation"), [("sdpa", "quick_gelu"), ("sdpa", "gelu_pytorch_tanh"), ("eager", "quick_gelu")]
)
def test_activations_are_the_bytes_that_autograd_saves(
    inputs: dict[str, Tensor], half: bool, checkpointing: bool, attention: Attention, activation: str
) -> None:
    settings = config(attention, activation)
    network, architecture = embedder(settings), Architecture.of(settings, DIM)
    if checkpointing:
        network.model.activation_checkpointing_enable({"use_reentrant": False})
    with precision(half) as widths:
        measured = kept_bytes(network, inputs)
    derived = architecture.activations(work_of(inputs), widths, attention).kept(checkpointing)
    copies = 0 if checkpointing else copies_of(architecture, half)
    assert derived + copies == pytest.approx(measured, rel=0.10)


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("sizes", [{"embed_dim": 192, "depth": 4}, {"intermediate": 1024}], ids=["vision", "text"])
def test_peak_is_what_lives_at_once(sizes: dict[str, int], half: bool, checkpointing: bool) -> None:
    settings = config(**sizes)
    network, architecture = embedder(settings), Architecture.of(settings, DIM)
    if checkpointing:
        network.model.activation_checkpointing_enable({"use_reentrant": False})
        network.model.disable_input_require_grads()
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    with PeakBytes([*network.parameters(), *network.buffers(), *gradients, *PAGES.values()]) as memory:
        with precision(half) as widths:
            vectors = network(PAGES)
        vectors.sum().backward()
    activations = architecture.activations(work_of(PAGES), widths, "sdpa")
    derived = activations.peak(checkpointing, copies_of(architecture, half))
    assert 0.95 <= derived / memory.peak <= 1.25  # a plan may ask for too much, not for too little


def test_what_is_frozen_keeps_nothing() -> None:
    settings = config()
    network, architecture = embedder(settings), Architecture.of(settings, DIM)
    network.model.visual.requires_grad_(False)
    measured = kept_bytes(network, PAGES)
    widths = Widths.of("fp32", sharded=False)
    derived = architecture.activations(work_of(PAGES), widths, "sdpa", Trained(vision=False)).kept(False)
    assert derived == pytest.approx(measured, rel=0.05)
    network.model.requires_grad_(False)
    nothing = Trained(vision=False, language=False, embeddings=False)
    assert architecture.activations(work_of(PAGES), widths, "sdpa", nothing).kept(False) == 0
    assert kept_bytes(network, PAGES) < 5000  # the pooled vectors, for the projection


def test_configuration_from_directory_name_and_nowhere(tiny_checkpoint: Path) -> None:
    assert model_config(str(tiny_checkpoint)).text_config.hidden_size == 32
    assert model_config("starter").vision_config.embed_dim > 0
    assert set(PUBLISHED) >= {"Qwen/Qwen2-VL-2B-Instruct"}
    with pytest.raises(ConfigError, match=r"model\.checkpoint: no configuration of 'nobody/nothing'"):
        model_config("nobody/nothing")


def test_flat_configurations_of_older_checkpoints_are_read(tmp_path: Path) -> None:
    """As Qwen's own files are: the text model's sizes at the top, `in_chans` for `in_channels`."""
    (tmp_path / "config.json").write_text(
        '{"model_type": "qwen2_vl", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,'
        ' "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": true,'
        ' "rope_theta": 1000000.0, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},'
        ' "vision_config": {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3,'
        ' "hidden_size": 1536, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}}'
    )
    assert Architecture.of(model_config(str(tmp_path))) == Architecture.of(model_config("Qwen/Qwen2-VL-2B"))


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="holds a 'bert' model"):
        model_config(str(tmp_path))
