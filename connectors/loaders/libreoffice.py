"""Converts Office documents to PDF with LibreOffice, when it is installed: headless, with a profile for each time.

Macros are off, it is told to follow no links, and what it would fetch goes to a proxy that does not exist. Where the
kernel can (Linux with Landlock), it can read nothing but the system's files and its own copy of the document, nor
connect to anything. It ends at a deadline, and with the process that started it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from connectors.errors import DocumentError
from connectors.loaders.libreoffice_fonts import write_font_config

_SOFFICE = "VIPYLO_SOFFICE"
_PREFIX = "vipylo-office-"
_FONTS = "fonts.conf"
# Exit code of a first start that has set up its profile and wants to be started again.
_START_AGAIN = 81
_MOST_MEMORY = 4 * 1024**3
_MOST_FILE = 2 * 1024**3

_LAUNCH = Path(__file__).with_name("libreoffice_launch.py")

_CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="MacroSecurityLevel" oor:op="fuse"><value>3</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="DisableMacrosExecution" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="DisableActiveContent" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="BlockUntrustedRefererLinks" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Writer/Content/Update"><prop oor:name="Link" oor:op="fuse"><value>0</value></prop></item>
<item oor:path="/org.openoffice.Office.Calc/Content/Update"><prop oor:name="Link" oor:op="fuse"><value>2</value></prop></item>
<item oor:path="/org.openoffice.Inet/Settings"><prop oor:name="ooInetProxyType" oor:op="fuse"><value>2</value></prop></item>
<item oor:path="/org.openoffice.Inet/Settings"><prop oor:name="ooInetHTTPProxyName" oor:op="fuse"><value>127.0.0.1</value></prop></item>
<item oor:path="/org.openoffice.Inet/Settings"><prop oor:name="ooInetHTTPProxyPort" oor:op="fuse"><value>9</value></prop></item>
<item oor:path="/org.openoffice.Inet/Settings"><prop oor:name="ooInetHTTPSProxyName" oor:op="fuse"><value>127.0.0.1</value></prop></item>
<item oor:path="/org.openoffice.Inet/Settings"><prop oor:name="ooInetHTTPSProxyPort" oor:op="fuse"><value>9</value></prop></item>
<item oor:path="/org.openoffice.Setup/Office"><prop oor:name="ooSetupInstCompleted" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Setup/Product"><prop oor:name="ooSetupLastVersion" oor:op="fuse"><value>99.0</value></prop></item>
</oor:items>
"""  # noqa: E501


class ConversionError(DocumentError):
    """LibreOffice could not convert a document."""


def find_soffice() -> Path | None:
    """LibreOffice's program: the one named by the environment variable VIPYLO_SOFFICE, or found on the PATH.

    VIPYLO_SOFFICE set to "" or "none" means: not to be used.
    """
    said = os.environ.get(_SOFFICE)
    if said is not None:
        return _program(Path(said)) if said.lower() not in ("", "none") and Path(said).is_file() else None
    for name in ("soffice", "libreoffice", "loffice"):
        if found := shutil.which(name):
            return _program(Path(found))
    usual = Path("/Applications/LibreOffice.app/Contents/MacOS/soffice")
    return usual if usual.is_file() else None


def _program(found: Path) -> Path:
    """The program itself where there is one beside the start script: nothing then stands between it and our signals."""
    real = found.resolve()
    binary = real.with_name("soffice.bin")
    return binary if sys.platform == "linux" and binary.is_file() else real


def confines(soffice: Path) -> bool:
    """Whether a conversion by `soffice` is kept from all files but the system's and its own copy of the document.

    Where it is not, a document can name local files, and their content comes to stand on its pages.
    """
    if os.name != "posix":
        return False
    from connectors.loaders import libreoffice_launch  # imports what Windows has not

    return libreoffice_launch.knows(soffice) and libreoffice_launch.landlock_version() > 0


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder that is gone when the block ends; of a process that was killed, when the next one converts."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def converted(
    path: Path, suffix: str, source: str, target: str, *, seconds: float, soffice: Path, without: tuple[str, ...] = ()
) -> Iterator[Path]:
    """`path`, of the format `suffix`, as a file of the format `target` ("pdf", "xlsx"), gone when the block ends.

    Several processes may convert at once. LibreOffice sees a copy under a plain name, and nothing beside it. `without`
    names fonts that it is to do without.

    Raises:
        ConversionError: it cannot be converted, or not in `seconds`.
    """
    with work_folder() as folder:
        original = folder / "in" / f"document.{suffix}"
        original.parent.mkdir()
        shutil.copyfile(path, original)
        user = folder / "profile" / "user"
        user.mkdir(parents=True)
        (user / "registrymodifications.xcu").write_text(_CONFIG, encoding="utf-8")
        made = folder / "out" / f"document.{target}"
        command = [
            str(soffice), f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", "--norestore",
            "--nologo", "--nodefault", "--nofirststartwizard", "--convert-to", target,
            "--outdir", str(made.parent), str(original),
        ]  # fmt: skip
        if without:
            write_font_config(folder / _FONTS, without)
        said = _run(command, folder, source, seconds)
        if not made.is_file() or made.stat().st_size == 0:
            raise ConversionError(f"{source}: LibreOffice cannot open it{said}; it is damaged or password-protected")
        yield made


def _run(command: list[str], folder: Path, source: str, seconds: float) -> str:
    """Run LibreOffice to its end; return what it said of the document, if anything worth telling."""
    deadline = time.monotonic() + seconds
    for _ in range(3):
        process = _start(command, folder)
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise ConversionError(
                f"{source}: LibreOffice took longer than {seconds:g} s (convert_seconds of the office loader)"
            ) from error
        finally:
            _end(process)
        if process.returncode != _START_AGAIN:
            break
    code = process.returncode
    return f" (it crashed, {signal.Signals(-code).name})" if code < 0 and os.name == "posix" else ""


def _start(command: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    if os.name == "posix":
        command = [sys.executable, "-I", "-S", str(_LAUNCH), str(_MOST_MEMORY), str(_MOST_FILE), str(folder), *command]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"HOME": str(folder), "TMPDIR": str(folder), "SAL_USE_VCLPLUGIN": "svp"}
    if (folder / _FONTS).is_file():
        environment["FONTCONFIG_FILE"] = str(folder / _FONTS)
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a group of its own, so that whatever it starts ends with it
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the whole group, whether or not its first process is still there."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _sweep() -> None:
    """Remove what killed processes left: their folders hold copies of somebody's documents."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    if os.name != "posix":
        return True  # asking would end it there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
