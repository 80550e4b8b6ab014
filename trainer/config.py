"""A training run as typed data: one YAML file, checked whole before anything is loaded."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trainer.errors import ConfigError

Mixing: TypeAlias = Literal["mixed", "homogeneous"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class LoraConfig(_Section):
    """Low-rank adapters (peft) on the language model's linear layers; merged into the weights on export."""

    rank: Count = 16
    alpha: Count = 32
    dropout: Share = 0.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class ModelConfig(_Section):
    """What is trained.

    Attributes:
        checkpoint: a directory, a hub id or "starter".
        max_tokens: longest input; longer text is cut.
        min_pixels, max_pixels: pixel budget of one image; the checkpoint's own by default.
        attention: "flash_attention_2" falls back to "sdpa", with a warning, where it is not installed.
        precision: dtype of forward and backward; weights and optimizer stay in float32.
        gradient_checkpointing: recompute activations, in the text model and the vision tower.
        frozen: parts that only look on; "language" is the text model whole, "layers" all of it but its embeddings.
        lora: adapters instead of full weights; the projection is always trained whole.
        matryoshka: leading dimensions that must work on their own (1024 is always included).
    """

    checkpoint: str
    max_tokens: Count = 8192
    min_pixels: Count | None = None
    max_pixels: Count | None = None
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = False
    frozen: tuple[Literal["vision", "language", "layers", "embeddings"], ...] = ()
    lora: LoraConfig | None = None
    matryoshka: tuple[Count, ...] = ()


class DataConfig(_Section):
    """What it is trained on. Paths in the YAML are relative to the YAML file.

    Attributes:
        train, evaluation: JSONL files in the format of `trainer.data`.
        sampling: how often a task's samples appear in an epoch: 2 is twice, 0.5 a fresh half each epoch, 1 is default.
        mixing: "mixed" steps see every task's rows as negatives; "homogeneous" ones only rows of their own task.
        max_bad_share: samples that fail to load are skipped; past this share of those seen the run stops.
        workers: processes that read and decode images ahead of the model.
        prefixes: whether samples carry their task's prefix (off only for ablations).
    """

    train: Path
    evaluation: Path | None = None
    sampling: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    mixing: Mixing = "mixed"
    max_bad_share: Share = 0.01
    workers: Annotated[int, Field(ge=0)] = 4
    prefixes: bool = True


class TermConfig(_Section):
    """One part of a task's loss: a name of `trainer.objective.TERMS`, and what `trainer.objective.Term` says of it."""

    name: str
    weight: Positive = 1.0
    applies: Literal["positives", "all", "by_score"] = "positives"


class ObjectiveConfig(_Section):
    """The losses: which tasks use which is data in `trainer.objective`; these are their constants.

    Attributes:
        temperature: of every InfoNCE.
        margin: of the triplet term; multi-turn questions have their own.
        weights: of a term by name ("mse", "cosine", "triplet"); 1 by default.
        only_contrastive: symmetric InfoNCE for every task (for ablations).
        tasks: tasks of your own (or other losses for ours): {caption: [{name: infonce}, {name: triplet, weight: 0.5}]}.
        balance: "tasks" adds up each task's mean over its global count; "rows" is the mean over all rows.
    """

    temperature: Positive = 0.07
    margin: Annotated[float, Field(ge=0.0)] = 0.2
    multi_turn_margin: Annotated[float, Field(ge=0.0)] = 0.2
    weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    only_contrastive: bool = False
    tasks: dict[str, tuple[TermConfig, ...]] = Field(default_factory=dict)
    balance: Literal["tasks", "rows"] = "tasks"


class OptimizationConfig(_Section):
    """Steps and their sizes.

    Attributes:
        per_device_batch: samples whose activations are in memory at once, at most.
        token_budget: tokens (visual ones included, with padding) in memory at once, at most; makes smaller chunks.
        accumulation: chunks of `per_device_batch` samples a step. Negatives come from all of them, on all devices.
        max_steps: overrides `epochs`.
    """

    epochs: Positive = 2.0
    max_steps: Count | None = None
    per_device_batch: Count = 24
    accumulation: Count = 8
    token_budget: Count = 32768
    learning_rate: Positive = 1e-4
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.001
    max_grad_norm: Positive = 1.0
    seed: int = 42


