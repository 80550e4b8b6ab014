"""A run before it runs: steps, tokens, FLOPs, memory and hours, derived from its configuration. Loads no weights.

The derivation is in docs/training.md; the formulas are in `trainer.cost`.
"""

import math
from dataclasses import dataclass, replace
from itertools import cycle, islice, product
from typing import Literal, TypeAlias

from embedder.batching import plan_batches
from trainer.architectures import model_config
from trainer.config import TrainConfig
from trainer.cost import Architecture, Parameters, StepFlops, Trained, Widths, Work
from trainer.data import JsonlSamples
from trainer.errors import ConfigError
from trainer.hardware import DEVICES, GB, Device, device
from trainer.token_counts import Lengths, SampleLengths, assumed, given, mean_tokens, measured

Strategy: TypeAlias = Literal["ddp", "fsdp", "zero3"]

PEAK_SHARE = 0.35  # of the data sheet's FLOP/s, recomputed ones included: assumed, not measured
RUNTIME_BYTES = 2 * GB  # CUDA context, libraries, NCCL buffers, what the allocator cannot fill
PUBLISHED_FILE, PUBLISHED_SAMPLES = "TRAIN_11M.jsonl", 11_000_000
STEPS_LOOKED_AT = 8
LIVE_PARAMETERS = 10**9  # stage3_max_live_parameters in configs/deepspeed_zero3.json
LOADER_STEPS = 2  # prefetch_factor: steps that each worker keeps ready


@dataclass(frozen=True)
class Item:
    """One line of the memory table."""

    name: str
    bytes: float


@dataclass(frozen=True)
class StepShape:
    """What one optimizer step goes through, on average.

    Attributes:
        samples, samples_per_gpu: its samples on all GPUs, and on one.
        chunks: forwards with graph on one GPU.
        visual, text: real tokens on all GPUs.
        work: padded work of one GPU.
    """

    samples: int
    samples_per_gpu: int
    chunks: float
    visual: float
    text: float
    work: Work

    @property
    def padding(self) -> float:
        """Share of padding in the tokens computed."""
        return 1 - (self.visual + self.text) / (self.work.tokens * self.samples / self.samples_per_gpu)


@dataclass(frozen=True)
class TrainPlan:
    """What a run will take; `str(plan)` is the text that `vipylo train plan` prints.

    Attributes:
        trainable: parameters that learn, LoRA adapters included.
        samples: of one epoch.
        flops: of one step on one GPU.
        memory: what one GPU holds at most, item by item, bytes.
        host: bytes of main memory that one GPU's process keeps for pixels, read ahead.
        full_chunk: what the memory is planned for.
        share: of the device's peak that is assumed to be reached.
        hours: of training alone, without evaluation and waiting for data.
        others: every known device, whether the run fits on it, and hours there.
        advice: where it does not fit: changes that make it fit, with the bytes they leave to hold.
        notes: what was measured or assumed, in words.
    """

    name: str
    device: Device
    gpus: int
    strategy: Strategy
    parameters: Parameters
    trainable: int
    adapters: int
    samples: int
    step: StepShape
    steps_per_epoch: int
    steps: int
    flops: StepFlops
    memory: tuple[Item, ...]
    host: float
    full_chunk: Work
    share: float
    hours: float
    others: tuple[tuple[Device, bool, float], ...]
    advice: tuple[Item, ...]
    notes: tuple[str, ...]

    @property
    def memory_total(self) -> float:
        """Bytes one GPU needs."""
        return sum(item.bytes for item in self.memory)

    @property
    def fits(self) -> bool:
        """Whether that is less than the GPU has."""
        return self.memory_total <= self.device.memory

    def __str__(self) -> str:
        from trainer.plan_text import render

        return render(self)


