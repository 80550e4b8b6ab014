"""The page graphs of a server's tenants: which are to be built, how far that is, and what each holds.

Who asks for one, and every change of an index whose graph there is, notes a build here. The writer's thread does them,
one at a time; what interrupts one loses nothing, as the next goes on with what was read.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from connectors.errors import LLMError, StoreUnavailableError
from embedder.errors import InputError, ViPyloError
from vipylo_rag.embedding import EmbedderFailedError
from vipylo_rag.errors import BeingWrittenError, IndexDirectoryError
from vipylo_rag.graph.facts import GraphFacts
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.places import GRAPH
from vipylo_rag.server.errors import without_folders
from vipylo_rag.server.schemas import Graph, GraphPhase, GraphProgress

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

    from vipylo_rag.graph.report import GraphReport

RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
# After a change a graph is left alone for as long as its last build took, and no longer than this: changes that come
# one after the other cost one build, and building takes half of the time at most.
_LONGEST_REST: Final = 30.0
# So long uploads go before a build that waits.
_LONGEST_WAIT: Final = 60.0
_BY_RULES: Final = "RuleExtractor-"
_PASSING: Final = (StoreUnavailableError, EmbedderFailedError, LLMError, BeingWrittenError)

logger = logging.getLogger(__name__)


class StepsAsideError(Exception):
    """What the writer does is left, and gone on with later."""


@dataclass(eq=False)
class _Build:
    """A build that is to be done, or is being done. Times are of the monotonic clock.

    Attributes:
        since: when it was wanted, or interrupted last. not_before: when it may begin.
        seconds: how long it was worked at so far.
        failing_since, postponed: what keeps it from being done: since when, how often it was met.
        reason: why it waits. progress: None while it does not run.
    """

    tenant: str
    since: float
    not_before: float
    seconds: float = 0.0
    failing_since: float | None = None
    postponed: int = 0
    reason: str | None = None
    progress: GraphProgress | None = None


@dataclass(frozen=True)
class _Counts:
    entities: int
    figures: int
    relations: int

    @classmethod
    def of(cls, nodes: dict[str, int], relations: dict[str, int]) -> "_Counts":
        from vipylo_rag.graph.elements import DOCUMENT, FIGURE, PAGE

        entities = sum(count for label, count in nodes.items() if label not in (DOCUMENT, PAGE, FIGURE))
        return cls(entities, nodes.get(FIGURE, 0), sum(relations.values()))


class Graphs:
    """What is known and wanted of the graphs of an index's tenants. Any thread may ask; the writer's thread builds.

    Args:
        llm: reads pages for those graphs that this language model made.
        builds: whether a writer's thread builds here; else graphs are only looked at.
        unasked: whether tenants who have documents get a graph without asking for it.
        patience: seconds that a build is tried again while something that it needs is away.
    """

    def __init__(
        self,
        index: MultimodalIndex,
        *,
        llm: "LLM | None" = None,
        builds: bool = True,
        unasked: bool = False,
        patience: float = 300.0,
    ) -> None:
        self._index = index
        self._llm = llm
        self._builds = builds
        self._unasked = unasked
        self._patience = patience
        self._lock = threading.Lock()
        self._wanted: dict[str, _Build] = {}
        self._reasons: dict[str, str] = {}
        self._counts: dict[str, _Counts] = {}
        self._rests: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """How many builds wait or run."""
        return len(self._wanted)

    def ask(self, tenant: str) -> None:
        """Have a tenant's graph built, or brought up to date, as soon as possible.

        Raises:
            InputError: what made this graph is not there.
        """
        facts = self._facts()
        if facts is not None and tenant in facts.tenants:
            self._extractor(facts.tenants[tenant].extractor)
        now = time.monotonic()
        with self._lock:
            build = self._wanted.setdefault(tenant, _Build(tenant, now, now))
            build.not_before = min(build.not_before, now)
            self._reasons.pop(tenant, None)

    def shown(self, tenant: str) -> Graph:
        """A tenant's graph as the server shows it. Reads files: not for the loop."""
        facts = self._facts()
        mine = facts.tenants.get(tenant) if facts is not None else None
        ready = facts is not None and mine is not None and facts.fits(self._index.manifest.embedder)
        held = self._index.ledger.counts(tenant)["pages done"]
        pages = mine.pages if mine is not None else 0
        if mine is not None and tenant not in self._counts and not self._builds:
            self.count(tenant)
        with self._lock:
            build = self._wanted.get(tenant)
            progress = build.progress if build else None
            reason = build.reason if build else self._reasons.get(tenant)
            counts = self._counts.get(tenant) if mine is not None else None
        return Graph(
            state="building" if progress else "waiting" if build else "built" if ready else "none",
            ready=ready,
            pages=pages,
            stale=held if not ready else max(0, held - pages),
            entities=counts.entities if counts else None,
            figures=counts.figures if counts else None,
            relations=counts.relations if counts else None,
            built=mine.built if mine is not None else None,
            progress=progress,
            reason=reason,
        )

    # For the writer's thread

    def start(self, tenants: Iterable[str]) -> None:
        """Count what there is, and note the builds that an earlier server or command did not end, or never began."""
        facts = self._facts()
        built = facts.tenants if facts is not None else {}
        for tenant in sorted({*tenants, *built}):
            if tenant in built:
                self.count(tenant)
            if self._is_behind(tenant, facts) or (self._unasked and tenant not in built):
                self._want(tenant)

    def changed(self, tenant: str) -> None:
        """Pages of a tenant have come or gone: its graph, if there is one, is to follow."""
        facts = self._facts()
        if self._unasked or (facts is not None and tenant in facts.tenants):
            self._want(tenant, rest=self._rests.get(tenant, 0.0))

    def wait(self) -> float | None:
        """Seconds until the next build may begin, at most 0 where one may now; None without any."""
        with self._lock:
            found = min((build.not_before for build in self._wanted.values()), default=None)
        return None if found is None else found - time.monotonic()

    def passed_over(self) -> bool:
        """Whether uploads have gone first for so long that a build is to go before them once."""
        now = time.monotonic()
        with self._lock:
            ready = [build for build in self._wanted.values() if build.not_before <= now]
        return any(now - build.since > _LONGEST_WAIT for build in ready)

    def build(self, stop: Callable[[float], None]) -> None:
        """Do the build that has waited longest, unless `stop` ends it.

        Args:
            stop: asked often, with the seconds that this build was worked at before; raises `StepsAsideError`.
        """
        now = time.monotonic()
        with self._lock:
            ready = [build for build in self._wanted.values() if build.not_before <= now]
        if not ready:
            return
        build = min(ready, key=lambda one: one.since)
        before = build.seconds

        def progress(report: "GraphReport") -> None:
            build.progress = _progress(report)
            stop(before)

        build.reason, build.progress = None, GraphProgress(phase="read", done=0, total=0)
        try:
            extractor, llm = self._extractor(self._made_by(build.tenant))
            report = self._index.build_graph(extractor, llm=llm, tenant=build.tenant, progress=progress)
        except StepsAsideError:
            build.since, build.failing_since = time.monotonic(), None
        except _PASSING as error:
            self._postpone(build, error)
        except ViPyloError as error:
            logger.warning("the page graph is not built: %s", error)
            self._end(build, without_folders(str(error), (str(self._index.directory),)))
        except Exception:
            logger.exception("the page graph cannot be built; that is tried again when documents change")
            self._end(build, "the server failed: its log says why")
        else:
            self._rests[build.tenant] = min(_LONGEST_REST, time.monotonic() - now)
            self._counts[build.tenant] = _Counts.of(report.nodes, report.relations)
            unread = len(report.failures)
            self._end(build, f"{unread} pages or figures could not be read or embedded" if unread else None)
        finally:
            build.progress = None
            build.seconds += time.monotonic() - now

    def count(self, tenant: str) -> None:
        """Note how much a tenant's graph holds."""
        from vipylo_rag.graph.counts import count_nodes, count_relations
        from vipylo_rag.graph.readings import READINGS, Readings

        try:
            with closing(Readings.open(self._index.directory / GRAPH / READINGS)) as readings:
                self._counts[tenant] = _Counts.of(count_nodes(readings, tenant), count_relations(readings, tenant))
        except IndexDirectoryError as error:  # the next build makes it anew
            logger.warning("%s", error)

    def _want(self, tenant: str, rest: float = 0.0) -> None:
        now = time.monotonic()
        with self._lock:
            build = self._wanted.setdefault(tenant, _Build(tenant, now, now + rest))
            if build.failing_since is None:
                build.not_before = min(now + rest, build.since + _LONGEST_WAIT)

    def _end(self, build: _Build, reason: str | None) -> None:
        with self._lock:
            del self._wanted[build.tenant]
            self._reasons.pop(build.tenant, None)
            if reason is not None:
                self._reasons[build.tenant] = reason

    def _postpone(self, build: _Build, error: ViPyloError) -> None:
        now = time.monotonic()
        if build.failing_since is None:
            build.failing_since, build.postponed = now, 0
            logger.warning("the page graph waits: %s", error)
        reason = _spoken(error)
        if now - build.failing_since >= self._patience:
            self._end(build, f"{reason}; it is tried again when documents change, or when you ask for it")
            return
        build.not_before = now + RETRY_SECONDS[min(build.postponed, len(RETRY_SECONDS) - 1)]
        build.postponed += 1
        build.reason = f"{reason}; it is tried again in a moment"

    def _extractor(self, made_by: str | None) -> "tuple[str, LLM | None]":
        """What reads a tenant's pages: what read them before; the rules, where nothing did."""
        if made_by is None or made_by.startswith(_BY_RULES):
            return "rules", None
        if self._llm is not None:
            from vipylo_rag.graph.extractors import extractor_identity, load_extractor

            if extractor_identity(load_extractor("llm", self._llm)) == made_by:
                return "llm", self._llm
        raise InputError(
            f"this graph was made by {made_by.rpartition('-')[0]}, which this server does not have: ask who runs it to "
            "start it with the same language model, or to bring the graph up to date by `vipylo graph build`"
        )

    # What was read is looked at by the writer's thread alone: it may be about to begin that book.

    def _made_by(self, tenant: str) -> str | None:
        facts = self._facts()
        if facts is not None and tenant in facts.tenants:
            return facts.tenants[tenant].extractor
        return self._begun_with(tenant)

    def _begun_with(self, tenant: str) -> str | None:
        """The extractor of a first build that did not come to its end."""
        from vipylo_rag.graph.readings import READINGS, Readings
        from vipylo_rag.graph.upkeep import noted_extractor

        path = self._index.directory / GRAPH / READINGS
        if not path.exists():
            return None
        try:
            with closing(Readings.open(path)) as readings:
                return noted_extractor(readings, tenant)
        except IndexDirectoryError:  # the build makes it anew
            return None

    def _is_behind(self, tenant: str, facts: GraphFacts | None) -> bool:
        """Whether a graph was begun and is not whole, or is not of the pages that there are."""
        from vipylo_rag.graph.readings import READINGS, Readings

        mine = facts.tenants.get(tenant) if facts is not None else None
        if facts is None or mine is None:
            return self._begun_with(tenant) is not None
        if mine.pages != self._index.ledger.counts(tenant)["pages done"]:
            return True
        if not facts.fits(self._index.manifest.embedder):
            return True
        try:
            with closing(Readings.open(self._index.directory / GRAPH / READINGS)) as readings:
                return bool(readings.count("stale") or readings.count("due"))
        except IndexDirectoryError:
            return True

    def _facts(self) -> GraphFacts | None:
        try:
            return GraphFacts.read(self._index.directory)
        except ViPyloError:
            return None


def _progress(report: "GraphReport") -> GraphProgress:
    phases: dict[str, GraphPhase] = {"read": "read", "neighbours": "neighbours", "write": "write", "embed": "embed"}
    phase = phases.get(report.phase, "embed")
    return GraphProgress(phase=phase, done=report.done, total=report.total)


def _spoken(error: ViPyloError) -> str:
    """What keeps a graph from being built, without paths of this machine."""
    match error:
        case BeingWrittenError():
            return "another process is changing the index"
        case StoreUnavailableError():
            return "the vector store, or the graph's server, does not answer"
        case EmbedderFailedError():
            return "the model fails"
        case _:
            return without_folders(str(error))
