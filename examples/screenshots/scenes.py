"""The pictures that are taken: where, how large, in which language, and what is done before each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from playwright.sync_api import Page

from examples.sample_documents import QUERIES, queries_folder
from examples.screenshots.places import Language, Place

DESKTOP = (1440, 900)
PHONE = (360, 740)
LEASE = "tiền thuê nhà thanh toán ngày nào"
CHART = "electricity delivered grid month"
# Of each language a question to the two-hop documents whose answer is on another page.
TWO_HOPS = {
    "vi": "Người ta mang hai mươi ghế gấp mà phòng khám thú y mua tới đâu?",
    "en": "Where did they bring the tax adviser's steel cabinets?",
}
IN_GRAPH = {"vi": "Hợp đồng thuê căn hộ số", "en": "solar-park-report-2025.pdf"}
QUESTION = "Tiền thuê nhà thanh toán ngày nào, trả chậm thì sao?"


@dataclass(frozen=True)
class Scene:
    """A picture to take: where, in which of the interface's languages, and what to do there before it is taken."""

    name: str
    size: tuple[int, int]
    dark: bool
    play: Callable[[Page, Path], None]
    language: Language = "vi"
    place: Place = "server"


def search(page: Page, documents: Path) -> None:
    """Words and a picture together."""
    query = next(query for query in QUERIES if query.name == "mixed-prices")
    page.fill("#query", str(query.text))
    page.set_input_files("#search-pictures + input", queries_folder(documents) / str(query.image))
    _settled(page, "#grid .card")


def search_words(page: Page, _: Path, words: str = LEASE) -> None:
    """Words alone."""
    page.fill("#query", words)
    page.press("#query", "Enter")
    _settled(page, "#grid .card")


def along_the_graph(page: Page, documents: Path, language: Language) -> None:
    """Mode graph: the pages that the best one leads to, and over what."""
    page.check("#mode-graph input")
    search_words(page, documents, TWO_HOPS[language])
    page.locator(".via").first.wait_for()


def graph_page(page: Page, _: Path, language: Language) -> None:
    """A node chosen on the page of the graph."""
    page.fill("#query", IN_GRAPH[language])
    page.locator("#found .item", has_text=IN_GRAPH[language]).first.click()
    page.fill("#query", "")
    page.locator("#details .item").first.wait_for()
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)  # it moves to what is chosen, and draws pictures as they come


def report(page: Page, _: Path, language: Language) -> None:
    """The evaluation's tables."""
    page.check(f"#in-{language}", force=True)
    _settled(page, "main table")


def page_with_heat_map(page: Page, documents: Path, words: str = LEASE) -> None:
    """The best page of a search, with its heat map."""
    search_words(page, documents, words)
    page.locator("#grid .card").first.click()
    _settled(page, "#panel-why .score-value")


def upload(page: Page, documents: Path, month: int = 3) -> None:
    """An upload in which one file is broken; what was uploaded before is of another month."""
    page.click("#tab-documents")
    invoice = (documents / "hoa-don-in-an.jpg").read_bytes()
    menu = (documents / "thuc-don-sen-ho.pdf").read_bytes()
    page.set_input_files(
        "#files-input",
        [
            {"name": f"hóa đơn tháng {month}.jpg", "mimeType": "image/jpeg", "buffer": invoice},
            {"name": f"báo giá tháng {month} (hỏng).pdf", "mimeType": "application/pdf", "buffer": menu[:700]},
            {"name": f"thực đơn tiệc tháng {month}.pdf", "mimeType": "application/pdf", "buffer": menu},
        ],
    )
    page.locator(".upload header button").wait_for()  # "hide": the upload has come to its end
    _settled(page, ".document")


def ask(page: Page, _: Path) -> None:
    """An answer with its sources."""
    page.click("#tab-ask")
    page.fill("#question", QUESTION)
    page.press("#question", "Enter")
    page.get_by_role("button", name="Sao chép").wait_for()
    _settled(page, ".source")


def cited(page: Page, documents: Path) -> None:
    """The page that a citation opens, with its passage."""
    ask(page, documents)
    page.locator(".answer-text .cite").first.click()
    _settled(page, "#panel-why .score-value")


def _settled(page: Page, selector: str) -> None:
    """Wait for an element and for all pictures in sight."""
    page.locator(selector).first.wait_for()
    page.evaluate(
        "Promise.all([...document.images].filter((one) => one.src && one.checkVisibility()"
        " && one.getBoundingClientRect().top < innerHeight).map((one) => one.decode()))"
    )
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(200)


SCENES = (
    Scene("search", DESKTOP, False, search, "en"),
    Scene("page", DESKTOP, False, partial(page_with_heat_map, words=CHART), "en"),
    Scene("search-vi", DESKTOP, False, search),
    Scene("search-dark-vi", DESKTOP, True, search_words),
    Scene("page-vi", DESKTOP, False, page_with_heat_map),
    Scene("page-dark-vi", DESKTOP, True, page_with_heat_map),
    Scene("ask-vi", DESKTOP, False, ask),
    Scene("citation-vi", DESKTOP, False, cited),
    Scene("phone-search-vi", PHONE, False, search),
    Scene("phone-page-dark-vi", PHONE, True, page_with_heat_map),
    Scene("phone-ask-vi", PHONE, False, ask),
    *(
        Scene(f"{name}{suffix}", DESKTOP, False, partial(play, language=language), language, place)
        for language, suffix in (("en", ""), ("vi", "-vi"))
        for name, play, place in (
            ("graph-mode", along_the_graph, "linked"),
            ("evaluation", report, "evaluation"),
            ("graph", graph_page, "graph"),
        )
    ),
    # What changes the documents comes last.
    Scene("upload-vi", DESKTOP, False, upload),
    Scene("phone-upload-dark-vi", PHONE, True, partial(upload, month=4)),
)
