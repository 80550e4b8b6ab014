"""Accelerators as a plan sees them: how much they hold and how fast they multiply, from public data sheets."""

import os
import time
from dataclasses import dataclass

from trainer.errors import ConfigError

GB = 10**9


@dataclass(frozen=True)
class Device:
    """One accelerator.

    Attributes:
        memory: bytes, the data sheet's GB taken as 10^9 (most cards hold up to 7 % more).
        peak: FLOP/s of dense bfloat16 matrix products with float32 sums; data sheets often print the doubled figure
            "with sparsity", which training cannot use.
        source: where the two numbers are published.
    """

    name: str
    memory: float
    peak: float
    source: str


DEVICES: dict[str, Device] = {
    "a100-40": Device("A100 40 GB", 40 * GB, 312e12, "NVIDIA A100 Tensor Core GPU data sheet"),
    "a100": Device("A100 80 GB", 80 * GB, 312e12, "NVIDIA A100 Tensor Core GPU data sheet"),
    "h100": Device("H100 SXM 80 GB", 80 * GB, 989e12, "NVIDIA H100 data sheet: 1,979 TFLOPS with sparsity"),
    "h200": Device("H200 SXM 141 GB", 141 * GB, 989e12, "NVIDIA H200 data sheet: 1,979 TFLOPS with sparsity"),
    "l4": Device("L4 24 GB", 24 * GB, 121e12, "NVIDIA L4 data sheet: 242 TFLOPS with sparsity"),
    "rtx4090": Device("RTX 4090 24 GB", 24 * GB, 165e12, "NVIDIA Ada GPU architecture white paper, appendix A"),
    "a6000": Device("RTX A6000 48 GB", 48 * GB, 155e12, "NVIDIA Ampere GA102 GPU architecture white paper, appendix A"),
}


def device(name: str) -> Device:
    """The device of this name ("h100", "a100-40", ...), or "cpu" for this machine's processor, measured.

    Raises:
        ConfigError: no such device; the text lists those there are.
    """
    key = name.lower().replace("_", "-").replace(" ", "")
    if key == "cpu":
        return _this_processor()
    if key not in DEVICES:
        raise ConfigError(f"no GPU named {name!r} is known to the plan (known: {', '.join(DEVICES)}, cpu)")
    return DEVICES[key]


def _this_processor(size: int = 1024, seconds: float = 0.3) -> Device:
    """This machine: its memory, and the best of some float32 products [size, size] x [size, size]."""
    import torch

    left = torch.rand(size, size)
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 2:
        start = time.perf_counter()
        left @ left
        rates.append(2 * size**3 / (time.perf_counter() - start))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    source = f"a {size}³ float32 product on {torch.get_num_threads()} threads, measured just now"
    return Device(f"this CPU ({memory / GB:.0f} GB)", float(memory), max(rates), source)
