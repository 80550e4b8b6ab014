"""From a DICOM frame's stored values to what a viewer shows: modality values, window, inversion, in this order."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_windowing

from connectors.loaders.picture import page_picture
from embedder.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

# (centre, width) in Hounsfield units.
CT_PRESETS = {"soft tissue": (40.0, 400.0), "lung": (-600.0, 1500.0), "bone": (400.0, 1800.0), "brain": (40.0, 80.0)}

_PERCENTILES = (0.5, 99.5)
# Pictures that machines made to be looked at: 8 bits of them are brightness already.
_MADE_TO_BE_SEEN = {"US", "IVUS", "ES", "XC", "GM", "SM", "OP", "XA", "RF", "SC", "OT", "DOC"}
# Counts of decays: zero is nothing, and a few hot spots (bladder, injection site) must not darken all else.
_COUNTS = {"PT", "NM"}
_COUNTS_PERCENTILE = 99.5
_BAND_PIXELS = 2_000_000
# `apply_windowing` spreads its result over the range of the stored bits; for 16 unsigned bits without rescale
# that range is known, so that dividing by it gives the window's 0..1.
_FULL = 65535.0
_VIEW_KEYWORDS = (
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "VOILUTSequence",
)  # fmt: skip
_FUNCTIONAL_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def ct_preset(window: str | tuple[float, float]) -> tuple[float, float]:
    """The (centre, width) of a preset's name; a pair is passed through.

    Raises:
        InputError: there is no preset of that name, or the width is less than 1.
    """
    if isinstance(window, str):
        if window not in CT_PRESETS:
            raise InputError(f"no CT window named {window!r} (known: {', '.join(CT_PRESETS)}; or give (centre, width))")
        return CT_PRESETS[window]
    if window[1] < 1:
        raise InputError(f"a CT window needs a width of 1 or more, not {window[1]}")
    return window


def display(
    stored: Array, header: Any, index: int, ct_window: tuple[float, float], max_pixels: int
) -> tuple[Image.Image, str]:
    """Frame `index` as a page picture (RGB) and a word on how its values became brightness.

    Args:
        stored: decoded values [rows, columns] or [rows, columns, samples].
        header: the data set without pixels.
        ct_window: (centre, width) for CT images that bring no window.

    Raises:
        ValueError: the samples of a pixel are neither 1 nor 3.
    """
    if stored.ndim == 3 and stored.shape[2] in (3, 4):
        return page_picture(Image.fromarray(_eight_bits(stored[..., :3], int(header.BitsStored))), max_pixels), "colour"
    if stored.ndim != 2:
        raise ValueError(f"an image of shape {stored.shape} is not supported")
    if header.get("PhotometricInterpretation") == "PALETTE COLOR":
        colours = apply_color_lut(stored, header)
        bits = int(header.RedPaletteColorLookupTableDescriptor[2])
        return page_picture(Image.fromarray(_eight_bits(colours[..., :3], bits)), max_pixels), "palette"
    levels, window = _gray_levels(stored, header, index, ct_window)
    return page_picture(Image.fromarray(levels), max_pixels), window


def _gray_levels(
    stored: Array, header: Any, index: int, ct_window: tuple[float, float]
) -> tuple[NDArray[np.uint8], str]:
    """Brightness 0..255 of a MONOCHROME frame, computed in bands of rows to bound memory."""
    view = _frame_view(header, index)
    little_endian = bool(header.original_encoding[1])
    step = max(1, int((stored.size / _BAND_PIXELS) ** 0.5))
    padded = _padding(stored[::step, ::step], header)
    sample = _modality_values(stored[::step, ::step], view, little_endian)
    window = _choose_window(sample[~padded] if not padded.all() else sample, view, header, ct_window, little_endian)
    levels = np.empty(stored.shape, np.uint8)
    for rows in _row_bands(stored.shape):
        values = _modality_values(stored[rows], view, little_endian)
        levels[rows] = np.rint(_shares(values, window, little_endian) * 255)
        if header.get("PhotometricInterpretation") == "MONOCHROME1":
            levels[rows] = 255 - levels[rows]
        levels[rows][_padding(stored[rows], header)] = 0
    return levels, _window_name(window, view)


def _frame_view(header: Any, index: int) -> Dataset:
    """The display elements that hold for one frame: its own functional groups, the shared ones, the file's."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    groups = [*per_frame[index : index + 1], *shared[:1]]
    scopes = [group.get(name)[0] for group in groups for name in _FUNCTIONAL_GROUPS if group.get(name)]
    view = Dataset()
    for keyword in _VIEW_KEYWORDS:
        values = (scope.get(keyword) for scope in (*scopes, header))
        found = next((value for value in values if value is not None and value != ""), None)
        if found is not None:
            setattr(view, keyword, found)
    return view


def _modality_values(stored: Array, view: Dataset, little_endian: bool) -> Array:
    """Stored values in the modality's units (Hounsfield units for CT)."""
    if view.get("ModalityLUTSequence"):
        return _looked_up(stored, view.ModalityLUTSequence[0], little_endian)[0]
    if "RescaleSlope" in view and "RescaleIntercept" in view:
        values: Array = apply_modality_lut(stored, view)
        return values
    return stored


