"""Archives and mails made for tests, and the walk through them that checks what every walk must keep."""

import io
import tarfile
import warnings
import zipfile
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from connectors.loaders.archive import ArchiveLimits, Member, members

PAPER = b"%PDF-1.7 " + bytes(range(256)) * 8


def zipped(files: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def walked(data: bytes, folder: Path, name: str = "a.zip", **options: Any) -> tuple[dict[str, bytes], dict[str, str]]:
    """What came out, by name, and the failures. Each file is deleted as a caller would; nothing may stay behind."""
    path, work = folder / name, folder / "work"
    path.write_bytes(data)
    found: dict[str, bytes] = {}
    failed: dict[str, str] = {}
    password = options.pop("password", None)
    for one in members(path, work, ArchiveLimits(**options), password=password):
        if isinstance(one, Member):
            assert one.path.parent == work and not one.path.is_symlink()
            assert one.name not in found
            found[one.name] = one.path.read_bytes()
            one.path.unlink()
        else:
            failed[one.name] = one.reason
    assert list(work.iterdir()) == []
    assert sorted(folder.iterdir()) == sorted([path, work])
    return found, failed


FILES = {"b.pdf": PAPER, "folder/a.png": b"\x89PNG" * 9, "empty.txt": b""}


def mail(*attachments: tuple[str | None, str, bytes]) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "a@example.org", "b@example.org", "Hợp đồng"
    made.set_content("Kính gửi anh,")
    made.add_alternative("<p>Kính gửi anh,</p>", subtype="html")
    for name, kind, data in attachments:
        main, sub = kind.split("/")
        made.add_attachment(data, maintype=main, subtype=sub, **({"filename": name} if name else {}))
    return made
