"""Our training step against sentence-transformers' cached in-batch loss; and its memory at batch 768 against 24.

    python benchmarks/training.py --out training.json                       # CPU, the packaged starter
    python benchmarks/training.py --checkpoint 2B --device cuda --peak h100 --image page.png

Three measurements, in one run:

1. samples/s and peak memory of one optimizer step (forward, GradCache, backward, AdamW) of our trainer's step and of
   sentence-transformers' CachedMultipleNegativesRankingLoss, on the same model, texts, batch and chunk. Only where
   sentence-transformers is installed (extra `bench`); its loss has in-batch negatives for one direction and texts alone
   are compared, since its multimodal inputs go through another preprocessing.
2. Peak memory of a step at batch 768 in chunks of 24 (GradCache) over that of batch 24 at once: should be about 1.
3. With `--peak h100` (a name of `trainer.hardware`, or cpu, which is measured): the share of the device's peak, from
   the operations that `trainer.cost` derives for the very chunks of the step.

On a CPU, memory is the peak of bytes in live tensors, counted at every operation, less what was alive before the step.
"""

import argparse
import json
import platform
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from embedder.model import ColPaLiQwenEmbedder
from trainer.architectures import model_config
from trainer.config import ObjectiveConfig
from trainer.cost import Architecture, Trained, Work
from trainer.grad_cache import GradCache
from trainer.hardware import device as device_named
from trainer.loading import StepBatch, StepCollator
from trainer.network import TrainableEmbedder
from trainer.objective import OBJECTIVES, Objective
from trainer.sample_format import Side, TrainSample

TEXT = "the page says that a red house by the river was sold in spring for less than its worth"


@dataclass(frozen=True)
class Measurement:
    """One kind of step. `peak_mb`: what the gradient needs beside weights, gradients and optimizer state."""

    what: str
    batch: int
    chunk: int
    samples_per_s: float
    tokens_per_s: float
    peak_mb: float
    tflops: float


class LiveBytes(TorchDispatchMode):
    """Peak of bytes in tensors made while this is active, by storages: what a CPU has instead of memory statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count the storages it made."""
        if func is not torch.ops.aten.lift_fresh.default:  # which `torch.tensor` shows its new values to
            for leaf in tree_leaves((args, kwargs)):
                # What an operation takes and none has made was there before: a weight, of which a view may come back.
                if isinstance(leaf, Tensor):
                    self._count(leaf.untyped_storage(), 0)
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                self._count(storage, storage.nbytes())
        return result

    def _count(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def network_of(checkpoint: str, device: str, attention: str) -> TrainableEmbedder:
    """The checkpoint, or for "2B" the published architecture with random weights; float32, as training holds them."""
    if checkpoint != "2B":
        loaded = ColPaLiQwenEmbedder.from_pretrained(checkpoint, device=device, dtype=torch.float32)
        return TrainableEmbedder(
            loaded.model, loaded.projection, loaded.processor, max_tokens=loaded.max_tokens
        ).train()
    config = model_config("Qwen/Qwen2-VL-2B-Instruct")
    processor = ColPaLiQwenEmbedder.from_pretrained("starter", device="cpu").processor
    # The starter's tokenizer stands in for Qwen's: its ids are smaller, and random weights know neither.
    for field, token in (
        ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"),
        ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>"),
    ):  # fmt: skip
        setattr(config, field, processor.tokenizer.convert_tokens_to_ids(token))
    config._attn_implementation = attention
    with torch.device(device):
        network = TrainableEmbedder.from_config(config)
    network.processor = processor
    network.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return network.train()


def samples_of(count: int, words: int, image: Path | None) -> list[TrainSample]:
    """Distinct pairs of equal length; with a picture on the query's side if one is given."""
    found = []
    for number in range(count):
        spoken = TEXT.split()
        text = " ".join(spoken[(number * 7 + word) % len(spoken)] for word in range(words))
        query = Side(f"{number} {text}", (image,) if image else ())
        found.append(TrainSample(number + 1, "instr", query, Side(f"{text} {number}")))
    return found


def collated(network: TrainableEmbedder, samples: list[TrainSample], chunk: int) -> StepBatch:
    """One step in chunks of `chunk` samples."""
    collate = StepCollator(network.processor, network.max_tokens, network.max_images, chunk, 10**9, tuple(OBJECTIVES))
    step = collate(samples)
    assert not step.bad, step.bad
    return step


def operations_of(network: TrainableEmbedder, batch: StepBatch) -> float:
    """Floating-point operations of the step's gradient, recomputed ones included."""
    work = Work()
    for chunk in batch.chunks:
        rows, length = chunk.inputs["input_ids"].shape
        grids = chunk.inputs.get("image_grid_thw")
        patches = [] if grids is None else grids.prod(dim=1).tolist()
        squares = sum(count**2 for count in patches)
        work = work + Work(rows, rows * length, rows * length**2, sum(patches), squares)
    layers = [module for module in network.model.modules() if getattr(module, "gradient_checkpointing", False)]
    cost = Architecture.of(network.model.config).step(
        work, Trained(), cached=len(batch.chunks) > 1, checkpointing=bool(layers), attention="sdpa"
    )
    return cost.total


def peak_of(step: Callable[[], object], device: str) -> float:
    """Peak megabytes that one call adds to what is there before it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with LiveBytes() as live:
        step()
    return live.peak / 1e6


def seconds_of(step: Callable[[], object], repeats: int, device: str) -> float:
    """Median seconds of a call, after one to warm up."""
    step()
    times = []
    for _ in range(repeats):
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        began = time.perf_counter()
        step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


@dataclass(frozen=True)
class Step:
    """A step in two parts: its time is that of both, its memory that of the gradient."""

    gradient: Callable[[], object]
    update: Callable[[], object]

    def __call__(self) -> None:
        """Both parts."""
        self.gradient()
        self.update()


def ours(network: TrainableEmbedder, batch: StepBatch, device: str) -> Step:
    """Our step: gradient by GradCache, then AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)

    def embed(inputs: dict[str, Tensor]) -> Tensor:
        with torch.autocast(device.partition(":")[0], torch.bfloat16):
            return network(inputs)

    cache = GradCache(embed, Objective(ObjectiveConfig()), device=device)

    def gradient() -> None:
        # Gradients stay allocated between steps: their memory is not what is compared.
        optimizer.zero_grad(set_to_none=False)
        cache.step(batch)

    return Step(gradient, optimizer.step)


