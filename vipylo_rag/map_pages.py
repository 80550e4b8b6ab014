"""An index's pages as they are compared for near-duplicates: read when they are asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from connectors.errors import StoreError
from connectors.payload import asset_path
from vipylo_rag.index_reading import IndexReading
from vipylo_rag.near_duplicates import PageText


class StoredPages:
    """Pages by their row; `pages` holds the id and the asset of each."""

    def __init__(self, index: IndexReading, pages: Sequence[Mapping[str, Any]]) -> None:
        self._index = index
        self._pages = pages

    def text(self, row: int) -> PageText:
        """What the store says; "" for a page that is gone meanwhile."""
        with self._index.turnstile.passing():
            found = self._index.store.get([self._pages[row]["id"]])
        payload = found[0].payload if found else {}
        return PageText(payload.get("text", ""), exact="ocr" not in payload)

    def picture(self, row: int) -> Image.Image | None:
        """The page's picture; None where it has none, or its file is missing, damaged or outside the assets."""
        asset = self._pages[row]["asset"]
        try:
            path = asset_path(self._index.assets, asset) if asset else None
            if path is None:
                return None
            with Image.open(path) as stored:
                return stored.convert("L")
        except (OSError, StoreError, Image.DecompressionBombError):
            return None
