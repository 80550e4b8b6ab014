"""`vipylo delete`: remove documents from an index."""

from typing import Annotated

import typer

from vipylo_rag.cli.options import DEFAULT_INDEX, IndexOption, TenantOption, open_index


def delete(
    sources: Annotated[list[str], typer.Argument(help="Documents, by path or by the source that search shows.")],
    index: IndexOption = DEFAULT_INDEX,
    tenant: TenantOption = "",
) -> None:
    """Remove documents from an index. The files themselves are not touched."""
    with open_index(index) as opened:
        for source in sources:
            opened.find_source(source, tenant=tenant)  # all of them are there, or nothing is removed
        for source in sources:
            print(f"{source}: {opened.delete(source, tenant=tenant)} pages removed")
