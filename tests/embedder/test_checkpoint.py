"""Checkpoints: the sentence-transformers layout, Qwen's own layout, and every way a directory can be wrong."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from embedder import CheckpointError, ColPaLiQwenEmbedder
from tests.tiny_qwen import QWEN_TOKENS, tiny_config, tiny_image_processor, tiny_model, tiny_tokenizer


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_round_trip_keeps_vectors_and_fingerprint(embedder, pictures, tmp_path: Path) -> None:
    embedder.save_pretrained(tmp_path / "again", dtype=torch.float32)
    again = ColPaLiQwenEmbedder.from_pretrained(tmp_path / "again", device="cpu")
    arguments = {"text": ["<ocr> chào", "x"], "images": [pictures[0], None]}
    assert torch.equal(again.encode(**arguments), embedder.encode(**arguments))
    assert again.fingerprint == embedder.fingerprint
    assert again.max_tokens == embedder.max_tokens == 512


def test_fingerprint_knows_weights_pixels_and_limit(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from tests.tiny_qwen import write_tiny_checkpoint

    marks = {
        ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu").fingerprint,
        ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu", max_pixels=56 * 56).fingerprint,
        ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu", max_tokens=100).fingerprint,
        ColPaLiQwenEmbedder.from_pretrained(write_tiny_checkpoint(tmp_path / "b", seed=1), device="cpu").fingerprint,
    }
    other = Path(shutil.copytree(tiny_checkpoint, tmp_path / "mean"))
    edit_json(other / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    marks.add(ColPaLiQwenEmbedder.from_pretrained(other, device="cpu").fingerprint)
    swapped = Path(shutil.copytree(tiny_checkpoint, tmp_path / "swapped"))
    rules = json.loads((swapped / "tokenizer.json").read_text())
    vocabulary = rules["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (swapped / "tokenizer.json").write_text(json.dumps(rules))
    marks.add(ColPaLiQwenEmbedder.from_pretrained(swapped, device="cpu").fingerprint)
    assert len(marks) == 6


def test_layout_is_sentence_transformers(tiny_checkpoint: Path) -> None:
    modules = json.loads((tiny_checkpoint / "modules.json").read_text())
    assert [(m["path"], m["type"]) for m in modules] == [
        ("", "sentence_transformers.models.Transformer"),
        ("1_Pooling", "sentence_transformers.models.Pooling"),
        ("2_Dense", "sentence_transformers.models.Dense"),
        ("3_Normalize", "sentence_transformers.models.Normalize"),
    ]
    prompts = json.loads((tiny_checkpoint / "config_sentence_transformers.json").read_text())["prompts"]
    assert prompts["ocr"] == "<ocr> " and len(prompts) == 5
    assert json.loads((tiny_checkpoint / "config.json").read_text())["architectures"] == ["Qwen2VLModel"]
    assert list(tiny_checkpoint.rglob("*.bin")) == list(tiny_checkpoint.rglob("*.pt")) == []


def test_half_precision_file_is_half_the_size(embedder, tmp_path: Path) -> None:
    embedder.save_pretrained(tmp_path / "full", dtype=torch.float32)
    embedder.save_pretrained(tmp_path / "half")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    half = ColPaLiQwenEmbedder.from_pretrained(tmp_path / "half", device="cpu")
    assert half.fingerprint == embedder.fingerprint
    cosine = (half.encode("xin chào") * embedder.encode("xin chào")).sum()
    assert cosine > 0.999


GOLDEN = Path(__file__).with_name("golden_vectors.json")


def golden_vectors() -> dict[str, list[float]]:
    """A model whose weights come from numpy's stable generator, so that the numbers hold on any torch."""
    tokenizer = tiny_tokenizer()
    config = tiny_config(tokenizer)
    rng = np.random.default_rng(7)
    model = tiny_model(config)
    projection = torch.nn.Linear(32, 1024, bias=False)
    with torch.no_grad():
        for _, parameter in [*sorted(model.named_parameters()), ("projection", projection.weight)]:
            spread = 0.15 if parameter.ndim > 1 else 0.02
            offset = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(torch.from_numpy(rng.normal(offset, spread, parameter.shape)))
    from embedder.processor import build_processor, default_chat_template

    processor = build_processor(tiny_image_processor(), tokenizer, default_chat_template())
    embedder = ColPaLiQwenEmbedder(model, projection, processor, max_tokens=512)
    pixels = (np.indices((70, 98)).sum(0) * 3 % 256).astype(np.uint8)
    image = Image.fromarray(np.stack([pixels, pixels[::-1], 255 - pixels], axis=-1))
    vectors = {
        "text": embedder.encode("<text_pair> Hà Nội, 发票, invoice"),
        "image": embedder.encode(images=[image]),
        "mixed": embedder.encode("<ocr> tổng cộng", images=image),
        "two images": embedder.encode("a <image> b", images=[image, image.rotate(90, expand=True)]),
    }
    return {kind: [round(float(x), 6) for x in vector[0]] for kind, vector in vectors.items()}


