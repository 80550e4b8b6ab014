"""Which samples go into a batch together: sorted by length, bounded by a token budget, decided before any decoding."""

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], batch_size: int, token_budget: int) -> list[list[int]]:
    """Row numbers grouped into batches, longest first, so that the peak of memory comes at the start.

    A batch holds at most `batch_size` rows and `token_budget` tokens counted with padding (rows x longest row). A row
    longer than the budget is a batch of its own. Every row is in exactly one batch.
    """
    if batch_size < 1 or token_budget < 1:
        raise ValueError(f"batch_size and token_budget are at least 1, not {batch_size} and {token_budget}")
    batches: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        current = batches[-1] if batches else []
        if not current or len(current) >= batch_size or (len(current) + 1) * longest > token_budget:
            batches.append([row])
            longest = lengths[row]
        else:
            current.append(row)
    return batches
