"""EXIF orientation: how a picture must be turned to stand upright. Imports nothing heavy: reader processes use it."""

from PIL import Image

ORIENTATION_TAG = 0x0112

# Orientation (EXIF 2.32, tag 0x0112) -> the turn that undoes it; 1 and unknown values need none.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
