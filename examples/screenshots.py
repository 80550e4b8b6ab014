"""Pictures for the docs: the web page, the page graph and the evaluation's report, seen in headless Chromium.

The web page is the real server's before the demo's documents, and before some of the two-hop questions' for mode graph.

python -m examples.screenshots [OUTDIR]     # from the root of a checkout, after `make demo`; OUTDIR is "docs/images"
"""

import argparse
import io
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pymupdf
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from examples.sample_documents import QUERIES, build, queries_folder
from examples.scripted_llm import scripted_llm
from examples.two_hop_documents import write_documents
from vipylo_rag import MultimodalIndex
from vipylo_rag.evaluate import Dataset, evaluate, write_html
from vipylo_rag.graph.show import write_graph
from vipylo_rag.llm import load_llm
from vipylo_rag.server.app import create_app
from vipylo_rag.server.keys import Keys
from vipylo_rag.server.options import ServerOptions

DESKTOP = (1440, 900)
PHONE = (360, 740)
LEASE = "tiền thuê nhà thanh toán ngày nào"
CHART = "electricity delivered grid month"
# The files of `two_hop_documents` that are shown, and of each language a question whose answer is on another page.
TWO_HOP_FILES = ("vanphong-*.pdf", "cang-*.pdf", "shop-*.pdf", "harbour-*.pdf")
TWO_HOPS = {
    "vi": "Người ta mang hai mươi ghế gấp mà phòng khám thú y mua tới đâu?",
    "en": "Where did they bring the tax adviser's steel cabinets?",
}
IN_GRAPH = {"vi": "Hợp đồng thuê căn hộ số", "en": "solar-park-report-2025.pdf"}
QUESTION = "Tiền thuê nhà thanh toán ngày nào, trả chậm thì sao?"
ANSWER = (
    "Tiền thuê trả hai tháng một lần, **từ ngày 01 đến ngày 05** của tháng đầu kỳ [Chậm trả tiền thuê]. "
    "Kỳ 1 là 29.000.000 đồng, hạn 05/02/2026 [Lịch thanh toán năm thứ nhất].\n\n"
    "Nếu trả chậm [Chậm trả tiền thuê]:\n"
    "- quá 10 ngày: bên thuê chịu lãi **0,05% mỗi ngày** trên số tiền chậm trả;\n"
    "- quá 30 ngày: bên cho thuê có quyền **chấm dứt hợp đồng**."
)

# A face that has all Vietnamese letters in bold too, where it is installed; PyMuPDF brings the Chinese ones.
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{folder}</dir><cachedir>{folder}/cache</cachedir>
{aliases}</fontconfig>"""
ALIAS = (
    '<match target="pattern"><test name="family"><string>{name}</string></test><edit name="family" mode="prepend" '
    'binding="strong"><string>DejaVu Sans Condensed</string><string>Droid Sans Fallback</string></edit></match>'
)


Language = Literal["vi", "en"]
# Where a picture is taken: the server before the demo's documents or the two-hop ones, or a file made of the former.
Place = Literal["server", "linked", "graph", "evaluation"]


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


def take(index: Path, documents: Path, out: Path, scenes: Sequence[Scene] = SCENES) -> list[Path]:
    """Take the pictures of a copy of an index, made of `documents`; returns the written files, at most 250 KB each.

    Raises:
        FileNotFoundError: there is no Chromium on this machine.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("no chromium on this machine: install it (apt install chromium)")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with ExitStack() as held:
        scratch = Path(held.enter_context(tempfile.TemporaryDirectory()))
        wanted = [place for place in _PLACES if place in {scene.place for scene in scenes}]
        playwright = held.enter_context(sync_playwright())
        environment = {**os.environ, "FONTCONFIG_FILE": str(_fonts(scratch))}
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], env=environment)
        held.callback(browser.close)
        for place in wanted:
            with _PLACES[place](index, documents, scratch) as url:
                for scene in (scene for scene in scenes if scene.place == place):
                    path = out / f"{scene.name}.webp"
                    written.append(_save(_taken(browser, scene, url, documents), path))
    return written


def _taken(browser: Browser, scene: Scene, url: str, documents: Path) -> bytes:
    width, height = scene.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if scene.size == PHONE else 1,
        is_mobile=scene.size == PHONE,
        has_touch=scene.size == PHONE,
        color_scheme="dark" if scene.dark else "light",
        locale={"vi": "vi-VN", "en": "en-GB"}[scene.language],
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    if scene.place in ("server", "linked"):
        page.locator("#search-state .start").wait_for()
    scene.play(page, documents)
    picture = page.screenshot()
    context.close()
    return picture