def plan(
    config: TrainConfig,
    *,
    gpu: str = "h100",
    gpus: int | None = None,
    samples: int | None = None,
    tokens_per_sample: tuple[int, int] | None = None,
    strategy: Strategy = "ddp",
    share: float = PEAK_SHARE,
) -> TrainPlan:
    """What a run will take.

    Args:
        gpu: a key of `trainer.hardware.DEVICES`, or "cpu" for this machine (measured).
        gpus: how many; 1 by default.
        samples: lines of the training file; read from it by default.
        tokens_per_sample: visual and text tokens; by default measured on lines of the training file, or assumed if it
            is not there.
        strategy: what is sharded: nothing ("ddp"), or weights, gradients and optimizer states ("fsdp", "zero3").
        share: part of the data sheet's FLOP/s that is reached.

    Raises:
        ConfigError: unknown GPU, unknown checkpoint, or no training file and no `samples`.
        DataError: the training file cannot be read.
    """
    count, chosen = gpus or 1, device(gpu)
    if count < 1 or not 0 < share <= 1:
        raise ConfigError(f"gpus={gpus}, share={share}: a plan needs at least 1 GPU, and a share between 0 and 1")
    model = _Model(config)
    file = JsonlSamples(config.data.train) if config.data.train.is_file() else None
    total, notes = _samples(config, file, samples)
    lengths = _lengths(config, file, tokens_per_sample, model.architecture.merge)
    step = _step(config, lengths, model.architecture, count)
    per_epoch = math.ceil(total / step.samples)
    steps = config.optimization.max_steps or math.ceil(config.optimization.epochs * per_epoch)
    cached = count > 1 or step.chunks > 1
    flops = model.step(step.work, cached)
    longest = _full_chunk(config, lengths, model.architecture)
    memory = _memory(config, model, longest, step, count, strategy)
    work, hours_per = flops.total * steps, 1 / (3600 * share)
    need = sum(item.bytes for item in memory)
    return TrainPlan(
        name=config.output.name,
        device=chosen,
        gpus=count,
        strategy=strategy,
        parameters=model.parameters,
        trainable=model.trainable,
        adapters=model.adapters,
        samples=total,
        step=step,
        steps_per_epoch=per_epoch,
        steps=steps,
        flops=flops,
        memory=memory,
        host=_host(config, step, model.architecture),
        full_chunk=longest,
        share=share,
        hours=work * hours_per / chosen.peak,
        others=tuple((d, need <= d.memory, work * hours_per / d.peak) for d in DEVICES.values()),
        advice=() if need <= chosen.memory else _advice(config, lengths, model, step, chosen, strategy),
        notes=(*notes, *lengths.notes, f"{share:.0%} of the device's peak is reached, recomputed FLOPs included"),
    )


class _Model:
    """A configuration's model in numbers."""

    def __init__(self, config: TrainConfig) -> None:
        settings = config.model
        self.config = settings
        self.architecture = Architecture.of(model_config(settings.checkpoint))
        self.parameters = self.architecture.parameters()
        lora = settings.lora
        self.adapters = self.architecture.adapters(lora.rank, lora.targets) if lora else 0
        frozen = set(settings.frozen)
        # As trainer.network does it: LoRA leaves nothing but adapters and projection to learn, and the token
        # embeddings are part of the language model.
        self.trained = Trained(
            vision=not lora and "vision" not in frozen,
            language=not lora and not frozen & {"language", "layers"},
            embeddings=not lora and not frozen & {"language", "embeddings"},
            adapters=bool(lora),
        )
        p = self.parameters
        self.trainable = (
            p.projection
            + self.adapters
            + p.vision * self.trained.vision
            + p.language * self.trained.language
            + p.embeddings * self.trained.embeddings
        )

    def step(self, work: Work, cached: bool) -> StepFlops:
        return self.architecture.step(
            work,
            self.trained,
            cached=cached,
            checkpointing=self.config.gradient_checkpointing,
            attention=self.config.attention,
            adapters=self.adapters,
        )


def _samples(config: TrainConfig, file: JsonlSamples | None, samples: int | None) -> tuple[int, list[str]]:
    """Samples of an epoch."""
    train = config.data.train
    if samples is not None:
        return samples, [f"{samples:,} samples an epoch, as given"]
    if file is None and train.name == PUBLISHED_FILE:
        return PUBLISHED_SAMPLES, [f"{PUBLISHED_FILE} is not here: {PUBLISHED_SAMPLES:,} samples are taken"]
    if file is None:
        raise ConfigError(f"data.train: {train} does not exist; give the number of samples to plan without it")
    if not config.data.sampling:
        return len(file), []
    codes = file.tasks().tolist()
    weights = [config.data.sampling.get(name, 1.0) for name in file.task_names]
    return round(sum(weights[code] for code in codes)), []


