"""How many candidates a search over quantised vectors scores again by the full ones."""

from typing import Final

from connectors.stores.options import Quantization

# Recall@10 on 20,000 clustered 1024-d vectors (40 clusters of 500, isotropic inside: the hardest kind): int8 0.94
# without oversampling, 1.00 with 2 times; binary 0.28, 0.52 with 3 times, 0.83 with 10, 0.98 with 24 (docs/scaling.md).
_INT8_TIMES: Final = 3.0
# What counts for binary is how many candidates there are, and 10 or 100 results need much the same: 240 give recall@10
# 0.98, 400 give recall@100 0.99.
_BINARY_TIMES: Final = 4.0
_BINARY_CANDIDATES: Final = 240


def oversampling(kind: Quantization, limit: int) -> float | None:
    """Candidates for each wanted result; None where there is no second copy to search first."""
    if kind == "none":
        return None
    return _INT8_TIMES if kind == "int8" else max(_BINARY_TIMES, _BINARY_CANDIDATES / limit)
