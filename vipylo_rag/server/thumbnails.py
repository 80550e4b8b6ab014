"""Small pictures of pages: made when first asked for, once, and kept while there is room."""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from PIL import Image

from connectors.errors import DocumentError

SIDE = 400
_QUALITY = 80
_MAKERS = 2


class Thumbnails:
    """Thumbnails by picture file; used from one event loop.

    Args:
        most_bytes: that are kept; the one not asked for longest goes first.
    """

    def __init__(self, most_bytes: int = 64 * 2**20) -> None:
        self._room = most_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._coming: dict[str, asyncio.Task[bytes]] = {}
        self._makers = ThreadPoolExecutor(_MAKERS, thread_name_prefix="thumbnail")
        self.made = 0

    @property
    def held(self) -> int:
        """Bytes that are kept now."""
        return self._held

    async def of(self, picture: Path) -> bytes:
        """The thumbnail of a stored picture as WebP, its longer side `SIDE` pixels at most. Pictures are named by what
        they show, so that one that is kept never is an old one.

        Raises:
            DocumentError: the picture is gone or damaged.
        """
        kept = self._kept.get(picture.name)
        if kept is not None:
            self._kept.move_to_end(picture.name)
            return kept
        coming = self._coming.get(picture.name)
        if coming is None:
            coming = asyncio.create_task(self._make(picture))
            self._coming[picture.name] = coming
            coming.add_done_callback(lambda _: self._coming.pop(picture.name))
        # Others may wait for it too: that one of them goes away must not end it.
        return await asyncio.shield(coming)

    def stop(self) -> None:
        """Make no more."""
        self._makers.shutdown(cancel_futures=True)

    async def _make(self, picture: Path) -> bytes:
        made = await asyncio.get_running_loop().run_in_executor(self._makers, thumbnail, picture)
        self.made += 1
        self._kept[picture.name] = made
        self._held += len(made)
        while self._held > self._room:
            self._held -= len(self._kept.popitem(last=False)[1])
        return made


def thumbnail(picture: Path) -> bytes:
    """A picture as a small WebP.

    Raises:
        DocumentError: it cannot be read.
    """
    try:
        with Image.open(picture) as stored:
            stored.draft("RGB", (2 * SIDE, 2 * SIDE))  # of a JPEG, only as much as is needed is decoded
            small = stored.convert("RGB")
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        target = BytesIO()
        small.save(target, "WEBP", quality=_QUALITY, method=2)
    except (OSError, ValueError) as error:
        raise DocumentError("the page's picture is gone or damaged: ingest its document again") from error
    return target.getvalue()
