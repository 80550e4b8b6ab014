"""Turns PDF pages into pictures, text and word boxes: a small protocol, and two engines behind it.

`PyMuPDFRenderer` is the default; PyMuPDF is under the AGPL. `PdfiumRenderer` does the same with pypdfium2 (Apache-2.0
or BSD-3). Both are found by entry point (group "renderers"), as a third party's is. Engines are imported on first use.
"""

from connectors.render_pdfium import PdfiumRenderer
from connectors.render_protocol import DPI, PageRenderer, PasswordError, RenderedDocument
from connectors.render_pymupdf import PyMuPDFRenderer
from embedder.errors import PluginError
from embedder.plugins import load_plugin

__all__ = [
    "DPI",
    "PageRenderer",
    "PasswordError",
    "PdfiumRenderer",
    "PyMuPDFRenderer",
    "RenderedDocument",
    "load_renderer",
]


def load_renderer(name: str) -> PageRenderer:
    """The renderer registered under `name` ("pymupdf", "pypdfium2", or a third party's).

    Raises:
        PluginError: there is none of that name, or it cannot be imported or made.
    """
    made = load_plugin("renderers", name)
    try:
        renderer: PageRenderer = made()
    except Exception as error:  # a third party's constructor may raise anything
        raise PluginError(f"the renderer {name!r} cannot be made: {error}") from error
    return renderer
