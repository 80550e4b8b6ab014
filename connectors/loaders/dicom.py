"""Reads DICOM images: rendered as a viewer shows them, private by default.

Only elements on a short list are read from the file at all; names, dates and numbers of patients never enter memory.
"""

import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, Loader, PageFailure, described
from connectors.loaders.dicom_tags import TAGS, asked_tags, file_metadata, slice_metadata, snake_case
from connectors.loaders.picture import MAX_PAGE_PIXELS
from connectors.page import Page

# All that is read, beside what the user asks for: to show the picture, and what may be told of it.
_READ_TAGS = (
    *TAGS,
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "VOILUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData",
)  # fmt: skip
_DEFLATED = "1.2.840.10008.1.2.1.99"
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_DICOMDIR = "1.2.840.10008.1.3.10"
_SIZ_MARKER = b"\xff\x4f\xff\x51"
_CHUNK = 1 << 20
_DECODER_HINT = "; save it uncompressed with another tool (pylibjpeg-libjpeg may read it, but is GPL)"

Array = np.ndarray[Any, np.dtype[Any]]


class DICOMLoader(Loader):
    """DICOM files as pages, one for each frame: windowed as the file says, RGB, text such as "CT CHEST".

    Args:
        ct_window: for CT images without a window: "soft tissue", "lung", "bone", "brain", or (centre, width) in HU.
        max_frames: more frames than this are sampled evenly; the metadata then hold `frames_read` beside `frames`.
        tags: keywords of further elements for metadata and text, as ("StudyDescription",). They may name the patient.
        max_pixels: larger pictures are shrunk to this many pixels.
        max_image_pixels: frames of more pixels are refused before anything is decoded.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".dcm", ".dicom", ".dic")
    kind: ClassVar[str] = "dicom"

    def __init__(
        self,
        *,
        ct_window: str | tuple[float, float] = "soft tissue",
        max_frames: int = 32,
        tags: Sequence[str] = (),
        max_pixels: int = MAX_PAGE_PIXELS,
        max_image_pixels: int = 100_000_000,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        from connectors.loaders.dicom_display import ct_preset

        super().__init__(image_dir=image_dir, image_format=image_format)
        self.ct_window = ct_preset(ct_window)
        self.max_frames = max_frames
        self.tags = asked_tags(tuple(tags))
        self.max_pixels = max_pixels
        self.max_image_pixels = max_image_pixels

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether `head` has DICOM's mark after its 128 free bytes."""
        return head[128:132] == b"DICM"

    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield one page for each frame; a bad frame among others is a `PageFailure`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header, syntax, total = self._header(path, source)
        chosen = _evenly(total, self.max_frames)
        shared = file_metadata(header, self.tags)
        if total > 1:
            shared["frames"] = total
        if len(chosen) < total:
            shared["frames_read"] = len(chosen)
        for index in (index for index in chosen if index >= first - 1):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    page = self._frame(path, header, syntax, index, source, shared)
                yield page
            except DocumentError as error:
                if total == 1:
                    raise
                yield PageFailure(source, index + 1, str(error).removeprefix(f"{source}: "))

    def _header(self, path: Path, source: str) -> tuple[Any, str, int]:
        """The listed elements, the transfer syntax and the number of frames, all checked; no pixels."""
        import pydicom
        from pydicom.uid import UID

        try:
            self._check_deflated(path, source)
            header = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=[*_READ_TAGS, *self.tags])
            sop_class = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
            syntax = str(header.file_meta.get("TransferSyntaxUID") or "")
            rows, columns = _count(header, "Rows", 0), _count(header, "Columns", 0)
            total = _count(header, "NumberOfFrames", 1)
        except DocumentError:
            raise
        except Exception as error:
            raise DocumentError(f"{source}: is no readable DICOM file: {type(error).__name__}") from error
        if not header and sop_class is None:
            raise DocumentError(f"{source}: is no DICOM file")
        if not rows or not columns:
            what = UID(str(sop_class)).name if sop_class else "of unknown class"
            if sop_class == _DICOMDIR:
                raise DocumentError(f"{source}: is a DICOMDIR and has no image; index the image files it lists")
            raise DocumentError(f"{source}: has no image (DICOM object: {what})")
        if rows * columns > self.max_image_pixels:
            raise self._too_large(source, rows, columns)
        if problem := _decoder_problem(syntax):
            raise DocumentError(f"{source}: {problem}")
        return header, syntax, total

    def _frame(self, path: Path, header: Any, syntax: str, index: int, source: str, shared: dict[str, Any]) -> Page:
        from connectors.loaders.dicom_display import display

        try:
            self._check_codestream(path, header, syntax, index, source)
            image, window = display(
                _pixels(path, header, syntax, index), header, index, self.ct_window, self.max_pixels
            )
        except DocumentError:
            raise
        except Exception as error:  # pydicom and its codecs raise whatever the broken file leads them to
            if "no pixel data" in str(error):
                raise DocumentError(f"{source}: has no image (its pixels were left out)") from error
            hint = _DECODER_HINT if "all available plugins" in str(error) else ""
            raise DocumentError(f"{source}: the pixels cannot be decoded: {described(error)}{hint}") from error
        metadata = {**shared, **_frame_slice(header, index), "window": window}
        words = [metadata[key] for key in ("modality", "body_part") if key in metadata]
        text = "\n".join(
            [" ".join(words), *(str(metadata[key]) for key in map(snake_case, self.tags) if key in metadata)]
        )
        return self.make_page(source, index + 1, text, image, metadata)

    def _check_codestream(self, path: Path, header: Any, syntax: str, index: int, source: str) -> None:
        """Refuse a compressed frame whose own header says another, huge size: codecs believe that one."""
        from pydicom import dcmread
        from pydicom.encaps import get_frame
        from pydicom.uid import UID

        if not syntax or syntax in (_DEFLATED, _DEFLATED_FRAMES) or not UID(syntax).is_compressed:
            return
        with path.open("rb") as file:
            dcmread(file, force=True, stop_before_pixels=True, specific_tags=["Rows"])
            file.seek(12, 1)  # tag, VR, length: encapsulated pixel data always have explicit VR
            total = _count(header, "NumberOfFrames", 1)
            size = codestream_size(get_frame(file, index, number_of_frames=total))
        if size and size[0] * size[1] > self.max_image_pixels:
            raise self._too_large(source, size[1], size[0])

    def _check_deflated(self, path: Path, source: str) -> None:
        """Refuse a deflated data set that would inflate to more than the largest image; inflate it piece by piece."""
        from pydicom.filereader import read_file_meta_info

        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return
            meta = read_file_meta_info(path)
            if meta.get("TransferSyntaxUID") != _DEFLATED:
                return
            file.seek(144 + meta.FileMetaInformationGroupLength)
            inflater, inflated, most = zlib.decompressobj(-zlib.MAX_WBITS), 0, 8 * self.max_image_pixels
            while (chunk := inflater.unconsumed_tail or file.read(_CHUNK)) and not inflater.eof:
                inflated += len(inflater.decompress(chunk, _CHUNK))
                if inflated > most:
                    raise DocumentError(f"{source}: decompression bomb? inflates to over {most / 1e6:,.0f} MB; refused")

    def _too_large(self, source: str, rows: int, columns: int) -> DocumentError:
        return DocumentError(
            f"{source}: decompression bomb? {columns}x{rows} pixels = {rows * columns / 1e6:,.0f} MP, over the limit "
            f"of {self.max_image_pixels / 1e6:,.0f} MP; refused (raise max_image_pixels of the dicom loader)"
        )


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """(width, height) that a JPEG, JPEG-LS or JPEG 2000 frame's own header declares; None where none is found."""
    start = frame[:256].find(_SIZ_MARKER)
    if start >= 0 and len(frame) >= start + 24:
        x1, y1, x0, y0 = (int.from_bytes(frame[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
        return x1 - x0, y1 - y0
    place = 2
    while frame[:2] == b"\xff\xd8" and place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height = int.from_bytes(frame[place + 5 : place + 7], "big")
            return int.from_bytes(frame[place + 7 : place + 9], "big"), height
        place += 1 if marker == 0xFF else 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    return None


def _pixels(path: Path, header: Any, syntax: str, index: int) -> Array:
    """Frame `index`, decoded alone: [rows, columns] or [rows, columns, samples]; YBR comes as RGB."""
    from pydicom import dcmread, uid
    from pydicom.pixels import pixel_array

    if syntax == _DEFLATED_FRAMES:
        return _inflated_frame(path, header, index)
    if syntax and syntax != _DEFLATED and header.preamble:
        from_file: Array = pixel_array(path, index=index)
        return from_file
    # pydicom reads single frames neither from deflated files nor from those without preamble or meta information.
    dataset = dcmread(path, force=True, specific_tags=[*_READ_TAGS, "PixelData"])
    if not syntax:
        implicit, little = dataset.original_encoding
        native = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else native
    from_data: Array = pixel_array(dataset, index=index)
    return from_data


def _inflated_frame(path: Path, header: Any, index: int) -> Array:
    """A frame of the transfer syntax that deflates each frame by itself, which pydicom does not read."""
    from pydicom import dcmread, uid
    from pydicom.encaps import get_frame
    from pydicom.pixels import pixel_array

    dataset = dcmread(path, force=True, specific_tags=[*_READ_TAGS, "PixelData"])
    packed = get_frame(dataset.PixelData, index, number_of_frames=_count(header, "NumberOfFrames", 1))
    bits = header.Rows * header.Columns * header.SamplesPerPixel * header.BitsAllocated
    frame = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, -(-bits // 8))
    dataset.NumberOfFrames = 1
    dataset.PixelData = frame + bytes(len(frame) % 2)
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    decoded: Array = pixel_array(dataset, index=0)
    return decoded


def _frame_slice(header: Any, index: int) -> dict[str, Any]:
    """The place of one frame of a volume, which says it for each frame."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    groups = [*per_frame[index : index + 1], *shared[:1]]
    positions = [group.PlanePositionSequence[0] for group in groups if group.get("PlanePositionSequence")]
    orientations = [group.PlaneOrientationSequence[0] for group in groups if group.get("PlaneOrientationSequence")]
    if not positions or not orientations:
        return {}
    return slice_metadata(positions[0].get("ImagePositionPatient"), orientations[0].get("ImageOrientationPatient"))


def _decoder_problem(syntax: str) -> str | None:
    """Why pixels in this transfer syntax cannot be decoded here; None where they can, or where it is not known."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    if not syntax or syntax == _DEFLATED_FRAMES:
        return None
    uid = UID(syntax)
    try:
        decoder = get_decoder(uid)
    except NotImplementedError:
        return f"its pixels are stored as {uid.name!r}, which cannot be decoded; save it uncompressed with another tool"
    if decoder.is_available:
        return None
    return f"its pixels are stored as {uid.name!r}, for which no decoder is installed{_DECODER_HINT}"


def _count(header: Any, keyword: str, default: int) -> int:
    """An element that should hold one positive number; broken files leave it empty, doubled or as text."""
    try:
        number = int(header.get(keyword))
    except (TypeError, ValueError):
        return default
    return number if number > 0 else default


def _evenly(total: int, most: int) -> list[int]:
    """At most `most` of the indices 0..total-1, first and last among them."""
    if total <= most:
        return list(range(total))
    return sorted({round(step * (total - 1) / max(1, most - 1)) for step in range(most)})
