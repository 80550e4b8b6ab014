"""Keys: which tenant a caller is, compared without telling by time how much of a key was right."""

import hashlib
import hmac
import logging
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from embedder.errors import InputError
from vipylo_rag.tenants import check_tenant

SHORTEST = 16
_LONGEST = 1024

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Keys:
    """The keys of a server, of which only digests are held. Without any (`Keys()`), callers need none.

    Attributes:
        digests: SHA-256 of each key, with its tenant.
    """

    digests: tuple[tuple[bytes, str], ...] = ()

    @classmethod
    def of(cls, keys: Mapping[str, str | Sequence[str]]) -> "Keys":
        """Keys from a mapping of tenants to a key or several.

        Raises:
            InputError: a key is too short or no text, two tenants have the same one, or a tenant cannot be one.
        """
        digests: dict[bytes, str] = {}
        for tenant, given in keys.items():
            check_tenant(tenant)
            for key in [given] if isinstance(given, str) else _listed(tenant, given):
                digest = _digest(_checked(tenant, key))
                if digests.setdefault(digest, tenant) != tenant:
                    raise InputError(f"the tenants {digests[digest]!r} and {tenant!r} have the same key: make another")
        return cls(tuple(digests.items()))

    @classmethod
    def read(cls, file: Path) -> "Keys":
        """Keys from a YAML file, a mapping of tenants to a key or a list of keys. Warns if others can read the file.

        Raises:
            InputError: the file cannot be read, is no such mapping, or holds no key; no key is part of the text.
        """
        try:
            if file.stat().st_mode & stat.S_IROTH:
                logger.warning("%s can be read by everyone on this machine: chmod 600 %s", file, file)
            said = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: is no YAML; write one `tenant: key` a line") from error
        if not isinstance(said, dict) or not all(isinstance(tenant, str) for tenant in said):
            raise InputError(f"{file}: is no mapping of tenants to keys; write one `tenant: key` a line")
        try:
            keys = cls.of(said)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        if not keys:
            raise InputError(f"{file}: holds no key; write one `tenant: key` a line")
        return keys

    def __bool__(self) -> bool:
        return bool(self.digests)

    @property
    def tenants(self) -> tuple[str, ...]:
        """Whose keys these are, in the order of the file."""
        return tuple(dict.fromkeys(tenant for _, tenant in self.digests))

    def tenant_of(self, key: str) -> str | None:
        """Whose key this is, or None. Always compares with every key, so that time tells nothing."""
        asked = _digest(key[:_LONGEST])
        found: str | None = None
        for digest, tenant in self.digests:
            if hmac.compare_digest(asked, digest):
                found = tenant
        return found


def _listed(tenant: str, keys: object) -> Sequence[object]:
    if not isinstance(keys, list | tuple):
        raise InputError(f"the key of {tenant!r} is no text: put it in quotes")
    return keys


def _checked(tenant: str, key: object) -> str:
    if not isinstance(key, str):
        raise InputError(f"the key of {tenant!r} is no text: put it in quotes")
    if not SHORTEST <= len(key) <= _LONGEST:
        raise InputError(f"the key of {tenant!r} has {len(key)} characters: give {SHORTEST} to {_LONGEST}")
    # As in a header: what cannot be sent there would never match.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"the key of {tenant!r} holds spaces, control characters or letters beyond ASCII")
    return key


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
