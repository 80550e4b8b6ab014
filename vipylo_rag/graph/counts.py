"""How many nodes and relations of each label a graph has, counted in the readings: no store has to be asked."""

from typing import Any

from vipylo_rag.graph.elements import DOCUMENT, FIGURE, HAS_FIGURE, HAS_PAGE, MENTIONS, NEAR, NEXT, PAGE, TERM
from vipylo_rag.graph.readings import Readings

_MINE = "JOIN pages p ON p.id = {page} WHERE p.tenant = ?"
_ENTITIES = f"""
SELECT entity, label, COUNT(*) AS pages FROM mentions m {_MINE.format(page="m.page")} GROUP BY entity, label
"""  # noqa: S608


def count_nodes(readings: Readings, tenant: str) -> dict[str, int]:
    """Nodes by label, of a tenant. Entities count under the label that most of their pages give them."""
    found = {
        DOCUMENT: _number(readings, "SELECT COUNT(DISTINCT document) FROM pages WHERE tenant = ?", tenant),
        PAGE: _number(readings, "SELECT COUNT(*) FROM pages WHERE tenant = ?", tenant),
        FIGURE: _number(readings, f"SELECT COUNT(*) FROM figures f {_MINE.format(page='f.page')}", tenant),  # noqa: S608
    }
    labelled = (
        "SELECT label, COUNT(*) FROM (SELECT entity, label, ROW_NUMBER() OVER (PARTITION BY entity "  # noqa: S608
        f"ORDER BY label = '{TERM}', pages DESC, label) AS place FROM ({_ENTITIES}) "
        "WHERE entity IN (SELECT node FROM written)) WHERE place = 1 GROUP BY label ORDER BY label"
    )
    found |= dict(readings.db.execute(labelled, (tenant,)).fetchall())
    return {label: count for label, count in found.items() if count}


def count_relations(readings: Readings, tenant: str) -> dict[str, int]:
    """Relations by label, of a tenant."""
    pages = _number(readings, "SELECT COUNT(*) FROM pages WHERE tenant = ?", tenant)
    documents = _number(readings, "SELECT COUNT(DISTINCT document) FROM pages WHERE tenant = ?", tenant)
    both = f"JOIN near o ON o.page = n.other AND o.other = n.page {_MINE.format(page='n.page')} AND n.page < n.other"
    shown = "entity IN (SELECT node FROM written)"
    found = {
        HAS_PAGE: pages,
        NEXT: pages - documents,
        HAS_FIGURE: _number(readings, f"SELECT COUNT(*) FROM figures f {_MINE.format(page='f.page')}", tenant),  # noqa: S608
        MENTIONS: _number(
            readings,
            f"SELECT COUNT(*) FROM mentions m {_MINE.format(page='m.page')} AND {shown}",  # noqa: S608
            tenant,
        ),
        NEAR: _number(readings, f"SELECT COUNT(*) FROM near n {both}", tenant),  # noqa: S608
    }
    said = (
        "SELECT label, COUNT(*) FROM (SELECT DISTINCT l.source, l.label, l.target FROM links l "  # noqa: S608
        f"{_MINE.format(page='l.page')} AND l.source IN (SELECT node FROM written) "
        "AND l.target IN (SELECT node FROM written)) GROUP BY label ORDER BY label"
    )
    found |= dict(readings.db.execute(said, (tenant,)).fetchall())
    return {label: count for label, count in found.items() if count}


def waiting_nodes(readings: Readings, tenant: str) -> int:
    """How many of a tenant's nodes are not in the graph as they should be, or wait for their vectors."""
    query = """
    SELECT COUNT(*) FROM (SELECT node FROM stale UNION SELECT node FROM due) WHERE
    EXISTS (SELECT 1 FROM pages WHERE id = node AND tenant = :tenant)
    OR EXISTS (SELECT 1 FROM pages WHERE document = node AND tenant = :tenant)
    OR EXISTS (SELECT 1 FROM figures f JOIN pages p ON p.id = f.page WHERE f.id = node AND tenant = :tenant)
    OR EXISTS (SELECT 1 FROM mentions m JOIN pages p ON p.id = m.page WHERE entity = node AND tenant = :tenant)
    """
    return int(readings.db.execute(query, {"tenant": tenant}).fetchone()[0])


def hubs(readings: Readings, tenant: str, most: int) -> list[dict[str, Any]]:
    """The entities on most pages of a tenant, with how many pages that is."""
    query = (
        "SELECT MIN(surface), MIN(label), COUNT(*) AS pages FROM mentions m "  # noqa: S608
        f"{_MINE.format(page='m.page')} AND entity IN (SELECT node FROM written) GROUP BY entity "
        "ORDER BY pages DESC, entity LIMIT ?"
    )
    found = readings.db.execute(query, (tenant, most))
    return [{"name": name, "label": label, "pages": pages} for name, label, pages in found]


def _number(readings: Readings, query: str, tenant: str) -> int:
    return int(readings.db.execute(query, (tenant,)).fetchone()[0])
