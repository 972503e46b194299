"""The workers of a parallel run: how many, how they are started, and what is set up in each."""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.db import connections
from django.test.runner import ParallelTestSuite

from testkit.coverage import measure
from testkit.databases.clones import Clones
from testkit.databases.targets import family_of
from testkit.execution.worker import Surrounding
from testkit.session.databases import Databases
from testkit.session.pooled import Workers

_FRESH_FILE, _FRESH_ON_SERVER = 0.1, 0.5
"""Seconds that a worker with a fresh database costs, roughly."""


class ParallelRun:
    """What a front knows of the workers of its run."""

    def __init__(
        self,
        *,
        count: int,
        start_method: str,
        databases: Databases,
        parallel_suite: type[Any],
        suite: type[Any],
        debug: bool,
        isolate: bool,
        hosts: Sequence[str],
        budgets: Path | None,
        routes: bool,
    ) -> None:
        """Describe the workers.

        Args:
            count: how many there are.
            start_method: of ``multiprocessing``, or ``auto`` for its own choice.
            databases: those of the run, which are made by now.
            parallel_suite: the runner's ``parallel_test_suite``, of which a project's own ``init_worker`` is called.
            suite: the runner's ``test_suite``, which runs the tests.
            debug: ``--debug-mode``.
            isolate: whether each has caches, a MEDIA_ROOT and a temp folder of its own.
            hosts: the hosts that the production guard allows.
            budgets: the file of query budgets, if there are any.
            routes: whether it is noted which routes are asked for.
        """
        self._count = count
        if start_method != "auto":
            multiprocessing.set_start_method(start_method, force=True)  # Django asks for it, too
        self._method = multiprocessing.get_start_method()
        self._databases = databases
        self._provided = sorted(databases.provided)
        self._suite = suite
        has_own = parallel_suite.init_worker is not ParallelTestSuite.init_worker
        self._init_worker = _path_of(parallel_suite) if has_own else ""
        self._debug, self._isolate, self._hosts, self._budgets = debug, isolate, list(hosts), budgets
        self._routes = routes
        self._clones: Clones | None = None
        own = measure.running()
        self._foreign = measure.foreign() if own is None else None
        measurement = own or self._foreign
        self._measurement = measurement.for_workers() if measurement is not None else None

    def workers(self, *, longest_first: bool, rank_of: Callable[[Any], int] | None = None) -> Workers:
        """Return what the session needs to know of the workers."""
        needs_server = any(family_of(connection) != "sqlite3" for connection in self._databases.created)
        return Workers(
            number=self._count,
            start_method=self._method,
            suite=_path_of(self._suite),
            surroundings=self._surroundings,
            longest_first=longest_first,
            rank_of=rank_of,
            fresh_seconds=_FRESH_ON_SERVER if needs_server else _FRESH_FILE,
        )

    def _surroundings(self, worker: str, folder: Path) -> Sequence[Surrounding]:
        """Make the databases of ``worker``, and return what it is to set up."""
        if self._clones is None:
            self._clones = Clones(
                self._databases.created,
                self._provided,
                templates=self._databases.templates,
                forks=self._method == "fork",
                init_worker=self._init_worker,
            )
        surroundings = []
        if self._measurement is not None:  # first, as the others import the project where the worker is no fork
            surroundings.append(Surrounding("testkit.coverage.workers.measured", self._measurement))
        if self._method != "fork":
            settings = {alias: connections[alias].settings_dict for alias in self._provided}
            data = {
                "aliases": self._databases.aliases,
                "settings": settings,
                "debug": self._debug,
                "hosts": self._hosts,
            }
            surroundings.append(Surrounding("testkit.databases.clones.django_set_up", data))
        surroundings.append(Surrounding("testkit.databases.clones.cloned", self._clones.lease(worker, folder)))
        surroundings += itertools.starmap(Surrounding, self._databases.surroundings())
        if self._method != "fork":
            surroundings.append(Surrounding("testkit.screenshots.needle.adapter.adapted", None))
        if self._budgets is not None:
            surroundings.append(Surrounding("testkit.queries.budgets.hooks.followed", str(self._budgets)))
        if self._routes:
            surroundings.append(Surrounding("testkit.coverage.routes.hooks.heard", None))
        if not self._isolate:
            return surroundings
        own = Path(tempfile.mkdtemp(prefix=f"{worker}.", dir=folder))  # not that of the worker whose place it takes
        surroundings.append(Surrounding("testkit.execution.isolation.isolated", own))
        return surroundings

    def close(self) -> None:
        """Drop the databases of all workers, and give what they measured to whom it belongs."""
        if self._clones is not None:
            self._clones.drop()
        if self._foreign is not None:
            self._foreign.take_in_parts()


def _path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
