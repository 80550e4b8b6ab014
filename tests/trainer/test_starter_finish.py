"""The recipe's last stage: the package's trainer on a checkpoint of the recipe, then the projection once more."""

from pathlib import Path

import torch

from embedder.model import ColPaLiQwenEmbedder
from tests.trainer.small_data import write_small_data
from trainer.starter.finish import finish, finish_config
from trainer.starter.model import Starter


def test_it_is_a_run_of_the_trainer_with_a_frozen_vision_tower(tmp_path: Path, tiny_checkpoint: Path) -> None:
    pairs = write_small_data(tmp_path / "pairs", 20)
    checkpoint = finish(tiny_checkpoint, pairs, tmp_path / "finish", steps=1)
    assert (tmp_path / "finish" / "training_report.html").exists()
    before, after = (ColPaLiQwenEmbedder.from_pretrained(path, device="cpu") for path in (tiny_checkpoint, checkpoint))
    for name, weight in before.model.visual.state_dict().items():
        assert torch.allclose(weight, after.model.visual.state_dict()[name], atol=1e-2), name
    assert not torch.allclose(before.projection.weight, after.projection.weight, atol=1e-4)


def test_every_sample_meets_hundreds_of_others(tmp_path: Path) -> None:
    config = finish_config(Path("starter"), tmp_path / "train.jsonl", tmp_path, 60)
    assert config.samples_per_device == 256 and config.model.frozen == ("vision", "layers")


def test_a_checkpoint_becomes_a_network_of_the_recipe_and_embeds_alike() -> None:
    embedder = ColPaLiQwenEmbedder.from_pretrained("starter", device="cpu")
    starter = Starter.of(embedder)
    ids = torch.tensor([embedder.processor.tokenizer("Hợp đồng thuê nhà").input_ids])
    with torch.no_grad():
        found = starter.embed(ids, torch.tensor([ids.shape[1]]))
    assert torch.allclose(found, torch.as_tensor(embedder.encode(text=["Hợp đồng thuê nhà"])), atol=1e-3)
