"""HTML, e-books and mails: what a person would read of them, and nothing fetched, hidden or private to a key."""

import base64
import io
import tracemalloc
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import Loader
from connectors.loaders.blocks import Block
from connectors.loaders.epub import EPUBLoader
from connectors.loaders.html import HTMLLoader, data_picture, html_blocks, html_text
from connectors.loaders.mail import MailLoader
from connectors.loaders.registry import loader_for
from connectors.page import Page


def picture(colour: str = "red", size: tuple[int, int] = (80, 60)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def read(loader: Loader, path: Path, data: bytes | str) -> list[Page]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return [page for page in loader.pages(path, source="s") if isinstance(page, Page)]


PAGE = """<!DOCTYPE html><html><head><title> Báo cáo </title><style>p {color: red}</style></head><body>
<script>alert('no')</script><h1>Lao <b>động</b></h1><p>Một
 đoạn<br>hai dòng</p><div hidden>hidden one</div><p style="display: none">hidden two</p><!-- a comment -->
<ul><li>một<ul><li>trong</li></ul></li><li>hai</li></ul><ol><li>first<li>second</ol>
<table><tr><th>Điều</th><th>Số</th></tr><tr><td>劳动</td><td>2</td></tr></table>
<table><tr><td><h2>Layout</h2><p>inside a table</p></td></tr></table>
<pre>x =  1
  y</pre><img src="http://192.0.2.1/a.png" alt="a chart"><input type="hidden" value="secret"></body></html>"""


def test_html_as_a_person_sees_it(tmp_path: Path) -> None:
    (page,) = read(HTMLLoader(), tmp_path / "a.html", PAGE)
    assert page.text == (
        "Lao động\n\nMột đoạn\nhai dòng\n\n- một\n\n  - trong\n\n- hai\n\n- 1. first\n\n- 2. second\n\n"
        "Điều | Số\n劳动 | 2\n\nLayout\n\ninside a table\n\nx =  1\n  y\n\n[a chart]"
    )
    assert page.kind == "html" and page.metadata == {"title": "Báo cáo"} and page.image is not None and page.words


def test_pictures_inside_html_become_pages(tmp_path: Path) -> None:
    address = "data:image/png;base64," + base64.b64encode(picture()).decode()
    text, shown = read(HTMLLoader(), tmp_path / "a.html", f'<html><p>x</p><img alt="a red box" src="{address}"></html>')
    assert (text.text, shown.text) == ("x", "a red box")
    assert shown.image is not None and shown.image.getpixel((5, 5)) == (255, 0, 0)
    assert data_picture("data:image/svg+xml,<svg/>") is None and data_picture("file:///etc/passwd") is None


def test_html_with_nothing_to_see_and_too_much(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="s: shows nothing"):
        read(HTMLLoader(), tmp_path / "a.html", "<html><script>x</script></html>")
    with pytest.raises(DocumentError, match="max_bytes of the html loader"):
        read(HTMLLoader(max_bytes=10), tmp_path / "a.html", PAGE)
    with pytest.raises(DocumentError, match="is no text"):
        read(HTMLLoader(), tmp_path / "a.html", bytes(range(256)) * 9)


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("iso-8859-1", "cp1252"),
        ("gb2312", "gb18030"),
        ("windows-1258", "cp1258"),
        ("big5", "cp950"),
        ("gb2312", "utf-8"),
        ("wrong", "utf-8"),
    ],
)
def test_html_encodings(charset: str, encoding: str) -> None:
    words = {"cp1252": "naïve “quoted”", "gb18030": "劳动合同法", "cp1258": "đơn ca", "cp950": "這裏的勞動"}.get(
        encoding, "lao động 法"
    )
    data = f"<html><meta charset={charset}><p>{words}</p></html>".encode(encoding)
    assert words in html_text(data)
    assert words in html_text(f"<html>{words}".encode("utf-16"))


def test_a_broken_byte_leaves_a_page_in_its_encoding() -> None:
    words = "中华人民共和国劳动合同法" * 3
    data = b"<meta charset=gb2312><p>" + words.encode("gb18030")
    assert words in html_text(data + b"\xff<p>") and words in html_text(data + words.encode("gb18030")[:5])


