"""Mails as archives: their attachments, and the headers and nesting that must not hold up a walk."""

import time
from pathlib import Path

import pytest

from connectors.errors import DocumentError
from connectors.loaders.archive import contains
from connectors.loaders.mail import MailLoader
from connectors.loaders.registry import loader_for
from tests.connectors.archive_files import PAPER, mail, walked, zipped


def test_a_mail_gives_its_attachments(tmp_path: Path) -> None:
    made = mail(
        ("Hợp đồng.pdf", "application/pdf", PAPER),
        ("../../evil/x.png", "image/png", b"png"),
        (None, "image/jpeg", b"jpeg"),
        ("note.txt", "text/plain", b"a note"),
        ("all.zip", "application/zip", zipped({"in.txt": b"in"})),
    )
    made.add_attachment(mail(("inner.pdf", "application/pdf", b"inner")))
    found, failed = walked(made.as_bytes(), tmp_path, "m.eml")
    assert not failed
    forwarded = found.pop("attachment 6.eml")
    assert found == {
        "Hợp đồng.pdf": PAPER, "x.png": b"png", "attachment 3.jpg": b"jpeg", "note.txt": b"a note",
        "all.zip!/in.txt": b"in", "attachment 6.eml!/inner.pdf": b"inner",
    }  # fmt: skip
    assert b"inner.pdf" in forwarded
    assert contains(tmp_path / "m.eml") == "pages and members"


def test_a_mail_without_attachments_is_pages_alone(tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(mail().as_bytes())
    assert contains(tmp_path / "m.eml") == "nothing"
    (tmp_path / "z").mkdir()
    data = mail().as_bytes()
    assert walked(zipped({"m.eml": data}), tmp_path / "z") == ({"m.eml": data}, {})


def test_a_mail_without_suffix_is_one_for_its_text_and_its_attachments(tmp_path: Path) -> None:
    head = b"Delivered-To: b@example.org\nX-Received:\n by 192.0.2.1\nX-Spam: no\n"
    (tmp_path / "m").write_bytes(head + mail(("x.pdf", "application/pdf", PAPER)).as_bytes())
    assert contains(tmp_path / "m") == "pages and members" and isinstance(loader_for(tmp_path / "m"), MailLoader)


def test_a_mail_with_endless_header_fields_takes_no_time(tmp_path: Path) -> None:
    """The standard library takes a minute and more for a field of this length, a tenth of a second for a cut one."""
    head = b"\nFrom: a@example.org\nSubject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
    part = b"Content-Disposition: attachment; filename=a.txt\nContent-Type: text/plain; " + b"(a) " * 100_000
    begun = time.monotonic()
    found, failed = walked(head + part + b"\n\nwords\n--b--\n", tmp_path, "m.eml")
    assert (found, failed) == ({"a.txt": b"words"}, {})
    assert time.monotonic() - begun < 20


def test_a_mail_of_parts_in_parts_in_parts(tmp_path: Path) -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(90))
    data = b"From: a@example.org\nMIME-Version: 1.0\n" + nested + b"Content-Type: image/png\n\npicture\n"
    found, failed = walked(data, tmp_path, "m.eml")
    assert (list(found.values()), failed) == ([b"picture"], {})


def test_a_mail_nested_too_deep_is_refused_at_once(tmp_path: Path) -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(900))
    path = tmp_path / "m.eml"
    path.write_bytes(b"From: a@example.org\nMIME-Version: 1.0\n" + nested + b"Content-Type: image/png\n\npicture\n")
    begun = time.monotonic()
    assert contains(path) == "nothing"
    with pytest.raises(DocumentError, match=r"m\.eml: .*its parts are nested over 100 deep"):
        list(MailLoader().pages(path))
    assert time.monotonic() - begun < 1


def test_each_mail_of_a_mailbox_is_a_document(tmp_path: Path) -> None:
    first = mail(("x.pdf", "application/pdf", PAPER)).as_bytes()
    second = b"Subject: hai\nFrom: c@example.org\n\nFrom here on: words.\n>From mars\n"
    begin = b"From a@example.org Fri Dec 16 17:04:16 2022\n"
    data = begin + first + b"\n" + begin + second.replace(b"\n>From", b"\n>>From") + b"\n"
    found, failed = walked(data, tmp_path, "inbox")
    assert (list(found), failed) == (["mail 1.eml", "mail 1.eml!/x.pdf", "mail 2.eml"], {})
    assert found["mail 1.eml"].rstrip() == first.rstrip() and found["mail 2.eml"].rstrip() == second.rstrip()
    assert contains(tmp_path / "inbox") == "members"


def test_a_mailbox_keeps_to_the_limits(tmp_path: Path) -> None:
    begin = b"From - Fri Dec 16 17:04:16 2022\r\n"
    small, large = b"Subject: x\r\n\r\nwords\r\n\r\n", b"Subject: y\r\n\r\n" + b"w" * 5000 + b"\r\n\r\n"
    found, failed = walked((begin + large) + (begin + small) * 3, tmp_path, "a.mbox", member_bytes=1000, members=3)
    assert list(found) == ["mail 2.eml", "mail 3.eml"] and set(failed) == {"mail 1.eml", "*"}
    assert "more than 3 members" in failed["*"] and "is larger than" in failed["mail 1.eml"]
