"""Tenants: whose documents these are. Every question and every change of an index is for exactly one of them."""

from connectors.stores.filters import And, AnyOf, Filter
from embedder.errors import InputError

_LONGEST = 128


def check_tenant(tenant: str) -> str:
    """`tenant` itself, if it can be one: "" (nobody in particular), or up to 128 printable characters.

    Raises:
        InputError: it is too long, holds control characters, or begins or ends with a space.
    """
    if not isinstance(tenant, str):
        raise InputError(f"tenant={tenant!r} is no text")
    if len(tenant) > _LONGEST:
        raise InputError(f"tenant={tenant[:20]!r}… has {len(tenant)} characters: {_LONGEST} at most")
    if not tenant.isprintable() or tenant != tenant.strip():
        raise InputError(f"tenant={tenant!r}: give printable characters, and no space at either end")
    return tenant


def for_tenant(tenant: str, where: Filter | None = None) -> Filter:
    """A filter that lets nothing of anybody else through, whatever `where` says."""
    mine = AnyOf("tenant", (tenant,))
    return mine if where is None else And((mine, where))
