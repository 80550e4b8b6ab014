"""The shipped configurations: they load, say what the published run was, and name things that exist."""

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin, prepare_multi_gpu_env
from accelerate.utils.launch import prepare_deepspeed_cmd_env

from trainer.config import TrainConfig, load_config

CONFIGS = Path(str(files("trainer") / "configs"))
ACCELERATE = sorted(CONFIGS.glob("accelerate_*.yaml"))
RUNS = sorted(set(CONFIGS.glob("*.yaml")) - set(ACCELERATE))


@pytest.fixture
def published() -> TrainConfig:
    return load_config(CONFIGS / "qwen2VL2B.yaml")


def test_nothing_is_shipped_untested() -> None:
    assert {path.name for path in RUNS} == {"qwen2VL2B.yaml", "starter_finetune.yaml", "lora2B.yaml"}
    assert {path.name for path in ACCELERATE} == {"accelerate_fsdp.yaml", "accelerate_deepspeed_zero3.yaml"}


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_runs_load(path: Path) -> None:
    config = load_config(path)
    assert config.data.train.parent == CONFIGS


def test_the_published_run(published: TrainConfig) -> None:
    assert published.model.checkpoint == "Qwen/Qwen2-VL-2B-Instruct"
    assert (published.model.max_tokens, published.model.precision) == (8192, "bf16")
    assert published.model.gradient_checkpointing and published.model.attention == "flash_attention_2"
    assert not published.model.frozen and published.model.lora is None
    optimization = published.optimization
    assert (optimization.epochs, optimization.learning_rate, optimization.warmup_share) == (2, 1e-4, 0.05)
    assert (optimization.schedule, optimization.weight_decay, optimization.max_grad_norm) == ("linear", 0.001, 1.0)
    assert (optimization.per_device_batch, optimization.accumulation) == (24, 8)
    assert (published.objective.temperature, published.objective.margin) == (0.07, 0.2)
    assert published.data.train.name == "TRAIN_11M.jsonl"
    assert published.data.evaluation is not None and published.data.evaluation.name == "EVAL_5k.jsonl"


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.name)
def test_accelerate_accepts_its_files(path: Path, published: TrainConfig) -> None:
    config = load_config_from_file(str(path))  # refuses keys that it does not know
    assert isinstance(config, ClusterConfig)
    assert config.num_processes * published.samples_per_device == 768


def launched(path: Path) -> argparse.Namespace:
    """What `accelerate launch --config_file PATH -m trainer CONFIG.yaml` makes of the file."""
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "-m", "trainer", "CONFIG.yaml"])
    merged, defaults, named_precision = _validate_launch_command(arguments)
    fields = [*defaults.deepspeed_config, *(["mixed_precision"] if named_precision else [])]
    merged.deepspeed_fields_from_accelerate_config = ",".join(fields)  # as accelerate's launch_command does next
    found: argparse.Namespace = merged
    return found


def known_options() -> set[str]:
    return {action.dest for action in launch_command_parser()._actions}


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.name)
def test_every_key_is_an_option_of_the_launcher(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    nested = {**content.get("fsdp_config", {}), **content.get("deepspeed_config", {})}
    assert nested and set(nested) <= known_options()


def test_fsdp_shards_by_layers_of_both_towers(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.qwen2_vl import modeling_qwen2_vl

    arguments = launched(CONFIGS / "accelerate_fsdp.yaml")
    assert arguments.use_fsdp and arguments.num_processes == 4 and arguments.mixed_precision == "bf16"
    # The environment that the launcher gives its processes, read by the class that reads it there.
    for name, value in prepare_multi_gpu_env(arguments).items():
        if name.startswith("FSDP_"):
            monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert "FULL_STATE_DICT" in str(plugin.state_dict_type)
    assert not plugin.cpu_ram_efficient_loading and not plugin.activation_checkpointing
    assert plugin.transformer_cls_names_to_wrap == ["Qwen2VLDecoderLayer", "Qwen2VLVisionBlock"]
    for name in plugin.transformer_cls_names_to_wrap:
        assert hasattr(modeling_qwen2_vl, name)


def test_fsdp_wraps_the_layers_of_a_real_model(tiny_checkpoint: Path) -> None:
    from accelerate.utils.dataclasses import get_module_class_from_name

    from embedder.model import ColPaLiQwenEmbedder

    model = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")
    names = yaml.safe_load((CONFIGS / "accelerate_fsdp.yaml").read_text())["fsdp_config"][
        "fsdp_transformer_layer_cls_to_wrap"
    ]
    wrapped = {get_module_class_from_name(model, name) for name in names.split(",")}
    held = sum(p.numel() for m in model.modules() if type(m) in wrapped for p in m.parameters())
    layers = [*model.model.visual.blocks, *model.model.language_model.layers]
    assert held == sum(p.numel() for layer in layers for p in layer.parameters()) > 0


def test_zero3_hands_its_json_to_deepspeed() -> None:
    arguments = launched(CONFIGS / "accelerate_deepspeed_zero3.yaml")
    assert arguments.use_deepspeed and arguments.num_processes == 4
    # The path is relative to the repository's root, from which the file's comment says to launch.
    named = CONFIGS.parents[1] / arguments.deepspeed_config_file
    assert named.samefile(CONFIGS / "deepspeed_zero3.json")
    content = json.loads(named.read_text())
    assert content["zero_optimization"]["stage"] == 3
    assert content["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is True
    assert content["bf16"] == {"enabled": "auto"}
    # Sizes and clipping come from the training configuration, so that they cannot disagree with it.
    own = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    assert {content[name] for name in own} == {"auto"}


def deepspeed_plugin(path: Path, monkeypatch: pytest.MonkeyPatch) -> DeepSpeedPlugin:
    """The launcher's environment, read by the class that reads it in the launched processes."""
    monkeypatch.chdir(CONFIGS.parents[1])
    _, environment = prepare_deepspeed_cmd_env(launched(path))
    for name, value in environment.items():
        if "DEEPSPEED" in name or name == "ACCELERATE_CONFIG_DS_FIELDS":
            monkeypatch.setenv(name, value)
    return DeepSpeedPlugin()


def test_accelerate_takes_the_zero3_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = CONFIGS / "accelerate_deepspeed_zero3.yaml"
    plugin = deepspeed_plugin(path, monkeypatch)
    assert plugin.zero_stage == 3 and plugin.zero3_save_16bit_model and not plugin.zero3_init_flag
    twice = tmp_path / "twice.yaml"
    twice.write_text(path.read_text() + "mixed_precision: bf16\n")
    with pytest.raises(ValueError, match="will be ignored"):
        deepspeed_plugin(twice, monkeypatch)


def test_the_plan_knows_zero3s_live_parameters() -> None:
    from trainer.plan import LIVE_PARAMETERS

    content: dict[str, Any] = json.loads((CONFIGS / "deepspeed_zero3.json").read_text())
    assert content["zero_optimization"]["stage3_max_live_parameters"] == LIVE_PARAMETERS
