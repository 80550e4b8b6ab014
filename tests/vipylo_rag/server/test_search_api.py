"""Search over HTTP: by text, by picture, by both; filters; what is refused."""

from tests.vipylo_rag.server.conftest import RunningServer


def test_text_finds_the_page_that_says_it(server: RunningServer) -> None:
    first = server.search("tiền đặt cọc", top_k=3)[0]
    assert (first["name"], first["page"], first["rank"]) == ("thuê nhà.pdf", 1, 1)
