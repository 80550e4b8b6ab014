"""A page by its id: the one that was found, and nobody else's."""

from pathlib import Path

import pytest

from tests.vipylo_rag.conftest import write_pdf
from vipylo_rag import InputError, MultimodalIndex


def test_a_page_by_its_id_is_the_page_that_was_found(filled: MultimodalIndex) -> None:
    for found in filled.search("hợp đồng", top_k=3):
        page = filled.page(found.id)
        assert page.score == 0
        assert (page.id, page.source, page.page, page.text, page.metadata, page.words) == (
            found.id,
            found.source,
            found.page,
            found.text,
            found.metadata,
            found.words,
        )
        assert page.image_path == found.image_path


def test_another_tenant_s_page_is_as_unknown_as_none(index: MultimodalIndex, tmp_path: Path) -> None:
    index.ingest(write_pdf(tmp_path / "a.pdf", ["hợp đồng"]), tenant="anna")
    [mine] = index.search("hợp đồng", tenant="anna")
    assert index.page(mine.id, tenant="anna").source == mine.source
    messages = set()
    for id_, tenant in [(mine.id, ""), (mine.id, "ben"), ("0" * 8 + "-0000-0000-0000-" + "0" * 12, "anna")]:
        with pytest.raises(InputError, match="no page has the id") as caught:
            index.page(id_, tenant=tenant)
        messages.add(str(caught.value).replace(id_, "ID"))
    assert len(messages) == 1


@pytest.mark.parametrize("id_", ["", "a.pdf", "1", "{0}", "../../etc/passwd", "\x00"])
def test_what_is_no_id_is_refused_in_our_words(filled: MultimodalIndex, id_: str) -> None:
    with pytest.raises(InputError, match="no page has the id"):
        filled.page(id_)