def _lengths(config: TrainConfig, file: JsonlSamples | None, tokens: tuple[int, int] | None, merge: int) -> Lengths:
    if tokens is not None:
        return given(*tokens, merge)
    return measured(config, file) if file else assumed(config, merge)


def _step(config: TrainConfig, lengths: Lengths, architecture: Architecture, gpus: int) -> StepShape:
    """Chunks of some steps, planned as training will plan them; their mean."""
    merge, per_gpu = architecture.merge, config.samples_per_device
    optimization = config.optimization
    stream = cycle(lengths.samples)
    chunks, work = 0, Work()
    for _ in range(STEPS_LOOKED_AT):
        rows = [row for sample in islice(stream, per_gpu) for row in sample]
        sizes = [row.tokens(merge) for row in rows]
        for places in plan_batches(sizes, 2 * optimization.per_device_batch, optimization.token_budget):
            chunks += 1
            longest = max(sizes[place] for place in places)
            images = [patches for place in places for patches in rows[place].patches]
            work += _work(len(places), longest, images)
    visual, text = mean_tokens(lengths.samples, merge)
    return StepShape(
        samples=per_gpu * gpus,
        samples_per_gpu=per_gpu,
        chunks=chunks / STEPS_LOOKED_AT,
        visual=visual * per_gpu * gpus,
        text=text * per_gpu * gpus,
        work=work * (1 / STEPS_LOOKED_AT),
    )


def _work(rows: float, longest: float, images: list[int]) -> Work:
    return Work(rows, rows * longest, rows * longest**2, sum(images), sum(patches**2 for patches in images))