def test_a_line_that_ends_in_chinese_parts_no_words() -> None:
    _, parts = html_blocks("<p>中华人民\n  共和国 劳动法\nof 1994\n年</p>", data_picture)
    assert [part.text for part in parts if isinstance(part, Block)] == ["中华人民共和国 劳动法 of 1994 年"]


def test_deep_and_broken_html_keeps_its_text() -> None:
    _, parts = html_blocks("<div>" * 3000 + "deep" + "</p></td></b>" * 5 + "<p>after", data_picture)
    text = " ".join(part.text for part in parts if isinstance(part, Block))
    assert "deep" in text and "after" in text


TAGS = ["<p>", "</p>", "<li>", "<ul>", "<table>", "<tr><td>", "<td>", "x", "&amp;", "<pre>", "<br>", "</table>"]
TAGS += ["<h1>", "</h1>", "<img alt=p>", "<!--", "-->", "<b", "\x00"]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(TAGS), max_size=30).map("".join))
def test_any_html_is_walked(text: str) -> None:
    title, parts = html_blocks(text, data_picture)
    assert isinstance(title, str) and all(isinstance(part, Block) for part in parts)


CONTAINER = '<container><rootfiles><rootfile full-path="O/b.opf"/></rootfiles></container>'
OPF = """<package xmlns:dc="d"><metadata><dc:title>Sách</dc:title></metadata><manifest>
<item id="c" href="cover.png" media-type="image/png" properties="cover-image"/>
<item id="2" href="two%20x.xhtml"/><item id="1" href="one.xhtml"/><item id="e" href="../../../etc/passwd"/></manifest>
<spine><itemref idref="1"/><itemref idref="e"/><itemref idref="2"/><itemref idref="gone"/></spine></package>"""


def book(path: Path, **changed: bytes | str) -> Path:
    members: dict[str, bytes | str] = {
        "META-INF/container.xml": CONTAINER,
        "O/b.opf": OPF,
        "O/one.xhtml": "<html><head><title>Chương 1</title></head><p>một</p><img src='p.png' alt='hình'/></html>",
        "O/two x.xhtml": "<html><body><p>hai</p><img src='../../etc/passwd'/></body></html>",
        "O/cover.png": picture("blue"),
        "O/p.png": picture("green"),
        **changed,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(zipfile.ZipInfo("mimetype"), "application/epub+zip")
        for name, data in members.items():
            package.writestr(name, data)
    return path


def test_epub_in_reading_order_with_pictures(tmp_path: Path) -> None:
    path = book(tmp_path / "a.epub")
    found = [page for page in EPUBLoader().pages(path) if isinstance(page, Page)]
    assert [page.text for page in found] == ["Sách", "một", "hình", "hai"]
    assert found[0].metadata == {"title": "Sách", "picture": "O/cover.png"}
    assert found[1].metadata == {"title": "Sách", "chapter": "Chương 1"}
    assert all(page.image is not None and page.kind == "epub" for page in found)
    assert isinstance(loader_for(path.rename(tmp_path / "lying.zip")), EPUBLoader)


def test_a_package_with_decoders_that_know_no_limit_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "a.epub")
    with zipfile.ZipFile(path, "a") as package:
        package.writestr("O/b.bin", bytes(100), zipfile.ZIP_BZIP2)
    with pytest.raises(DocumentError, match="its format does not allow"):
        list(EPUBLoader().pages(path))


def damaged(path: Path, name: str) -> Path:
    """The package with the packed bytes of one member overwritten."""
    with zipfile.ZipFile(path) as package:
        info = package.getinfo(name)
    data = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(name)
    data[start : start + info.compress_size] = b"\xff" * info.compress_size
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["O/one.xhtml", "O/p.png", "O/cover.png"])
def test_a_damaged_part_of_an_e_book_costs_itself_alone(tmp_path: Path, name: str) -> None:
    found = list(EPUBLoader().pages(damaged(book(tmp_path / "a.epub"), name)))
    told = [page.text if isinstance(page, Page) else page.reason for page in found]
    lost = [text for text in told if text not in ("Sách", "một", "hình", "hai")]
    assert len(lost) == 1 and ("cannot be read" in lost[0] or "picture" in lost[0])
    assert isinstance(found[-1], Page) and found[-1].text == "hai"


