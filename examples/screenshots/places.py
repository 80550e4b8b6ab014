"""Where pictures are taken: the real server before two sets of documents, and the pages that commands write."""

import json
import shutil
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

import uvicorn

from examples.sample_documents import QUERIES, queries_folder
from examples.scripted_llm import scripted_llm
from examples.two_hop_documents import write_documents
from vipylo_rag import MultimodalIndex
from vipylo_rag.evaluate import Dataset, evaluate, write_html
from vipylo_rag.graph.show import write_graph
from vipylo_rag.llm import load_llm
from vipylo_rag.server.app import create_app
from vipylo_rag.server.keys import Keys
from vipylo_rag.server.options import ServerOptions

# The files of `two_hop_documents` that are shown.
TWO_HOP_FILES = ("vanphong-*.pdf", "cang-*.pdf", "shop-*.pdf", "harbour-*.pdf")
ANSWER = (
    "Tiền thuê trả hai tháng một lần, **từ ngày 01 đến ngày 05** của tháng đầu kỳ [Chậm trả tiền thuê]. "
    "Kỳ 1 là 29.000.000 đồng, hạn 05/02/2026 [Lịch thanh toán năm thứ nhất].\n\n"
    "Nếu trả chậm [Chậm trả tiền thuê]:\n"
    "- quá 10 ngày: bên thuê chịu lãi **0,05% mỗi ngày** trên số tiền chậm trả;\n"
    "- quá 30 ngày: bên cho thuê có quyền **chấm dứt hợp đồng**."
)

Language = Literal["vi", "en"]
# Where a picture is taken: the server before the demo's documents or the two-hop ones, or a file made of the former.
Place = Literal["server", "linked", "graph", "evaluation"]


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


PLACES: Mapping[Place, Callable[[Path, Path, Path], AbstractContextManager[str]]] = {
    "server": _demo,
    "linked": _linked,
    "evaluation": _evaluation,
    "graph": _graph,
}
