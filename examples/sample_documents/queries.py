"""The demo's questions: words, pictures, and pictures with words, each with the pages that answer it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoQuery:
    """One question to the sample documents.

    Args:
        name: Short name, unique.
        text: The words asked; None for a picture alone.
        image: File name in the folder of query pictures; None for words alone.
        expected: The right answers, as (file name, page number from 1). Any of them is right.
    """

    name: str
    text: str | None
    image: str | None
    expected: tuple[tuple[str, int], ...]

    @property
    def kind(self) -> str:
        """`text`, `image` or `mixed`."""
        if self.image is None:
            return "text"
        return "image" if self.text is None else "mixed"


QUERIES: tuple[DemoQuery, ...] = (
    DemoQuery(
        "vi-deposit",
        "tiền đặt cọc thuê căn hộ là bao nhiêu, khi nào được hoàn trả?",
        None,
        (("hop-dong-thue-can-ho.pdf", 3),),
    ),
    DemoQuery(
        "vi-noodles",
        "bún cá lóc, lẩu mắm miền Tây: giá bao nhiêu?",
        None,
        (("thuc-don-sen-ho.pdf", 3),),
    ),
    DemoQuery(
        "vi-playground",
        "tổ dân phố biểu quyết dời cầu trượt ở sân chơi trẻ em",
        None,
        (("bien-ban-hop-to-dan-pho.md", 1),),
    ),
    DemoQuery(
        "en-best-month",
        "Which month had the highest monthly output of the solar park?",
        None,
        (("solar-park-report-2025.pdf", 2),),
    ),
    DemoQuery(
        "en-brake-pads",
        "how do I replace the brake pads of the cargo bicycle",
        None,
        (("cargo-ebike-manual.pdf", 6),),
    ),
    DemoQuery(
        "en-robots",
        "why did the picking robots stop in hall 3",
        None,
        (("incident-review.txt", 1),),
    ),
    DemoQuery(
        "zh-filter",
        "净水器滤芯的更换周期是多久？",
        None,
        (("water-purifier-manual-zh.pdf", 3),),
    ),
    DemoQuery(
        "zh-budget",
        "短视频直播占 2026 年渠道预算多少",
        None,
        (("tea-plan-2026-zh.pdf", 6),),
    ),
    DemoQuery("image-invoice", None, "invoice-copy.jpg", (("hoa-don-in-an.jpg", 1),)),
    DemoQuery("image-roof", None, "roof-letter.jpg", (("ho-so-thu-vien.tif", 3),)),
    DemoQuery("image-poster", None, "poster-on-wall.jpg", (("safety-poster-zh.png", 1),)),
    DemoQuery("image-ct", None, "ct-other-window.png", (("ct-small.dcm", 1),)),
    DemoQuery(
        "mixed-prices",
        "bảng giá năm 2026",
        "pots-2024.jpg",
        (("bang-gia-gom.pdf", 3),),
    ),
    DemoQuery(
        "mixed-error-code",
        "error code E11, battery not recognised",
        "ebike-drawing.jpg",
        (("cargo-ebike-manual.pdf", 8),),
    ),
    DemoQuery(
        "mixed-roadmap",
        "冷泡白茶上市路线图",
        "tea-products.jpg",
        (("tea-plan-2026-zh.pdf", 7),),
    ),
)
