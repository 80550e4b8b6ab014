"""A real embedder whose calls can be held up and looked at."""

import threading
from collections.abc import Sequence
from typing import Any

from embedder import ColPaLiQwenEmbedder
from embedder.protocol import EncodedRows, Sample


class HeldEmbedder:
    """Passes all on to a real embedder. Each `encode_rows` waits for the gate; the texts of each call are noted.

    A text "break" makes a call raise, as a third party's model may.
    """

    def __init__(self, embedder: ColPaLiQwenEmbedder) -> None:
        self._embedder = embedder
        self.name, self.dim, self.max_tokens = embedder.name, embedder.dim, embedder.max_tokens
        self.fingerprint = embedder.fingerprint
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.calls: list[list[str]] = []
        self.most_at_once = 0
        self._inside = 0

    def encode(self, text: Any = None, images: Any = None, **options: Any) -> Any:
        return self._embedder.encode(text, images, **options)

    def encode_rows(self, samples: Sequence[Sample], *, batch_size: int = 32) -> EncodedRows:
        self._inside += 1
        self.most_at_once = max(self.most_at_once, self._inside)
        try:
            self.calls.append([sample.text for sample in samples])
            self.entered.release()
            assert self.gate.wait(20)
            if any(sample.text == "break" for sample in samples):
                raise RuntimeError("the model is broken")
            return self._embedder.encode_rows(samples, batch_size=batch_size)
        finally:
            self._inside -= 1
