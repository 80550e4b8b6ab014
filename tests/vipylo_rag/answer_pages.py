"""Pages to answer from, without an index: hits with texts, word boxes and pictures of their own."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from connectors.loaders.words import save_words
from connectors.page import WordBox
from vipylo_rag.search import Hit

DEPOSIT = "Điều 4. Tiền đặt cọc\nTiền đặt cọc là 29.000.000 đồng. Bên A hoàn trả tiền đặt cọc trong vòng 7 ngày."
BRAKES = "Brakes\nNew brake pads are 2.2 mm thick. Check the pads every 500 km."
FILTER = "滤芯更换\n反渗透膜的更换周期是二十四个月。活性炭每十二个月更换一次。"


def page(text: str, folder: Path, number: int = 1, source: str = "a.pdf", picture: bool = True) -> Hit:
    """A page whose words stand in a row per line, each with its box."""
    image = folder / f"{source}-{number}.png"
    if picture:
        Image.new("RGB", (300, 400), "white").save(image)
    lines = text.splitlines()
    boxes = [
        WordBox(word, column / 40, row / 50, (column + 1) / 40, (row + 1) / 50)
        for row, line in enumerate(lines)
        for column, word in enumerate(line.split())
    ]
    words = save_words([box for box in boxes if box.x1 <= 1 and box.y1 <= 1], folder) if text else None
    return Hit(
        id=f"{source}-{number}", score=1 / number, source=f"/documents/{source}", page=number, kind="pdf", text=text,
        image_path=image if picture else None, words_path=words,
    )  # fmt: skip


def pages(folder: Path, texts: Sequence[str] = (DEPOSIT, BRAKES, FILTER)) -> list[Hit]:
    """One page of each text, numbered from 1."""
    return [page(text, folder, number) for number, text in enumerate(texts, start=1)]
