"""What is trained: unit vectors, parts frozen, adapters merged on export, checkpointing that changes nothing."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from embedder.errors import ViPyloError
from embedder.model import ColPaLiQwenEmbedder
from trainer.config import LoraConfig, ModelConfig
from trainer.errors import ConfigError
from trainer.network import TrainableEmbedder, merged, trainable

pytestmark = pytest.mark.usefixtures("one_thread")

PICTURE = Image.new("RGB", (84, 56), "red")


def config(checkpoint: Path, **changes: object) -> ModelConfig:
    return ModelConfig.model_validate(
        {"checkpoint": str(checkpoint), "max_tokens": 256, "precision": "fp32", **changes}
    )


def encoded(network: ColPaLiQwenEmbedder) -> torch.Tensor:
    network.eval()
    vectors = network.encode(text=["one", "two and more"], images=[None, PICTURE])
    assert isinstance(vectors, torch.Tensor)
    return vectors


def test_vectors_are_those_of_the_checkpoint(tiny_checkpoint: Path) -> None:
    network = trainable(config(tiny_checkpoint))
    plain = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")
    assert torch.allclose(encoded(network), encoded(plain), atol=1e-6)


def test_a_chunk_of_texts_gives_every_parameter_a_gradient(tiny_checkpoint: Path) -> None:
    network = trainable(config(tiny_checkpoint))
    batch = {
        "input_ids": torch.tensor([[5, 6, 7]]),
        "attention_mask": torch.ones(1, 3, dtype=torch.int64),
        "mm_token_type_ids": torch.zeros(1, 3, dtype=torch.int64),
    }
    vectors = network(batch)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(1), atol=1e-5)
    vectors.sum().backward()
    missing = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert not missing
    assert all(not parameter.grad.any() for parameter in network.model.visual.parameters())
    network.eval()
    assert torch.allclose(network(batch), vectors, atol=1e-6)


@pytest.mark.parametrize("part", ["vision", "language", "layers", "embeddings"])
def test_frozen_parts_do_not_learn(tiny_checkpoint: Path, part: str) -> None:
    network = trainable(config(tiny_checkpoint, frozen=(part,)))
    language = "model.language_model."
    place = {"vision": "model.visual.", "language": language, "layers": language, "embeddings": "embed_tokens"}[part]
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen and all(place in name for name in frozen)
    assert ("model.language_model.embed_tokens.weight" in frozen) == (part in ("language", "embeddings"))
    assert network.projection.weight.requires_grad


def test_adapters_are_merged_on_export_and_loaded_like_any_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    network = trainable(config(tiny_checkpoint, lora=LoraConfig(rank=4, alpha=8.0)))
    learned = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert all(".lora_" in name or name == "projection.weight" for name in learned) and len(learned) > 10
    assert not any("visual" in name for name in learned)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".lora_B" in name:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(len(name)))
    expected = encoded(network)
    assert not torch.allclose(expected, encoded(trainable(config(tiny_checkpoint))), atol=1e-2)
    plain = merged(network)
    assert torch.allclose(encoded(plain), expected, atol=1e-5)
    plain.save_pretrained(tmp_path / "out", dtype=torch.float32)
    assert torch.allclose(
        encoded(ColPaLiQwenEmbedder.from_pretrained(tmp_path / "out", device="cpu")), expected, atol=1e-5
    )
    assert torch.allclose(encoded(network), expected)  # the network itself is as it was


def test_gradient_checkpointing_reaches_the_vision_tower_and_changes_no_gradient(tiny_checkpoint: Path) -> None:
    gradients = []
    recomputed: list[str] = []
    for checkpointing in (False, True):
        network = trainable(config(tiny_checkpoint, gradient_checkpointing=checkpointing))
        if checkpointing:
            for name, module in network.named_modules():
                if name.endswith((".norm1", ".input_layernorm")):  # the first thing in each block
                    module.register_forward_pre_hook(lambda *_, name=name: recomputed.append(name))
        gradients.append(gradient_of(network))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))
    # Forward once, and again in the backward pass.
    assert {recomputed.count(name) for name in recomputed} == {2}
    assert any("visual" in name for name in recomputed) and any("language_model" in name for name in recomputed)


def gradient_of(network: TrainableEmbedder) -> list[torch.Tensor]:
    from embedder.inputs import Tokenization, collate, decode
    from embedder.protocol import Sample

    tokenization = Tokenization(network.processor, 256, 5)
    sequences = [tokenization.sequence(sample) for sample in (Sample("a"), Sample("b", (PICTURE,)))]
    pixels = [decode(sequence, tokenization.budget) for sequence in sequences]
    vectors = network.train()(collate(sequences, pixels, network.processor.tokenizer))
    (vectors[0] @ vectors[1]).backward()
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def test_widths_above_the_vectors_are_refused_before_training(tiny_checkpoint: Path) -> None:
    width = trainable(config(tiny_checkpoint)).dim
    assert trainable(config(tiny_checkpoint, matryoshka=(width,))).dim == width
    with pytest.raises(ConfigError, match=rf"model\.matryoshka has \[{width + 1}\]"):
        trainable(config(tiny_checkpoint, matryoshka=(8, width + 1)))


def test_an_unknown_target_or_checkpoint_is_said(tiny_checkpoint: Path) -> None:
    with pytest.raises(ViPyloError, match=r"model\.lora\.targets"):
        trainable(config(tiny_checkpoint, lora=LoraConfig(targets=("no_such_layer",))))
    with pytest.raises(ViPyloError, match="does not exist"):
        trainable(config(tiny_checkpoint / "nothing" / "here"))


def test_flash_attention_falls_back_where_it_is_missing(
    tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    network = trainable(config(tiny_checkpoint, attention="flash_attention_2"))
    assert network.model.config._attn_implementation == "sdpa"
    assert "flash-attn is not installed" in caplog.text
