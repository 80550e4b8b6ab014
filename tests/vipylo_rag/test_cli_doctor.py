"""What `vipylo doctor` says of parts that work, but not as they should."""

import os
from pathlib import Path

import pytest

from vipylo_rag.cli.doctor import _office


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands for LibreOffice")
def test_doctor_says_when_conversions_are_not_confined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "start-office"
    script.write_text('#!/bin/sh\nwhile [ "$1" != --outdir ]; do shift; done\nmkdir "$2"; echo x > "$2/document.pdf"\n')
    script.chmod(0o700)
    monkeypatch.setenv("VIPYLO_SOFFICE", str(script))
    check = _office()
    assert check.state == "ok" and "a document may pull local files into its page" in check.detail
