"""Stands in front of LibreOffice on POSIX: bounds what it may take, read and reach, then becomes it.

Run as a program of its own (preexec_fn is not safe beside threads) that imports nothing of ours:
`python -I -S libreoffice_launch.py MEMORY_BYTES FILE_BYTES WORK_FOLDER PROGRAM ARGUMENT...`.
"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

# What of a system LibreOffice needs to read: libraries, fonts, settings. Nobody's documents lie there.
_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc", "/dev", "/proc", "/sys", "/var/cache/fontconfig",
    "/var/lib/libreoffice", "/nix/store", "/gnu/store",
)  # fmt: skip
# Landlock: numbers of the system calls (the same on all architectures), rights and first versions that know them.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _CONNECT_TCP, _KNOWS_TCP = 1 << 2, 1 << 1, 4
_SET_DEATH_SIGNAL, _SET_NO_NEW_PRIVILEGES = 1, 38


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def bound(memory: int, file_bytes: int) -> None:
    """Limit memory and the size of written files, and let the kernel end this process with its parent (Linux)."""
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS refuses to limit address space
            continue
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


def knows(program: Path) -> bool:
    """Whether `program` is LibreOffice itself: of another start script nobody knows what it has to read."""
    return program.name == "soffice.bin"


def landlock_version() -> int:
    """The version of the kernel's Landlock; 0 or less where it has none."""
    if sys.platform != "linux":
        return 0
    version: int = ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    return version


def shut_in(folders: tuple[Path, ...]) -> bool:
    """Let this process read files below `folders` and the system's only, and connect to nothing; True if that holds.

    A document can name pictures anywhere (RTF, ODP and ODS do it past LibreOffice's own settings): somebody's mail
    attachment must not bring a file of the reader's into the index. False where the kernel has no Landlock (Linux
    before 5.13, other systems).
    """
    version = landlock_version()
    if sys.platform != "linux" or version < 1:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    rules = _Ruleset(_READ_FILE, _CONNECT_TCP if version >= _KNOWS_TCP else 0)
    size = ctypes.sizeof(rules) if version >= _KNOWS_TCP else 8
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    for place in (*map(Path, _SYSTEM), *folders):
        if place.exists():
            folder = os.open(place, os.O_PATH | os.O_CLOEXEC)
            rule = _PathBeneath(_READ_FILE, folder)
            libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
            os.close(folder)
    libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    done: int = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return done == 0


def main() -> None:
    """See the module's text."""
    memory, file_bytes, work, *command = sys.argv[1:]
    bound(int(memory), int(file_bytes))
    program = Path(command[0])
    if knows(program):
        shut_in((Path(work), program.parent.parent))
    os.execv(program, command)


if __name__ == "__main__":
    main()
