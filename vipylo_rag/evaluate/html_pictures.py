"""The pictures of the HTML page: small, each in the file once however often it is shown, and bounded in all."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.registry import first_image
from vipylo_rag.evaluate.words import say
from vipylo_rag.map_pictures import small_pictures

_SIDE: Final = 320
_QUALITY: Final = 62


class PictureSheet:
    """Pictures by key, drawn with `<use>`.

    Args:
        most_bytes: all WebP files together; what comes too late is left out and said so.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._files: dict[str, tuple[bytes, tuple[int, int]]] = {}

    def add_files(self, paths: Sequence[Path], most_bytes: int | None = None) -> None:
        """Pictures of a data set, by their paths. Those that cannot be read are left out."""
        allowed = self._left if most_bytes is None else min(self._left, most_bytes)
        for path in dict.fromkeys(paths):
            if str(path) in self._files:  # a picture of a query and of a document
                continue
            try:
                picture = first_image(path)
            except DocumentError:
                continue
            picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
            buffer = BytesIO()
            picture.save(buffer, "WEBP", quality=_QUALITY, method=4)
            if len(buffer.getvalue()) <= allowed:
                allowed -= self._put(str(path), buffer.getvalue())

    def add_assets(self, assets: Path, names: Sequence[str]) -> None:
        """Pictures of pages, by their names below the index's asset folder."""
        unique = list(dict.fromkeys(names))
        for name, picture in zip(unique, small_pictures(assets, unique, self._left).webp, strict=True):
            if picture is not None:
                self._put(name, picture)

    def _put(self, key: str, webp: bytes) -> int:
        with Image.open(BytesIO(webp)) as opened:
            self._files[key] = (webp, opened.size)
        self._left -= len(webp)
        return len(webp)

    def shown(self, key: str, label: str) -> str:
        """HTML that draws a picture; says so where it was left out."""
        if key not in self._files:
            return f"<p class=quiet>{say('no picture')}</p>"
        number, (width, height) = list(self._files).index(key), self._files[key][1]
        return (
            f'<svg class=picture viewBox="0 0 {width} {height}" width="{width}" height="{height}" role=img tabindex=0 '
            f'aria-label="{escape(label)}"><use href="#p{number}" /></svg>'
        )

    def definitions(self) -> str:
        """HTML with the pictures themselves; it has to stand in the page once."""
        images = "".join(
            f'<image id="p{number}" width="{width}" height="{height}" '
            f'href="data:image/webp;base64,{base64.b64encode(webp).decode()}" />'
            for number, (webp, (width, height)) in enumerate(self._files.values())
        )
        return f"<svg class=sheet aria-hidden=true><defs>{images}</defs></svg>"
