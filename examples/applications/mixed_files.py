"""A folder of mixed documents, in memory: printed notices in one language, coloured things and drawn radiographs."""

from dataclasses import dataclass

from PIL import Image

from examples.applications.drawn import BONES, COLORS, FINDINGS, SHAPES, radiograph, thing
from examples.applications.notices import notices
from examples.sample_documents.canvas import Language


@dataclass(frozen=True)
class File:
    """A file: its true kind, its text ("" for a picture alone), and its picture (None for text alone)."""

    kind: str
    text: str
    picture: Image.Image | None
    shown: Image.Image


def mixed_files(each: int = 8, seed: int = 3, language: Language = "vi") -> list[File]:
    """`each` files of each of seven kinds: notices of five (a third text, a third pictures with text, a third pictures
    with half of their text), things, and radiographs."""
    files = []
    for row, one in enumerate(notice for notice in notices(each, seed) if notice.language == language):
        text = " ".join(one.sentences[:3]) if row % 3 == 2 else one.text
        files.append(File(one.kind, text, None if row % 3 == 0 else one.picture, one.picture))
    for row in range(each):
        color, shape = list(COLORS)[row % len(COLORS)], SHAPES[row % len(SHAPES)]
        drawn = (thing(shape, color, seed + row), radiograph(BONES[row % 4], FINDINGS[row % 3], seed + row))
        files += [
            File(kind, "", picture, picture) for kind, picture in zip(("things", "radiographs"), drawn, strict=True)
        ]
    return files
