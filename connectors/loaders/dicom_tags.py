"""What of a DICOM file's elements may leave it: a short list that names no one, and what the user asks for by name."""

import hashlib
import re
from typing import Any

import numpy as np

from embedder.errors import InputError

# Free text (descriptions, comments, code meanings) may hold names, so there is none of it here.
TAGS = (
    "SOPClassUID", "Modality", "BodyPartExamined", "ViewPosition", "BurnedInAnnotation", "ConversionType",
    "ImageLaterality", "Laterality", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient",
)  # fmt: skip
# A coded word of DICOM (VR CS). What does not look like one is not passed on.
_CODE = re.compile(r"[A-Z0-9_][A-Z0-9_ ]{0,15}")
_CODED = {
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "view_position": "ViewPosition",
    "burned_in_annotation": "BurnedInAnnotation",
}
_NUMBERS = {"series_number": "SeriesNumber", "instance_number": "InstanceNumber"}
_UIDS = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
_PLANES = ("sagittal", "coronal", "axial")
_NO_VALUES = {"SQ", "OB", "OW", "OB or OW", "OD", "OF", "OL", "OV", "UN"}
# Machines that write the patient's name into the picture, and pictures of screens and papers.
_WRITTEN_ON = {"US", "IVUS", "ES", "XC", "SC", "OT", "DOC"}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def asked_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """The keywords of elements that the user wants in the metadata, checked.

    Raises:
        InputError: one is no DICOM keyword, or names what is no text or number.
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    for keyword in tags:
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise InputError(f"no DICOM element is called {keyword!r} (as in 'StudyDescription')")
        if dictionary_VR(tag) in _NO_VALUES:
            raise InputError(f"the DICOM element {keyword!r} holds no text or number")
    return tuple(tags)


def file_metadata(header: Any, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    """Metadata that hold for all frames of a file: what kind of picture, where in which series, and warnings.

    `series` and `study` are hashes of the file's UIDs: equal within a series, of no use for looking a patient up
    without the files. Pages of a series stand in order by (`slice_position`, `instance_number`).
    """
    metadata: dict[str, Any] = {}
    for key, keyword in _CODED.items():
        if word := _code(header, keyword):
            metadata[key] = word
    if side := _code(header, "ImageLaterality") or _code(header, "Laterality"):
        metadata["laterality"] = side
    for key, keyword in _UIDS.items():
        if uid := str(header.get(keyword) or "").strip():
            metadata[key] = hashlib.sha256(uid.encode()).hexdigest()[:16]
    for key, keyword in _NUMBERS.items():
        if (number := _whole(header, keyword)) is not None:
            metadata[key] = number
    metadata |= slice_metadata(header.get("ImagePositionPatient"), header.get("ImageOrientationPatient"))
    if warning := _burned_in(header):
        metadata["warning"] = warning
    for keyword in tags:
        if value := _plain(header, keyword):
            metadata[snake_case(keyword)] = value
    return metadata


def slice_metadata(position: Any, orientation: Any) -> dict[str, Any]:
    """The plane of a slice and its place along the plane's normal, in mm; nothing where the file does not say."""
    try:
        corner = np.array([float(value) for value in position])
        axes = np.array([float(value) for value in orientation])
    except (TypeError, ValueError):
        return {}
    if corner.shape != (3,) or axes.shape != (6,) or not np.isfinite([*corner, *axes]).all():
        return {}
    normal = np.cross(axes[:3], axes[3:])
    length = float(np.linalg.norm(normal))
    if length < 0.5:
        return {}
    direction = normal / length
    main = int(np.argmax(np.abs(direction)))
    # Along the patient's left, back and head: slices of one plane are counted from the same end.
    place = float(corner @ direction) * (1.0 if direction[main] > 0 else -1.0)
    return {"plane": _PLANES[main], "slice_position": round(place, 3)}


def _burned_in(header: Any) -> str | None:
    stated = _code(header, "BurnedInAnnotation")
    if stated == "YES":
        return "the picture shows written data, maybe the patient's name"
    secondary = str(header.get("SOPClassUID") or "").startswith(_SECONDARY_CAPTURE) or "ConversionType" in header
    if stated != "NO" and (secondary or _code(header, "Modality") in _WRITTEN_ON):
        return "the picture may show written data such as the patient's name; the file does not say"
    return None


def _code(header: Any, keyword: str) -> str | None:
    try:
        word = str(header.get(keyword) or "").strip()
    except Exception:  # pydicom parses values when they are asked for
        return None
    return word if _CODE.fullmatch(word) else None


def _whole(header: Any, keyword: str) -> int | None:
    try:
        return int(header.get(keyword))
    except Exception:
        return None


def _plain(header: Any, keyword: str) -> str | int | float | None:
    try:
        value = header.get(keyword)
        if isinstance(value, float):
            return float(value) if np.isfinite(float(value)) else None
        if isinstance(value, int):
            return int(value)
        many = getattr(value, "__iter__", None) is not None and not isinstance(value, str | bytes)
        text = ", ".join(map(str, value)) if many and not hasattr(value, "components") else str(value or "")
    except Exception:
        return None
    return " ".join(text.replace("^", " ").split())[:1000] or None


def snake_case(keyword: str) -> str:
    """A keyword as a metadata key: "StudyDescription" is "study_description"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", keyword).lower()
