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


def orientation(image: Image.Image) -> int:
    """EXIF orientation (1-8) of a picture, as far as its header tells it; 1 where the data are missing or broken.

    Pillow's `getexif` decodes a whole PNG to look behind its pixels, and `exif_transpose` asks it: a plan by sizes must
    stay free of decoding, and the plan and the pixels must agree.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # broken EXIF data are no reason to lose the picture
        return 1