def test_golden_vectors() -> None:
    """Holds the numbers that were compared with sentence-transformers, where that is not installed."""
    expected = json.loads(GOLDEN.read_text())
    actual = golden_vectors()
    assert expected.keys() == actual.keys()
    for kind, vector in actual.items():
        assert np.dot(vector, expected[kind]) >= 0.99999, kind


def write_plain_qwen_directory(directory: Path) -> Path:
    """A directory as `Qwen/Qwen2-VL-2B-Instruct` is published: flat config, `model.*` and `visual.*` keys."""
    tokenizer = tiny_tokenizer(prefixes=False)
    config = tiny_config(tokenizer)
    directory.mkdir()
    tokenizer.save_pretrained(str(directory))
    tiny_image_processor(max_pixels=12_845_056).save_pretrained(str(directory))
    (directory / "chat_template.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    model = Qwen2VLForConditionalGeneration(config)
    state = {}
    for name, tensor in model.state_dict().items():
        published = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        state[published] = tensor.clone()
    names = sorted(state)
    half = len(names) // 2
    shards = {"model-00001-of-00002.safetensors": names[:half], "model-00002-of-00002.safetensors": names[half:]}
    for file, keys in shards.items():
        save_file({key: state[key] for key in keys}, directory / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, keys in shards.items() for key in keys}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    text = config.text_config.to_dict()
    flat = {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "image_token_id": config.image_token_id,
        "video_token_id": config.video_token_id,
        "vision_start_token_id": config.vision_start_token_id,
        "vision_end_token_id": config.vision_end_token_id,
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "vision_config": {**config.vision_config.to_dict(), "model_type": "qwen2_vl"},
    }
    for key in (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
    ):  # fmt: skip
        flat[key] = text[key]
    (directory / "config.json").write_text(json.dumps(flat))
    return directory


def test_plain_qwen_directory_loads_with_a_warning(tmp_path: Path, pictures, caplog: pytest.LogCaptureFixture) -> None:
    plain = write_plain_qwen_directory(tmp_path / "plain")
    with caplog.at_level(logging.WARNING):
        embedder = ColPaLiQwenEmbedder.from_pretrained(plain, device="cpu")
    assert "UNTRAINED projection 32 -> 1024" in caplog.text
    shard = load_file(plain / "model-00001-of-00002.safetensors") | load_file(
        plain / "model-00002-of-00002.safetensors"
    )
    assert torch.equal(
        embedder.model.language_model.layers[1].mlp.up_proj.weight, shard["model.layers.1.mlp.up_proj.weight"]
    )
    assert torch.equal(embedder.model.visual.merger.mlp[0].weight, shard["visual.merger.mlp.0.weight"])
    assert embedder.processor.image_processor.size["longest_edge"] == 1280 * 28 * 28
    tokenizer = embedder.processor.tokenizer
    assert tokenizer.tokenize("<ocr> x")[0] == "<ocr>"
    assert embedder.encode("<ocr> x", images=pictures[0]).shape == (1, 1024)
    embedder.save_pretrained(tmp_path / "saved", dtype=torch.float32)
    again = ColPaLiQwenEmbedder.from_pretrained(tmp_path / "saved", device="cpu")
    assert torch.equal(again.encode("<ocr> x"), embedder.encode("<ocr> x"))


def test_prefixes_grow_a_full_vocabulary(tmp_path: Path) -> None:
    plain = write_plain_qwen_directory(tmp_path / "plain")
    used = 256 + len(QWEN_TOKENS)
    for shard in plain.glob("*.safetensors"):
        state = load_file(shard)
        for key in ("model.embed_tokens.weight", "lm_head.weight"):
            if key in state:
                state[key] = state[key][:used].clone()
        save_file(state, shard, metadata={"format": "pt"})
    edit_json(plain / "config.json", vocab_size=used)
    embedder = ColPaLiQwenEmbedder.from_pretrained(plain, device="cpu")
    assert embedder.model.get_input_embeddings().weight.shape[0] >= used + 5
    assert embedder.encode("<vqa_multi> x").isfinite().all()


def test_the_real_2b_configuration() -> None:
    """Qwen2-VL-2B-Instruct's published numbers, built without memory."""
    config = Qwen2VLConfig(
        hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2,
        vocab_size=151936, max_position_embeddings=32768, rope_theta=1000000.0,
        rope_scaling={"type": "mrope", "mrope_section": [16, 24, 24]},
        vision_config={"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "hidden_size": 1536},
    )  # fmt: skip
    with torch.device("meta"):
        embedder = ColPaLiQwenEmbedder.from_config(config)
    patch, merged = 3 * 2 * 14 * 14 * 1280, 4 * 1280
    block = 4 * 1280**2 + 4 * 1280 + 2 * 1280 * 5120 + 5120 + 1280 + 4 * 1280
    vision = patch + 32 * block + 2 * 1280 + merged**2 + merged + merged * 1536 + 1536
    layer = 2 * 1536**2 + 1536 + 2 * (1536 * 256 + 256) + 3 * 1536 * 8960 + 2 * 1536
    text = 151936 * 1536 + 28 * layer + 1536
    counts = {
        part: sum(p.numel() for p in getattr(embedder.model, part).parameters())
        for part in ("visual", "language_model")
    }
    assert counts == {"visual": vision, "language_model": text}
    assert tuple(embedder.projection.weight.shape) == (1024, 1536)
    assert sum(p.numel() for p in embedder.parameters()) == sum(counts.values()) + 1024 * 1536
    assert embedder.dim == 1024


@pytest.mark.parametrize("name", ["visual.blocks.0.attn.qkv.weight", "language_model.norm.weight"])
def test_missing_weights_fail_loudly(copy: Path, name: str) -> None:
    state = load_file(copy / "model.safetensors")
    del state[name]
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"1 weights are missing, such as {name}"):
        ColPaLiQwenEmbedder.from_pretrained(copy)


def test_unexpected_weights_fail_loudly(copy: Path) -> None:
    state = load_file(copy / "model.safetensors")
    state["visual.extra.weight"] = torch.ones(2)
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"unexpected, such as visual\.extra\.weight"):
        ColPaLiQwenEmbedder.from_pretrained(copy)