def theirs(checkpoint: Path, samples: list[TrainSample], chunk: int, device: str) -> Step:
    """sentence-transformers' step: its cached in-batch loss, then AdamW; same precision."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

    # Float32 weights under bf16 autocast, as ours: by itself it would take the file's bf16.
    model = SentenceTransformer(str(checkpoint), device=device, model_kwargs={"dtype": torch.float32})
    model.train()
    loss = CachedMultipleNegativesRankingLoss(model, scale=1 / 0.07, mini_batch_size=2 * chunk)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    prompt = model.prompts.get("instr", "")
    features = [
        model.preprocess([prompt + sample.query.text for sample in samples]),
        model.preprocess([sample.positive.text for sample in samples]),
    ]
    features = [
        {key: value.to(device) if isinstance(value, Tensor) else value for key, value in side.items()}
        for side in features
    ]

    def gradient() -> None:
        optimizer.zero_grad(set_to_none=False)
        with torch.autocast(device.partition(":")[0], torch.bfloat16):
            value = loss([dict(side) for side in features], None)
        value.backward()

    return Step(gradient, optimizer.step)


def measure(
    what: str, step: Step, batch: StepBatch, chunk: int, repeats: int, device: str, operations: float
) -> Measurement:
    """Time first, memory after: counting slows a CPU down."""
    seconds, size = seconds_of(step, repeats, device), len(batch.tasks)
    peak = peak_of(step.gradient, device)
    return Measurement(what, size, chunk, size / seconds, batch.tokens / seconds, peak, operations / seconds / 1e12)


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("torch", "transformers", "sentence-transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="starter", help="directory, 'starter' or '2B' (random weights)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--attention", default="sdpa", help="for 2B: sdpa or flash_attention_2")
    parser.add_argument("--chunk", type=int, default=24, help="samples in memory at once")
    parser.add_argument("--large", type=int, default=768, help="the batch that must fit in the memory of a chunk")
    parser.add_argument("--compare", type=int, default=192, help="batch of the comparison")
    parser.add_argument("--words", type=int, default=40)
    parser.add_argument("--image", type=Path, help="a picture for every query, in the memory measurement")
    parser.add_argument("--peak", help="the device's name in trainer.hardware, to print the share of its peak")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    device, chunk = options.device, options.chunk
    network = network_of(options.checkpoint, device, options.attention)
    rows: list[Measurement] = []
    for name, size in (("at once", chunk), ("GradCache", options.large)):
        batch = collated(network, samples_of(size, options.words, options.image), chunk)
        step = ours(network, batch, device)
        repeats = options.repeats if size == chunk else 1
        rows.append(measure(f"ours, {name}", step, batch, chunk, repeats, device, operations_of(network, batch)))
    ratio = rows[1].peak_mb / rows[0].peak_mb
    if options.checkpoint != "2B":
        rows += comparison(options, network)
    table = Table(*Measurement.__annotations__)
    for row in rows:
        table.add_row(*(f"{value:,.4g}" if isinstance(value, float) else str(value) for value in asdict(row).values()))
    console = Console(width=120)
    console.print(table)
    console.print(f"peak at batch {options.large} over batch {chunk}: {ratio:.3f}")
    if options.peak:
        peak = device_named(options.peak).peak
        shares = {row.what: row.tflops * 1e12 / peak for row in rows}
        console.print("share of peak: " + ", ".join(f"{what} {share:.1%}" for what, share in shares.items()))
    if options.out:
        report = {"versions": versions(), "memory_ratio": ratio, "measurements": [asdict(row) for row in rows]}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def comparison(options: argparse.Namespace, network: TrainableEmbedder) -> list[Measurement]:
    """Both libraries on the same texts."""
    size, chunk, device = options.compare, options.chunk, options.device
    samples = samples_of(size, options.words, None)
    batch = collated(network, samples, chunk)
    operations, repeats = operations_of(network, batch), options.repeats
    rows = [measure("ours", ours(network, batch, device), batch, chunk, repeats, device, operations)]
    try:
        from embedder.checkpoint import resolve

        step = theirs(resolve(options.checkpoint), samples, chunk, device)
    except ImportError as error:
        print(f"sentence-transformers is not measured: {error}")
        return rows
    rows.append(measure("sentence-transformers", step, batch, chunk, repeats, device, operations))
    return rows


if __name__ == "__main__":
    main()
