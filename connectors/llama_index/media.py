"""A node's pictures, sound and film: read for the embedder, and kept as files named by content (never in a payload)."""

import base64
import binascii
import hashlib
import io
import mimetypes
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llama_index.core.schema import BaseNode, ImageNode, MediaResource, Node
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import write_once
from connectors.loaders.registry import first_image
from embedder.errors import InputError

MEDIA_FIELDS = ("image_resource", "audio_resource", "video_resource")


def resource_of(node: BaseNode, field: str = "image_resource") -> MediaResource | None:
    """A node's media, from `Node`'s fields or from `ImageNode`'s older ones; None where it has none."""
    if isinstance(node, Node):
        found: MediaResource | None = getattr(node, field)
        return found if found is not None and (found.data or found.path or found.url) else None
    if field == "image_resource" and isinstance(node, ImageNode) and (node.image or node.image_path or node.image_url):
        data = node.image.encode() if node.image else None
        path = Path(node.image_path) if node.image_path else None
        url: Any = node.image_url or None
        return MediaResource(data=data, path=path, url=url, mimetype=node.image_mimetype)
    return None


def is_file_url(url: object) -> bool:
    """Whether a resource's URL names a file here: "file:...", a bare path, or one with a drive's letter."""
    if url is None:
        return False
    scheme = urlsplit(str(url)).scheme
    return scheme in ("", "file") or len(scheme) == 1


def picture_of(node: BaseNode) -> Image.Image | None:
    """What a node shows, as its loader would see it; None for a node without image.

    Raises:
        InputError: its image is only a URL (nothing is fetched from the network), or its bytes are no base64.
        DocumentError: the image cannot be read.
    """
    resource = resource_of(node)
    if resource is None:
        return None
    if resource.data:
        return open_picture(io.BytesIO(_decoded(resource.data, node)), f"the image of node {node.node_id}")
    if resource.path:
        return open_picture(resource.path)
    raise InputError(
        f"node {node.node_id}: its image is a URL, and nothing is fetched here; download it and give its path"
    )


def open_picture(image: Image.Image | str | Path | io.BytesIO, name: str = "the image") -> Image.Image:
    """A picture from a path (any file that a loader reads: its first page), from bytes, or as it is.

    Raises:
        DocumentError: it cannot be read, or is larger than the loaders allow; names the file, or `name` for bytes.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, io.BytesIO):
        from connectors.loaders.image import ImageLoader

        image.seek(0)
        return ImageLoader().picture(image, name)
    return first_image(Path(image))


def keep(resource: MediaResource, node: BaseNode, assets: Path) -> str | None:
    """Copy what the resource holds (bytes, or a file) below `assets` and return where, as "ab/<sha256>.png".

    None for a resource that is only a URL. A file that is below `assets` already stays where it is.

    Raises:
        InputError: the file is not there, or the folder cannot be written; names the node.
    """
    if resource.data:
        content = _decoded(resource.data, node)
    elif resource.path:
        inside = _inside(resource.path, assets)
        if inside is not None:
            return inside
        try:
            content = resource.path.read_bytes()
        except OSError as error:
            raise InputError(f"node {node.node_id}: {resource.path} cannot be read: {error.strerror}") from error
    else:
        return None
    digest = hashlib.sha256(content).hexdigest()
    reference = f"{digest[:2]}/{digest}{_suffix(resource)}"
    try:
        write_once(assets / reference, assets, lambda file: file.write(content))
    except DocumentError as error:
        raise InputError(f"node {node.node_id}: {assets} cannot hold its media ({error.__cause__})") from error
    return reference


def _inside(path: Path, assets: Path) -> str | None:
    resolved, folder = path.resolve(), assets.resolve()
    return resolved.relative_to(folder).as_posix() if resolved.is_relative_to(folder) and resolved.is_file() else None


def _suffix(resource: MediaResource) -> str:
    guessed = resource.path.suffix if resource.path else mimetypes.guess_extension(resource.mimetype or "") or ""
    return guessed.lower() if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", guessed) else ""


def _decoded(data: bytes, node: BaseNode) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"node {node.node_id}: its image bytes are no base64: {error}") from error