def test_misshapen_weights_fail_loudly(copy: Path) -> None:
    state = load_file(copy / "model.safetensors")
    state["language_model.norm.weight"] = torch.ones(7)
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError):
        ColPaLiQwenEmbedder.from_pretrained(copy)


def test_wrong_projection_fails_loudly(copy: Path) -> None:
    save_file({"linear.weight": torch.ones(1024, 31)}, copy / "2_Dense" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"not linear.weight \(1024, 32\)"):
        ColPaLiQwenEmbedder.from_pretrained(copy)


def test_other_pooling_is_refused(copy: Path) -> None:
    edit_json(copy / "1_Pooling" / "config.json", pooling_mode="lasttoken")
    with pytest.raises(CheckpointError, match="pools by lasttoken"):
        ColPaLiQwenEmbedder.from_pretrained(copy)


def test_classic_pooling_config_is_understood(copy: Path, embedder) -> None:
    classic = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (copy / "1_Pooling" / "config.json").write_text(json.dumps(classic))
    assert torch.equal(ColPaLiQwenEmbedder.from_pretrained(copy, device="cpu").encode("a"), embedder.encode("a"))


@pytest.mark.parametrize(
    "lost",
    [
        "modules.json", "config.json", "2_Dense/model.safetensors", "2_Dense/config.json", "model.safetensors",
        "preprocessor_config.json", "tokenizer.json", "1_Pooling/config.json",
    ],
)  # fmt: skip
def test_incomplete_directories_are_named(copy: Path, lost: str) -> None:
    (copy / lost).unlink()
    if lost == "modules.json":  # then it is a plain directory: usable, but said to be untrained
        ColPaLiQwenEmbedder.from_pretrained(copy)
        return
    with pytest.raises(CheckpointError, match=str(copy)):
        ColPaLiQwenEmbedder.from_pretrained(copy)


def test_an_empty_projection_config_is_named(copy: Path) -> None:
    (copy / "2_Dense" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="2_Dense is not a plain 32 -> n projection"):
        ColPaLiQwenEmbedder.from_pretrained(copy)


def test_truncated_weights_are_named(copy: Path) -> None:
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[:1000])
    with pytest.raises(CheckpointError, match=str(copy)):
        ColPaLiQwenEmbedder.from_pretrained(copy)


@pytest.mark.parametrize("name", ["no-such-thing", "./no/such", "someone/some-model"])
def test_unknown_names_say_what_is_known(name: str) -> None:
    with pytest.raises(CheckpointError, match="starter"):
        ColPaLiQwenEmbedder.from_pretrained(name)


def test_saving_never_overwrites_something_else(embedder, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"holds other things \(a\.txt\)"):
        embedder.save_pretrained(tmp_path / "letters")
    assert (tmp_path / "letters" / "a.txt").read_text() == "mine"
    embedder.save_pretrained(tmp_path / "mine")
    (tmp_path / "mine" / "checkpoint-5").mkdir()
    with pytest.raises(CheckpointError, match="checkpoint-5"):
        embedder.save_pretrained(tmp_path / "mine")


def test_saving_again_replaces_weights_and_keeps_the_card(embedder, tmp_path: Path) -> None:
    embedder.save_pretrained(tmp_path / "mine")
    (tmp_path / "mine" / "README.md").write_text("card")
    embedder.save_pretrained(tmp_path / "mine", dtype=torch.float32)
    assert (tmp_path / "mine" / "README.md").read_text() == "card"
    assert ColPaLiQwenEmbedder.from_pretrained(tmp_path / "mine").fingerprint == embedder.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_another_architecture_is_refused(copy: Path) -> None:
    edit_json(copy / "config.json", model_type="bert")
    with pytest.raises(CheckpointError, match="'bert' model"):
        ColPaLiQwenEmbedder.from_pretrained(copy)