def _choose_window(
    sample: Array, view: Dataset, header: Any, ct_window: tuple[float, float], little_endian: bool
) -> Dataset | tuple[float, float]:
    """What turns values into brightness: a data set with a VOI LUT or window, or (lowest, highest) shown value."""
    candidates = []
    if view.get("VOILUTSequence"):
        lut = Dataset()
        lut.VOILUTSequence = view.VOILUTSequence
        candidates.append(lut)
    if own := _first_window(view):
        candidates.append(_window_dataset(*own, str(view.get("VOILUTFunction") or "LINEAR")))
    if not candidates and header.get("Modality") == "CT" and "RescaleSlope" in view:
        candidates.append(_window_dataset(*ct_window, "LINEAR"))
    for candidate in candidates:
        # Files with windows of zero width, broken tables, or that show one flat grey are not rare.
        try:
            shares = _shares(sample, candidate, little_endian)
        except Exception:
            continue
        if np.ptp(shares) > 0 or np.ptp(sample) == 0:
            return candidate
    return _modality_range(sample, view, header)


def _modality_range(sample: Array, view: Dataset, header: Any) -> tuple[float, float]:
    """(lowest, highest) shown value where the file names no window."""
    modality, bits = header.get("Modality"), int(header.get("BitsStored") or 16)
    if modality in _MADE_TO_BE_SEEN and bits <= 8 and "RescaleSlope" not in view and sample.dtype.kind == "u":
        return 0.0, 2.0**bits - 1
    low, high = _percentile_range(sample)
    if modality in _COUNTS and low >= 0:
        positive = sample[np.isfinite(sample) & (sample > 0)]
        if positive.size:
            return 0.0, max(high, float(np.percentile(positive, _COUNTS_PERCENTILE)))
    return low, high


def _first_window(view: Dataset) -> tuple[float, float] | None:
    """The first (centre, width) of the file, which may list several."""
    try:
        centre, width = (view[keyword].value for keyword in ("WindowCenter", "WindowWidth"))
        first = [float(value if isinstance(value, int | float | str) else value[0]) for value in (centre, width)]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return (first[0], first[1]) if np.isfinite(first).all() else None


def _window_dataset(centre: float, width: float, function: str) -> Dataset:
    window = Dataset()
    window.PhotometricInterpretation = "MONOCHROME2"
    window.BitsStored, window.PixelRepresentation = 16, 0
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = centre, width, function
    return window


def _shares(values: Array, window: Dataset | tuple[float, float], little_endian: bool) -> NDArray[np.float32]:
    """Brightness 0..1."""
    if isinstance(window, tuple):
        low, high = window
        shares = (np.nan_to_num(values.astype(np.float32), nan=low) - low) / (high - low)
    elif "VOILUTSequence" in window:
        table_values, highest = _looked_up(values, window.VOILUTSequence[0], little_endian)
        shares = table_values / np.float32(highest)
    else:
        shares = apply_windowing(np.nan_to_num(values), window) / _FULL
    clipped: NDArray[np.float32] = np.clip(shares, 0.0, 1.0).astype(np.float32)
    return clipped


def _percentile_range(sample: Array) -> tuple[float, float]:
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, _PERCENTILES))
    if low == high:  # a mask or a few bright points: the percentiles fall together
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


def _looked_up(values: Array, item: Any, little_endian: bool) -> tuple[Array, int]:
    """`values` through a modality or VOI table, and the highest value the table can give.

    pydicom's own `apply_voi` keeps the table index in 8 bits where the table's entries have 8: longer tables wrap.
    """
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    data = item.LUTData
    if isinstance(data, bytes):
        wide = len(data) >= 2 * (entries or 65536)
        table = np.frombuffer(data, (f"{'<' if little_endian else '>'}u2") if wide else "u1")
    else:
        table = np.atleast_1d(np.asarray(data))
    places = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    return table[places], 2**bits - 1


def _padding(stored: Array, header: Any) -> NDArray[np.bool_]:
    """Where the frame holds filling around the image instead of values."""
    value, limit = header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return np.zeros(stored.shape, np.bool_)
    ends = sorted((value, limit if isinstance(limit, int) else value))
    return (stored >= ends[0]) & (stored <= ends[1])


def _eight_bits(colours: Array, bits: int) -> NDArray[np.uint8]:
    """Colours of any depth as 8 bits, scaled by the depth the file declares."""
    if colours.dtype == np.uint8:
        return np.ascontiguousarray(colours)
    highest = float(2 ** max(bits, 8) - 1)
    levels = np.empty(colours.shape, np.uint8)
    for rows in _row_bands(colours.shape):
        levels[rows] = np.rint(np.clip(colours[rows] / highest, 0.0, 1.0) * 255)
    return levels


def _row_bands(shape: tuple[int, ...]) -> Iterator[slice]:
    rows = max(1, _BAND_PIXELS // shape[1])
    for top in range(0, shape[0], rows):
        yield slice(top, top + rows)


def _window_name(window: Dataset | tuple[float, float], view: Dataset) -> str:
    if isinstance(window, tuple):
        return f"range {window[0]:g}..{window[1]:g}"
    if "VOILUTSequence" in window:
        return "table of the file"
    origin = "of the file" if _first_window(view) else "preset"
    return f"centre {window.WindowCenter:g} width {window.WindowWidth:g} {origin}"
