"""The test databases of one run: guarded, made from templates, checked beside, cleaned after tests, and dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.core.bus import Listener
from testkit.core.options import Options
from testkit.databases import guard, provision
from testkit.databases.options import CheckOptions, DatabaseOptions, GuardOptions
from testkit.databases.targets import family_of, is_in_memory, name_of
from testkit.session.options import CACHE

if TYPE_CHECKING:
    from testkit.databases.checks import Beside, Missing
    from testkit.databases.templates import Templates


class Databases:
    """The test databases of a run, for a front whose host (Django's runner) makes and drops them."""

    def __init__(
        self,
        options: Options,
        *,
        keepdb: bool,
        is_covered: bool,
        verbosity: int,
        tell: Callable[[str], None],
        worker: str = "",
        newer_than: float = 0.0,
    ) -> None:
        """Provide them as ``options`` say.

        Args:
            options: of the run.
            keepdb: whether templates stay on servers.
            is_covered: whether coverage is measured, by testkit or by somebody else.
            verbosity: the host's; causes are told from 2 on.
            tell: tells the user something.
            worker: the name of this worker, if the host's workers make their databases one by one.
            newer_than: templates that were not used since then (a Unix time) are built anew.
        """
        self._options, self._tell, self._verbosity = options, tell, verbosity
        self._keepdb, self._is_covered = keepdb, is_covered
        self._worker, self._newer_than = worker, newer_than
        self._templates: Templates | None = None
        self._stack = ExitStack()
        self._beside: Beside | None = None
        self.aliases: list[str] | None = None
        """The aliases that tests use; all when None."""
        self.created: list[BaseDatabaseWrapper] = []
        """One connection for each test database that was made."""
        self.provided: frozenset[str] = frozenset()
        """The aliases that have a test database."""

    @property
    def templates(self) -> Templates:
        """How the databases were made."""
        if self._templates is None:
            self._templates = provision.templates(
                self._options[DatabaseOptions],
                CACHE.absolute(),
                keepdb=self._keepdb,
                is_covered=self._is_covered,
                tell=self._tell_cause,
                say=self._tell,
                worker=self._worker,
                newer_than=self._newer_than,
            )
        return self._templates

    def _tell_cause(self, text: str) -> None:
        if self._verbosity > 1:
            self._tell(text)

    def explain(self) -> Iterator[str]:
        """Yield what templates depend on, for ``--show-fingerprint``."""
        guard.check_before(None, self._options[GuardOptions])
        guard.block(connections, setting_up=True)
        yield from self.templates.explain()

    def before_loading(self) -> None:
        """Prepare the checks; to be called before tests are loaded, as models that they define need no migrations."""
        if self._beside is None and self._options[CheckOptions].checks:
            from testkit.databases.checks import Beside  # here, as --no-checks needs nothing of it

            self._beside = Beside()

    @contextmanager
    def making(self, aliases: Iterable[str] | None) -> Iterator[dict[str, Any]]:
        """Let the host's ``setup_databases`` make them in the block; gives what is to be published about it, then.

        Raises:
            ProductionDatabaseError: a database is, or could be, a real one.
        """
        self.aliases = None if aliases is None else sorted(aliases)
        guard.check_before(aliases, self._options[GuardOptions])
        guard.block(connections if aliases is None else aliases, setting_up=True)
        with ExitStack() as stack:
            stack.enter_context(provision.remembered(self._options[DatabaseOptions]))
            with provision.timed(aliases, self.templates) as report, self.templates.providing(aliases):
                yield report
            self.provided = guard.check_after(aliases)
            guard.block(self.provided)
            self._stack = stack.pop_all()  # to the end of the run

    def made(self, old_config: Any) -> None:
        """Take what the host's ``setup_databases`` has returned."""
        self.created = [connection for connection, _, is_first in old_config or () if is_first]

    def run_checks(self, run: Callable[[], None], *, has_core: bool, flushes: bool, is_parallel: bool) -> None:
        """Run the system checks, beside the tests if that is possible.

        Args:
            run: runs them as the host does.
            has_core: whether a processor is left for them.
            flushes: whether tests in this process empty tables, which a check might read.
            is_parallel: whether tests run in workers.
        """
        if self._beside is None:
            return
        fails = self._options[CheckOptions].fail_on_missing_migrations
        missing: Missing = "fail" if fails else "warn" if self._verbosity else "ignore"
        # A database that is copied must not be in use.
        meets = [connection for connection in self.created if self._is_used_directly(connection, is_parallel)]
        self._beside.start(
            run, apart=has_core and not self._is_covered and not (meets and (flushes or is_parallel)), missing=missing
        )

    def _is_used_directly(self, connection: BaseDatabaseWrapper, is_parallel: bool) -> bool:
        if family_of(connection) == "sqlite3" and is_in_memory(name_of(connection)):
            return False
        made = self.templates.provided.get(connection.alias)
        return not (is_parallel and made is not None and made.template is not None)

    def why_to_end(self) -> str:
        """Return why no further test is to begin, if so: the checks beside the tests have failed."""
        failed = self._beside is not None and self._beside.poll() is not None
        return "the system checks have failed" if failed else ""

    def surroundings(self) -> list[tuple[str, Any]]:
        """Return what is to be around tests in each process, as :func:`testkit.databases.provision.surroundings`."""
        return list(provision.surroundings(self._options[DatabaseOptions])) if self.provided else []

    @contextmanager
    def surrounding_tests(self, *, are_here: bool, hear: Callable[[Listener], None]) -> Iterator[None]:
        """Be around the tests.

        Args:
            are_here: whether they run in this process.
            hear: lets something hear the facts of the run.

        Raises:
            CommandError: the system checks beside them have failed.
        """
        with ExitStack() as stack:
            if are_here and self.provided:
                for companion in stack.enter_context(provision.surrounded(self._options[DatabaseOptions])):
                    hear(companion)
            yield
        if self._beside is not None:
            self._beside.finish()

    @contextmanager
    def dropping(self) -> Iterator[None]:
        """Let the host's ``teardown_databases`` drop them in the block."""
        if self._beside is not None:
            self._beside.end()
        guard.check_names(self.provided)
        guard.block(self.provided, setting_up=True)
        with self._stack, self.templates.releasing():
            yield
        guard.block_all()