def _full_chunk(config: TrainConfig, lengths: Lengths, architecture: Architecture) -> Work:
    """The largest chunk that these samples can make: the token budget filled with copies of one row."""
    optimization, merge = config.optimization, architecture.merge
    weights = Widths.of(config.model.precision, sharded=False)

    def kept(work: Work) -> float:
        return architecture.activations(work, weights, config.model.attention).kept(checkpointing=False)

    def filled(sample: SampleLengths) -> list[Work]:
        found = []
        for row in sample:
            length = max(1, row.tokens(merge))
            rows = max(1, min(2 * optimization.per_device_batch, optimization.token_budget // length))
            found.append(_work(rows, length, list(row.patches) * rows))
        return found

    return max((work for sample in lengths.samples for work in filled(sample)), key=kept)


def _memory(
    config: TrainConfig, model: _Model, chunk: Work, step: StepShape, gpus: int, strategy: Strategy
) -> tuple[Item, ...]:
    """What one GPU holds at the worst moment of a step."""
    settings, architecture, p = config.model, model.architecture, model.parameters
    half = settings.precision == "bf16"
    sharded = strategy != "ddp"
    parts = gpus if sharded else 1
    weights, learning = p.total + model.adapters, model.trainable
    wide = 2 if half else 4
    widths = Widths.of(settings.precision, sharded)
    activations = architecture.activations(chunk, widths, settings.attention, model.trained)
    checkpointing = settings.gradient_checkpointing
    copies = 0.0 if sharded or not half else _copies(model, settings.gradient_checkpointing)
    kept, peak = activations.kept(checkpointing), activations.peak(checkpointing, copies)
    items = [Item("weights, float32" + _shard(parts), 4 * weights / parts)]
    if strategy == "zero3" and half:
        items[0] = Item("weights, float32 for the optimizer and bfloat16" + _shard(parts), 6 * weights / parts)
    items += _gathered(model, strategy, wide)
    items += [
        Item("gradients, float32" + _shard(parts), 4 * learning / parts),
        Item("AdamW: two moments, float32" + _shard(parts), 8 * learning / parts),
    ]
    if strategy == "ddp" and gpus > 1:
        items.append(Item("DDP's buckets for the all-reduce", 4 * learning))
    if strategy == "fsdp" and (step.chunks > 1 or gpus > 1):
        items.append(Item("gradients of the chunks before the last, whole", wide * learning))
    layers = "inputs of the layers (checkpointing)" if checkpointing else "all layers"
    items += [
        Item(f"activations of one chunk: {layers}", kept),
        Item("one layer's backward" + (", and autocast's copies of weights" if copies else ""), peak - kept),
        Item("pixels of the chunk, float32", 4 * chunk.patches * architecture.patch_numbers),
        Item("vectors of the global batch, their gradients and cosines", _vectors(step, architecture.dim)),
        Item("logits (there is no language-model head)", 0.0),
    ]
    items.append(Item("runtime, libraries, fragmentation (assumed)", float(RUNTIME_BYTES)))
    return tuple(items)


def _copies(model: _Model, checkpointing: bool) -> float:
    """Autocast's bfloat16 copies of float32 weights. Embeddings are looked up, not multiplied, and need none.

    Those of weights that learn stay until the forward ends; of frozen ones only what backward needs of each layer does.
    """
    p, trained = model.parameters, model.trained
    learning = model.trainable - p.embeddings * trained.embeddings
    passed = p.language if trained.through_text and not trained.language and not checkpointing else 0
    return 2.0 * (learning + passed)


def _shard(parts: int) -> str:
    return f", 1/{parts}" if parts > 1 else ""


def _gathered(model: _Model, strategy: Strategy, wide: int) -> list[Item]:
    """Whole weights that sharding brings together while they are used."""
    architecture, p = model.architecture, model.parameters
    if strategy == "ddp":
        return []
    if strategy == "zero3":
        return [Item("gathered weights (stage3_max_live_parameters)", wide * min(p.total, LIVE_PARAMETERS))]
    block = (p.language - architecture.hidden) / architecture.layers
    # Two layers: the one at work and the one fetched ahead. What is no layer stays together from forward to backward.
    vision_block = (p.vision - replace(architecture, depth=0).parameters().vision) / architecture.depth
    ends = p.total - architecture.layers * block - architecture.depth * vision_block
    return [Item("gathered weights: two layers, embeddings and ends", wide * (2 * max(block, vision_block) + ends))]


def _advice(
    config: TrainConfig, lengths: Lengths, model: _Model, step: StepShape, chosen: Device, strategy: Strategy
) -> tuple[Item, ...]:
    """Changes after which the run fits, the smallest sets of them, with the bytes it then needs."""
    gpus = step.samples // step.samples_per_gpu
    budget, checkpointing = config.optimization.token_budget, config.model.gradient_checkpointing
    found: dict[frozenset[str], Item] = {}
    for way, layers, halvings in product(
        dict.fromkeys((strategy, "fsdp" if gpus > 1 else strategy)), dict.fromkeys((checkpointing, True)), range(8)
    ):
        changes = {
            "--strategy fsdp": way != strategy,
            "model.gradient_checkpointing: true": layers != checkpointing,
            f"optimization.token_budget: {budget >> halvings}": halvings > 0,
        }
        kinds = frozenset(name.partition(":")[0] for name, made in changes.items() if made)
        if any(smaller <= kinds for smaller in found):
            continue
        changed = config.model_copy(
            update={
                "model": config.model.model_copy(update={"gradient_checkpointing": layers}),
                "optimization": config.optimization.model_copy(update={"token_budget": budget >> halvings}),
            }
        )
        chunk = _full_chunk(changed, lengths, model.architecture)
        need = sum(item.bytes for item in _memory(changed, model, chunk, step, gpus, way))
        if need <= chosen.memory:
            found[kinds] = Item(" and ".join(name for name, made in changes.items() if made), need)
    return tuple(found.values())


def _vectors(step: StepShape, dim: int) -> float:
    """Vectors and gradients, float32, and the matrices of cosines and their gradients."""
    rows = step.work.rows / step.samples_per_gpu * step.samples
    return 4 * (2 * rows * dim + 4 * step.samples * rows)


def _host(config: TrainConfig, step: StepShape, architecture: Architecture) -> float:
    """Decoded images of the steps that loader processes keep ready, and of the step at work."""
    return 4 * step.work.patches * architecture.patch_numbers * (1 + LOADER_STEPS * config.data.workers)
