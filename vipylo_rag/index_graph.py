"""The page graph of an index: building it, and keeping it in step with what the index holds."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder.errors import InputError, ViPyloError
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.opened import OpenedIndex
from vipylo_rag.places import GRAPH
from vipylo_rag.tenants import check_tenant

if TYPE_CHECKING:
    from llama_index.core.schema import TransformComponent

    from vipylo_rag.graph.page_graph import PageGraph
    from vipylo_rag.graph.report import GraphProgress, GraphReport
    from vipylo_rag.graph.upkeep import GraphFolder

logger = logging.getLogger(__name__)


class IndexGraphing(OpenedIndex):
    """What makes an index's page graph, and what the changes of the index change in it."""

    def build_graph(
        self,
        extractor: "str | TransformComponent | None" = None,
        *,
        llm: Any = None,
        tenant: str = "",
        url: str | None = None,
        progress: "GraphProgress | None" = None,
    ) -> "GraphReport":
        """Make the graph of documents, pages, figures and entities that `search(mode="graph")` walks, or bring it up to
        date: new and changed pages are read, what left the index goes.

        Killed at any moment, the graph is as it was (on a server: partly changed), and the next call completes the
        work. With another extractor than
        before, the tenant's pages are read again; after `reindex`, entities and figures are embedded again.

        Args:
            extractor: what finds entities and relations: "rules" (no model), "llm", a third party's name (entry points
                `vipylo_rag.extractors`), or any LlamaIndex extractor, as `PropertyGraphIndex(kg_extractors=…)` has it.
                None: "llm" where one is given, else "rules".
            llm: the language model that "llm" asks: any of LlamaIndex, or what `vipylo_rag.llm.load_llm` gives.
            tenant: whose pages; nobody's entities are another's, even of the same name.
            url: a Neo4j server that keeps nodes and relations, as "neo4j://host:7687/database" (one database for one
                index; user and password from VIPYLO_GRAPH_USER and VIPYLO_GRAPH_PASSWORD), or "local": a file in the
                index directory. None: where they are, which is "local" at first.
            progress: called with the report so far, many times. What it raises ends the run, and the next one goes on.

        Raises:
            InputError, PluginError: no such extractor, or one that needs an LLM and has none.
            LLMError: the model cannot be reached. StoreError: a store cannot.
            IndexDirectoryError: another process is writing.
        """
        from vipylo_rag.graph.build import GraphBuild
        from vipylo_rag.graph.extractors import extractor_identity, load_extractor
        from vipylo_rag.graph.facts import GraphFacts, TenantFacts
        from vipylo_rag.graph.page_graph import PageGraph
        from vipylo_rag.graph.upkeep import use_extractor

        check_tenant(tenant)
        if extractor is None and llm is None:
            self._check_by_rules(tenant)
        loaded = load_extractor(extractor, llm)
        identity = extractor_identity(loaded)
        folder = self._graph_folder()
        with self._writing(), folder.opened(url) as parts:
            use_extractor(parts.readings, tenant, identity)
            report = GraphBuild(parts, loaded, self.embedder, progress).run(tenant)
            known = {
                name: said.model_copy(update={"pages": parts.readings.count("pages", name)})
                for name, said in self._built_tenants().items()
            }
            known[tenant] = TenantFacts(extractor=identity, pages=report.pages, built=TenantFacts.now())
            place = parts.readings.fact("url") or None
            facts = GraphFacts(embedder=self.manifest.embedder, url=place, tenants=known)
            with self.turnstile.alone():  # a search that saw the new facts before would read the whole graph anew
                folder.write_facts(facts)
                self._replace_graph(PageGraph(parts.store, parts.vectors, facts))
        return report

    def graph_info(self, *, tenant: str = "") -> dict[str, Any]:
        """What a tenant's graph holds, what made it, and what the next build would have to do.

        Raises:
            InputError: there is no graph of this tenant. IndexDirectoryError: it is damaged.
        """
        from vipylo_rag.graph.overview import graph_overview

        return graph_overview(self._graph_folder(), check_tenant(tenant))

    def _check_by_rules(self, tenant: str) -> None:
        """Not to lose, by leaving out an argument, what a language model read at some cost.

        Raises:
            InputError: something else than the rules made the graph.
        """
        known = self._built_tenants().get(tenant)
        if known is not None and not known.extractor.startswith("RuleExtractor-"):
            raise InputError(
                f"this graph was made by {known.extractor.rpartition('-')[0]}: give the same extractor or language "
                "model again, or name 'rules' to have all pages read anew by rules"
            )

    def _built_tenants(self) -> "dict[str, Any]":
        from vipylo_rag.graph.facts import GraphFacts

        try:
            return dict(GraphFacts.read(self.directory).tenants)
        except ViPyloError:
            return {}

    def _graph_folder(self) -> "GraphFolder":
        from vipylo_rag.graph.upkeep import GraphFolder

        return GraphFolder(self._parts(), self._graph_vectors)

    def _graph_follows(self, tenant: str | None = None, sources: Sequence[str] | None = None) -> None:
        """Take out of the graph, at once, what has left the index. Call it as the only writer. Searches go on along the
        graph that was: they find no page that the index has not.

        A graph that is damaged is deleted: it is to be made anew in any case, and would keep the text of documents that
        are gone.

        Raises:
            StoreUnavailableError: the server that has the graph is away.
        """
        if not (self.directory / GRAPH / "readings.sqlite").exists():
            return
        from vipylo_rag.graph.upkeep import follow

        folder = self._graph_folder()
        try:
            graph = follow(folder, tenant, sources)
        except IndexDirectoryError as error:
            logger.warning("the damaged page graph is deleted; make it anew with `vipylo graph build`: %s", error)
            with self.turnstile.alone(), self._opening_graph:
                self._close_graph()
                folder.remove()
            return
        if graph is not None:
            with self.turnstile.alone():
                folder.write_facts(graph.facts)
                self._replace_graph(graph)

    def _replace_graph(self, graph: "PageGraph") -> None:
        """The open graph, and the one for who asks next. Nobody may be searching."""
        from vipylo_rag.graph.facts import facts_stamp
        from vipylo_rag.graph.page_graph import close_graph_store

        with self._opening_graph:
            replaced, self._graph = self._graph, graph if graph.facts.fits(self.manifest.embedder) else None
            self._graph_stamp = facts_stamp(self.directory)
            for gone in (replaced, None if self._graph is graph else graph):
                if gone is not None:
                    close_graph_store(gone.store)

    def _copy_graph(self, target: Path) -> None:
        """Copy the graph, where there is one, into a copy of the index."""
        from vipylo_rag.graph.facts import FACTS
        from vipylo_rag.graph.upkeep import copy_graph

        if not (self.directory / GRAPH / FACTS).exists():
            return
        try:
            copy_graph(self._graph_folder(), target / GRAPH)
        except IndexDirectoryError as error:
            logger.warning("the copy has no page graph: %s", error)
            shutil.rmtree(target / GRAPH, ignore_errors=True)