class ReportConfig(_Section):
    """What is written while and after training.

    Attributes:
        log_every, evaluate_every, save_every: in steps; `evaluate_every` None means at each end of an epoch.
        trackers: "tensorboard", "wandb", or none.
        project: of Weights & Biases (without it WANDB_PROJECT counts); a run's name there is `name`.
        keep: newest training states kept on disk (the best weights are kept beside them).
        early_stopping: evaluations without a better `metric` after which training ends.
        metric: what "best" means: a key of the evaluation, higher is better.
        name, licences: for the model card.
    """

    log_every: Count = 10
    evaluate_every: Count | None = None
    save_every: Count = 500
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    project: str | None = None
    keep: Count = 2
    early_stopping: Count | None = None
    metric: str = "mean"
    name: str = "viPyloQwen"
    languages: tuple[str, ...] = ("vi", "en", "zh")
    licence: str | None = None
    data_credits: tuple[str, ...] = ()


class TrainConfig(_Section):
    """One run."""

    output: Path
    model: ModelConfig
    data: DataConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _known_names(self) -> "TrainConfig":
        from trainer.objective import TERMS, objectives_of  # the maps decide what a task and a term are

        if unknown := set(self.data.sampling) - set(objectives_of(self.objective)):
            raise ValueError(f"data.sampling names unknown tasks: {', '.join(sorted(unknown))}")
        if unknown := set(self.objective.weights) - set(TERMS):
            raise ValueError(
                f"objective.weights names unknown terms: {', '.join(sorted(unknown))} (known: {', '.join(TERMS)})"
            )
        return self

    @model_validator(mode="after")
    def _something_to_evaluate_on(self) -> "TrainConfig":
        asked = [name for name in ("early_stopping", "evaluate_every") if getattr(self.report, name) is not None]
        if asked and self.data.evaluation is None:
            raise ValueError(f"report.{asked[0]} needs an evaluation file (data.evaluation)")
        return self

    @field_validator("model")
    @classmethod
    def _parts_that_fit(cls, model: ModelConfig) -> ModelConfig:
        if model.lora and "language" in model.frozen:
            raise ValueError("lora already freezes the language model: remove 'language' from frozen")
        if model.attention == "flash_attention_2" and model.precision == "fp32":
            raise ValueError("attention: flash_attention_2 computes in bf16 only: use sdpa, or precision: bf16")
        return model

    @property
    def samples_per_device(self) -> int:
        """Samples of one step on one device."""
        return self.optimization.per_device_batch * self.optimization.accumulation


def load_config(path: str | Path, overrides: dict[str, Any] | None = None) -> TrainConfig:
    """Read and check a YAML file. Relative paths in it are relative to it.

    Args:
        overrides: dotted fields, such as {"optimization.max_steps": 3}.

    Raises:
        ConfigError: the file is missing, is no YAML, or a field is wrong; every wrong field is named.
    """
    file = Path(path)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: is not a mapping of sections (output, model, data, ...)")
    for field, value in (overrides or {}).items():
        _set(content, field, value, file)
    try:
        config = TrainConfig.model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{file}: {wrong}") from error
    return _relative_to(config, file.absolute().parent)


def overrides(arguments: list[str]) -> dict[str, Any]:
    """["a.b=3"] -> {"a.b": 3}; values are YAML.

    Raises:
        ConfigError: an argument without "=", or whose value is no YAML.
    """
    found: dict[str, Any] = {}
    for argument in arguments:
        field, equals, value = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument!r} is no section.field=value")
        try:
            found[field] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{field}: {value!r} is not YAML (quote it?)") from error
    return found


def _set(content: dict[str, Any], field: str, value: Any, file: Path) -> None:
    *sections, name = field.split(".")
    place: Any = content
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{file}: {field}: {section} is not a section")
    place[name] = value


def _relative_to(config: TrainConfig, folder: Path) -> TrainConfig:
    data = config.data.model_copy(
        update={
            "train": folder / config.data.train.expanduser(),
            "evaluation": None if config.data.evaluation is None else folder / config.data.evaluation.expanduser(),
        }
    )
    checkpoint = config.model.checkpoint
    local = folder / Path(checkpoint).expanduser()
    # "starter" and hub ids stay as they are; what exists beside the YAML is meant as a path.
    model = config.model.model_copy(update={"checkpoint": str(local)}) if local.is_dir() else config.model
    return config.model_copy(update={"data": data, "model": model, "output": folder / config.output.expanduser()})
