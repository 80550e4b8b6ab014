"""DICOM files out of pydicom's own wheel: real modalities, no download, no patient."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.data import get_testdata_file


def bundled(name: str) -> Path:
    """The path of a file that pydicom's wheel carries.

    Raises:
        FileNotFoundError: This release of pydicom does not carry it.
    """
    found = get_testdata_file(name, download=False)
    if not isinstance(found, str):
        raise FileNotFoundError(f"pydicom {pydicom.__version__} does not bundle {name}; pydicom>=3.0 does")
    return Path(found)


def copy_bundled(name: str, path: Path) -> None:
    """Copies a bundled DICOM file."""
    shutil.copyfile(bundled(name), path)


def windowed(name: str, center: float, width: float, size: int) -> Image.Image:
    """A bundled grey image through another window than its own, scaled to `size` pixels on its longer side."""
    dataset = pydicom.dcmread(bundled(name))
    values = dataset.pixel_array.astype(np.float32)
    values = values * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    shown = np.clip((values - (center - width / 2)) / width, 0, 1) * 255
    image = Image.fromarray(shown.astype(np.uint8))
    scale = size / max(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