@contextmanager
def _copy(index: Path, scratch: Path) -> Iterator[MultimodalIndex]:
    """Each place has a copy of its own: uploads are not evaluated, and a new user's index has no graph."""
    folder = Path(tempfile.mkdtemp(dir=scratch)) / "demo"
    with MultimodalIndex.open(shutil.copytree(index, folder), create=False) as opened:
        yield opened


@contextmanager
def _demo(index: Path, _: Path, scratch: Path) -> Iterator[str]:
    """The server before the demo's documents."""
    with _copy(index, scratch) as copy, _served(copy) as url:
        yield url


@contextmanager
def _linked(_: Path, __: Path, scratch: Path) -> Iterator[str]:
    """The server before some of the two-hop documents and their graph."""
    write_documents(scratch / "two-hop-documents")
    files = [file for names in TWO_HOP_FILES for file in sorted((scratch / "two-hop-documents").glob(names))]
    with MultimodalIndex.open(scratch / "two-hop") as index:
        index.ingest(files)
        index.build_graph()
        with _served(index) as url:
            yield url


@contextmanager
def _graph(index: Path, _: Path, scratch: Path) -> Iterator[str]:
    """The page of `vipylo graph show`."""
    with _copy(index, scratch) as copy:
        copy.build_graph()
        file = write_graph(copy, scratch / "graph.html").file
    yield file.as_uri()


@contextmanager
def _evaluation(index: Path, documents: Path, scratch: Path) -> Iterator[str]:
    """The page of `vipylo evaluate --html`, of the demo's questions."""
    folder = shutil.copytree(queries_folder(documents), scratch / "demo-questions")
    lines = [
        json.dumps({"_id": query.name, "text": query.text or "", **({"image": query.image} if query.image else {})})
        for query in QUERIES
    ]
    (folder / "queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
    judged = [f"{query.name}\t{name}#{page}\t1" for query in QUERIES for name, page in query.expected]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("\n".join(judged), encoding="utf-8")
    dataset = Dataset.load(folder, corpus=False)
    with _copy(index, scratch) as copy:
        result = evaluate(copy, dataset, modes=["hybrid", "dense", "lexical"])
        write_html(scratch / "evaluation.html", result, dataset, copy)
    yield (scratch / "evaluation.html").as_uri()


@contextmanager
def _served(index: MultimodalIndex) -> Iterator[str]:
    with (
        scripted_llm("qwen2-vl-7b", ANSWER) as llm,
        socket.socket() as listening,
    ):
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = create_app(index, ServerOptions(), Keys.of({}), llm=load_llm(llm))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=3))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while True:
                try:
                    urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
                    break
                except OSError:
                    if not thread.is_alive():
                        raise
                    time.sleep(0.1)
            yield url
        finally:
            server.should_exit = True
            thread.join()


_PLACES: Mapping[Place, Callable[[Path, Path, Path], AbstractContextManager[str]]] = {
    "server": _demo,
    "linked": _linked,
    "evaluation": _evaluation,
    "graph": _graph,
}


def _fonts(scratch: Path) -> Path:
    folder = scratch / "fonts"
    folder.mkdir()
    (folder / "cjk.ttf").write_bytes(pymupdf.Font("cjk").buffer)
    aliases = "".join(ALIAS.format(name=name) for name in ("system-ui", "sans-serif"))
    configuration = folder / "fonts.conf"
    configuration.write_text(FONTS.format(folder=folder, aliases=aliases), encoding="utf-8")
    return configuration


def _settled(page: Page, selector: str) -> None:
    """Wait for an element and for all pictures in sight."""
    page.locator(selector).first.wait_for()
    page.evaluate(
        "Promise.all([...document.images].filter((one) => one.src && one.checkVisibility()"
        " && one.getBoundingClientRect().top < innerHeight).map((one) => one.decode()))"
    )
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(200)


def _save(picture: bytes, path: Path) -> Path:
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").save(path, quality=88, method=6)
    return path


def main() -> None:
    """Take all pictures; the demo's index is made first where there is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path("docs/images"), help="where the pictures are written")
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder of the demo")
    arguments = parser.parse_args()
    documents, index = arguments.demo / "documents", arguments.demo / "index"
    if not index.exists():
        build(documents)
        with MultimodalIndex.open(index) as made:
            made.ingest(documents)
    for path in take(index, documents, arguments.out):
        sys.stdout.write(f"{path} ({path.stat().st_size // 1000} kB)\n")


if __name__ == "__main__":
    main()
