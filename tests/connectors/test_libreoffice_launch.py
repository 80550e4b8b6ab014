"""What a document names elsewhere stays there: LibreOffice reads its own copy and the system's files, nobody's."""

import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from connectors.loaders import libreoffice_launch
from connectors.loaders.libreoffice import confines, find_soffice
from connectors.loaders.office import OfficeLoader
from connectors.page import Page

_TRY = """
import socket, sys
from pathlib import Path
from connectors.loaders.libreoffice_launch import shut_in
inside, outside, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
held = shut_in((inside.parent,))
assert inside.read_text() == "inside" and Path("/etc/passwd").read_bytes()
for reach in (outside.read_text, lambda: socket.create_connection(("127.0.0.1", port), 5)):
    try:
        reach()
        print("reached")
    except PermissionError:
        print("refused")
print(held)
"""


def tried(tmp_path: Path) -> list[str]:
    """What a process that shut itself in says: of a file outside, of a server on this machine, of whether it held."""
    inside, outside = tmp_path / "own" / "a.txt", tmp_path / "other.txt"
    inside.parent.mkdir()
    inside.write_text("inside")
    outside.write_text("outside")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        command = [sys.executable, "-c", _TRY, str(inside), str(outside), port]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_a_process_that_is_shut_in_reads_its_own_folder_only(tmp_path: Path) -> None:
    file, server, held = tried(tmp_path)
    if held == "False":
        pytest.skip("this system has no Landlock")
    assert file == "refused"
    if server == "reached":
        pytest.skip("this kernel's Landlock knows no connections (Linux before 6.7)")
    assert server == "refused"


def test_a_program_that_cannot_be_shut_in_is_known(tmp_path: Path) -> None:
    held = tried(tmp_path)[2] == "True"
    assert confines(Path("/usr/lib/office/program/soffice.bin")) == held
    assert not confines(Path("/usr/bin/office.sh")), "a start script of which nobody knows what it reads"


def linked(folder: Path, picture: Path) -> dict[str, Path]:
    """Documents that show a picture which lies elsewhere."""
    link = picture.as_uri()
    rtf = folder / "a.rtf"
    rtf.write_text(r'{\rtf1 own text {\field{\*\fldinst{INCLUDEPICTURE "LINK" \\d}}{\fldrslt }}}'.replace("LINK", link))
    odp = folder / "a.odp"
    kind = "application/vnd.oasis.opendocument.presentation"
    oasis = "urn:oasis:names:tc:opendocument:xmlns"
    with zipfile.ZipFile(odp, "w") as package:
        package.writestr("mimetype", kind)
        package.writestr(
            "META-INF/manifest.xml",
            f'<m:manifest xmlns:m="{oasis}:manifest:1.0"><m:file-entry m:full-path="/" m:media-type="{kind}"/>'
            '<m:file-entry m:full-path="content.xml" m:media-type="text/xml"/></m:manifest>',
        )
        package.writestr(
            "content.xml",
            f'<o:document-content xmlns:o="{oasis}:office:1.0" xmlns:t="{oasis}:text:1.0" xmlns:d="{oasis}:drawing:1.0"'
            f' xmlns:x="http://www.w3.org/1999/xlink" xmlns:s="{oasis}:svg-compatible:1.0" o:version="1.2"><o:body>'
            '<o:presentation><d:page><d:frame s:width="9cm" s:height="5cm"><d:text-box><t:p>own text</t:p></d:text-box>'
            f'</d:frame><d:frame s:width="5cm" s:height="5cm"><d:image x:href="{link}" x:type="simple"/></d:frame>'
            "</d:page></o:presentation></o:body></o:document-content>",
        )
    return {"rtf": rtf, "odp": odp}


@pytest.mark.slow
@pytest.mark.skipif(find_soffice() is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize("suffix", ["rtf", "odp"])
def test_a_document_cannot_bring_in_a_picture_from_elsewhere(tmp_path: Path, suffix: str) -> None:
    if tried(tmp_path)[2] == "False":
        pytest.skip("this system has no Landlock")
    picture = tmp_path / "private.png"
    Image.new("RGB", (200, 200), (255, 0, 0)).save(picture)
    (page,) = OfficeLoader(convert="libreoffice").pages(linked(tmp_path, picture)[suffix])
    assert isinstance(page, Page) and page.image is not None and page.text.strip() == "own text"
    colours = page.image.getcolors(page.image.width * page.image.height) or []
    assert not any(red > 200 and green < 60 and blue < 60 for _, (red, green, blue) in colours)  # type: ignore[misc]


def test_other_start_scripts_are_not_shut_in(tmp_path: Path) -> None:
    """A program of one's own (VIPYLO_SOFFICE) may need files anywhere: it is bounded, but reads what it wants."""
    elsewhere = tmp_path / "needed.txt"
    elsewhere.write_text("needed")
    program = tmp_path / "soffice"
    program.write_text(f"#!/bin/sh\ncat {elsewhere}\nulimit -c\n")
    program.chmod(0o755)
    command = [sys.executable, "-I", "-S", libreoffice_launch.__file__, str(2**32), str(2**20), str(tmp_path)]
    done = subprocess.run([*command, str(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "needed0\n"