def test_a_picture_that_stands_often_in_a_chapter_is_read_once(tmp_path: Path) -> None:
    image = picture() + bytes(1_000_000)
    path = book(tmp_path / "a.epub", **{"O/one.xhtml": "<img src='p.png'/>" * 100, "O/p.png": image})
    tracemalloc.start()
    try:
        found = list(EPUBLoader().pages(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [page.metadata.get("picture") for page in found if isinstance(page, Page)] == [
        "O/cover.png",
        "O/p.png",
        None,
    ]
    assert peak < 50 * len(image)


def test_epub_that_is_protected_or_broken(tmp_path: Path) -> None:
    sealed = '<e><EncryptedData><EncryptionMethod Algorithm="{}"/><CipherReference URI="{}"/></EncryptedData></e>'
    aes = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
    cases: list[tuple[dict[str, bytes | str], str]] = [
        ({"META-INF/encryption.xml": sealed.format(aes, "O/one.xhtml")}, "copy-protected"),
        ({"META-INF/container.xml": "<container/>"}, "no readable e-book"),
        ({"O/b.opf": "<package/>"}, "names no chapters"),
        ({"O/bomb.xml": b" " * 60_000_000}, "zip bomb"),
    ]
    for changed, reason in cases:
        with pytest.raises(DocumentError, match=reason):
            list(EPUBLoader().pages(book(tmp_path / "a.epub", **changed)))
    fonts = sealed.format("http://www.idpf.org/2008/embedding", "O/one.xhtml")
    assert list(EPUBLoader().pages(book(tmp_path / "a.epub", **{"META-INF/encryption.xml": fonts})))
    with pytest.raises(DocumentError, match="no readable e-book"):
        read(EPUBLoader(), tmp_path / "b.epub", b"PK\x03\x04 nothing more")
    entity = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + OPF.replace("Sách", "&e;")
    (first, *_) = EPUBLoader().pages(book(tmp_path / "a.epub", **{"O/b.opf": entity}))
    assert isinstance(first, Page) and "root:" not in first.text


def mail(**fields: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in {"From": "Ân <an@example.com>", "To": "b@example.com", "Message-ID": "<1@x>", **fields}.items():
        message[name] = value
    return message


def test_mail_plain_part_and_names_of_attachments(tmp_path: Path) -> None:
    message = mail(Subject="Hợp đồng 劳动", Date="Fri, 16 Dec 2022 17:04:16 -0500")
    message.set_content("Chào anh,\n\nđoạn hai.\n")
    message.add_alternative("<html><body><p>the <b>html</b> part</p></body></html>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="hợp đồng.pdf")
    inner = mail(Subject="inside")
    inner.set_content("forwarded")
    message.add_attachment(inner)
    (page,) = read(MailLoader(), tmp_path / "a.eml", message.as_bytes())
    assert page.text == (
        "Hợp đồng 劳动\n\nFrom: Ân <an@example.com>\nTo: b@example.com\nDate: Fri, 16 Dec 2022 17:04:16 -0500\n\n"
        "Chào anh,\n\nđoạn hai.\n\n[hợp đồng.pdf]\n[message/rfc822]"
    )
    assert page.metadata["title"] == "Hợp đồng 劳动" and page.image is not None and page.kind == "mail"
    assert isinstance(loader_for((tmp_path / "a.eml").rename(tmp_path / "no suffix")), MailLoader)


def test_mail_of_html_only(tmp_path: Path) -> None:
    message = mail(Subject="x")
    message.set_content(
        "<p>lao <b>động</b></p><script>no</script><img src='http://192.0.2.1/track.png'>", subtype="html"
    )
    (page,) = read(MailLoader(), tmp_path / "a.eml", message.as_bytes())
    assert page.text.endswith("lao động") and "no" not in page.text.split()


def parts(kind: str, *inside: str) -> str:
    return f"Content-Type: multipart/{kind}; boundary={kind}\n\n" + "".join(
        f"--{kind}\n{part}\n" for part in inside
    ) + f"--{kind}--\n"  # fmt: skip


def test_each_part_of_a_mail_is_read_and_of_alternatives_one(tmp_path: Path) -> None:
    def text(kind: str, words: str) -> str:
        return f"Content-Type: text/{kind}\n\n{words}\n"

    forwarded = "Content-Type: message/rfc822\n\nSubject: inner\n" + parts("alternative", text("plain", "inner words"))
    cases = [
        (parts("mixed", parts("alternative", text("plain", "one"), text("html", "two")), text("html", "<p>three")),
         "one\n\nthree"),
        (parts("alternative", text("plain", " "), parts("mixed", text("html", "<p>a"), text("html", "<p>b"))),
         "a\n\nb"),
        (parts("mixed", text("html", "<p>outer"), text("plain", "foot"), forwarded),
         "outer\n\nfoot\n\n[message/rfc822]"),
        ("Content-Type: multipart/mixed\n\nlost its boundary", "lost its boundary"),
    ]  # fmt: skip
    for body, words in cases:
        (page,) = read(MailLoader(), tmp_path / "a.eml", f"\nFrom: a@example.com\nMIME-Version: 1.0\n{body}")
        assert page.text == f"From: a@example.com\n\n{words}"


@pytest.mark.parametrize(
    ("charset", "encoding"), [("gb2312", "gb18030"), ("iso-8859-1", "cp1252"), ("big5", "cp950"), ("us-ascii", "utf-8")]
)
def test_mails_are_in_the_encoding_that_programs_mean(tmp_path: Path, charset: str, encoding: str) -> None:
    words = {"gb18030": "镕基喆", "cp1252": "“quoted” – naïve", "cp950": "這裏的勞動"}.get(encoding, "lao động")
    data = f"From: a@example.com\nContent-Type: text/plain; charset={charset}\n\n".encode() + words.encode(encoding)
    (page,) = read(MailLoader(), tmp_path / "a.eml", data)
    assert page.text.endswith(words)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ('multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b', "encrypted (PGP)"),
        ("application/pkcs7-mime; smime-type=enveloped-data", "encrypted (S/MIME)"),
    ],
)
def test_an_encrypted_mail_says_so(tmp_path: Path, kind: str, said: str) -> None:
    data = f"From: a@example.com\nSubject: sealed\nContent-Type: {kind}\n\n--b\n\nhQEMA\n--b--\n"
    (page,) = read(MailLoader(), tmp_path / "a.eml", data)
    assert said in page.text and "hQEMA" not in page.text and page.text.startswith("sealed")


@pytest.mark.parametrize(
    "data",
    [
        b"From: =?bad?q?x?=\nSubject: =?utf-8?b?////?= \xff\xfe\nContent-Type: text/plain; charset=klingon\n\nch\xe0o",
        b"From: x\nContent-Type: multipart/mixed\n\nno boundary",
        b"From: x\nContent-Transfer-Encoding: base64\n\n!!!! not base64",
        b"From: " + b"a@b, " * 3000 + b"\nDate: never\n\nx",
        b"From: x\nContent-Disposition: attachment; filename*=utf-99''%FF; filename=\"a\n\nx",
    ],
)
def test_broken_mails_are_read_as_far_as_they_go(tmp_path: Path, data: bytes) -> None:
    (page, *_) = read(MailLoader(), tmp_path / "a.eml", data)
    assert page.text.startswith(("From:", "\ufffd")) or "From:" in page.text


def test_what_is_no_mail_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="is no mail"):
        read(MailLoader(), tmp_path / "a.eml", "just some words")
    with pytest.raises(DocumentError, match=r"Outlook message .*save it as \.eml"):
        read(MailLoader(), tmp_path / "a.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a", "<!-- c -->\n<html lang=vi>", "html"),
        ("a.txt", '<?xml version="1.0"?><!DOCTYPE html PUBLIC "x">', "html"),
        ("a.txt", "From: me\nTo: you\nSubject: a note\n\nnot a mail", "text"),
        ("a.md", "# html\n\n<html>", "text"),
        ("a.txt", "Received: yes\nhow: are you\nplain words here", "text"),
        ("a", "Return-Path: <x@y>\nReceived: from a\n by b\nFrom: x\n\nhello", "mail"),
        ("a.html", "<p>a fragment", "html"),
    ],
)
def test_who_reads_it(tmp_path: Path, name: str, data: str, kind: str) -> None:
    (tmp_path / name).write_text(data)
    assert loader_for(tmp_path / name).kind == kind
