"""pytest-django's test databases, made from our templates and guarded.

Its fixture ``django_db_setup`` is not replaced: while it runs, Django's ``setup_databases`` and ``teardown_databases``
are ours, which make the databases by Django's. A project's own fixture of that name is served likewise, if it calls
these. One that does not, since it has a copy of them or points the settings at a database that exists, is checked for
hosts, and whatever database has another name after it may be used.

Real databases are blocked from the start of the session to its end, whatever else pytest-django allows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from testkit.core.clock import clock
from testkit.core.errors import TestkitError
from testkit.core.events import Fact, Outcome, RunMeasured, TestFinished, TestStarted, to_json
from testkit.pytest_plugin.ids import name_of
from testkit.pytest_plugin.state import State

FIXTURE = "django_db_setup"
_BUILT = "built.jsonl"
"""In the folder of the run: the templates that its workers have built, by alias."""


class DjangoDatabases:
    """The part of the plugin that looks after pytest-django's databases."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._followers: list[Any] = []
        self._are_made = False
        self._guard: Guard | None = None
        self._block()

    def _block(self) -> None:
        """Block real databases, as soon as there are settings that say which these are."""
        django_conf = sys.modules.get("django.conf")
        if self._guard is None and django_conf is not None and django_conf.settings.configured:
            self._guard = Guard(self._state)

    def pytest_collection_finish(self) -> None:
        self._block()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        if self._guard is not None:
            self._guard.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        if fixturedef.argname != FIXTURE or "django" not in sys.modules:
            return (yield)
        made = MadeDatabases(self._state, request.config, self._followers)
        blocker = request.getfixturevalue("django_db_blocker")

        def drop() -> None:
            with blocker.unblock():
                made.close()

        fixturedef.addfinalizer(
            drop
        )  # the first to be added is the last to run: what --reuse-db has left is there then
        self._block()
        guard = self._guard
        try:
            if guard is not None and not self._are_made:
                guard.before_set_up()
            with made.called():
                result = yield
            self._are_made |= made.is_used
            if guard is not None and not self._are_made:
                guard.after_foreign_set_up()
        except TestkitError as error:
            pytest.fail(f"testkit: {error}", pytrace=False)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        if not self._followers:
            return (yield)
        name, at = name_of(item), clock.now()
        self._tell(TestStarted(id=name.id, class_id=name.class_id, at=at))
        try:
            return (yield)
        finally:
            self._tell(TestFinished(name.id, name.class_id, at, 0.0, Outcome.PASSED))

    def _tell(self, fact: Fact) -> None:
        for follower in self._followers:
            follower(fact)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remove what workers have left for one another, where nothing is to be left for the next run."""
        place = self._state.folder / _BUILT
        if self._state.worker or not place.exists() or session.config.getoption("reuse_db", False):
            return
        from pytest_django.plugin import blocking_manager_key

        from testkit.databases.options import DatabaseOptions

        if not self._state.options[DatabaseOptions].keep_templates:
            with session.config.stash[blocking_manager_key].unblock():
                if self._guard is not None:
                    self._guard.before_set_up()
                _remove_templates(place.read_text().splitlines())


class Guard:
    """Keeps real databases from a session, whether it makes databases for tests or not."""

    def __init__(self, state: State) -> None:
        """Block them."""
        from testkit.databases import guard
        from testkit.databases.options import GuardOptions

        self._guard, self._options = guard, state.options[GuardOptions]
        self._stack = ExitStack()
        self._stack.enter_context(guard.guarded_run(lasts=False))
        with _settings_can_change():
            with suppress(guard.ProductionDatabaseError):  # is told to the tests that want a database
                guard.check_before(None, self._options)
            guard.block(())

    def before_set_up(self) -> None:
        """Let databases be made.

        Raises:
            ProductionDatabaseError: one is not on this machine nor on a safe host.
        """
        from django.db import connections

        with _settings_can_change():
            self._guard.refuse_production(safe_hosts=self._options.safe_database_hosts)
            self._guard.block(connections, setting_up=True)

    def after_foreign_set_up(self) -> None:
        """Allow what a project's own fixture has provided: databases of another name, else those that there are.

        Raises:
            ProductionDatabaseError: one is not on this machine nor on a safe host.
        """
        self._guard.refuse_production(safe_hosts=self._options.safe_database_hosts)
        provided = self._guard.switched()
        if provided:
            self._guard.block(provided)
        else:
            self.close()

    def close(self) -> None:
        """Block nothing any more."""
        self._stack.close()


@contextmanager
def _settings_can_change() -> Iterator[None]:
    """Leave no connection behind that the block has looked at: a fixture may still point the settings elsewhere."""
    from django.db import connections

    before = {connection.alias for connection in connections.all(initialized_only=True)}
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            if connection.alias not in before and connection.connection is None:
                del connections[connection.alias]


class MadeDatabases:
    """The databases that one call of ``setup_databases`` makes, to the end of their use."""

    def __init__(self, state: State, config: pytest.Config, followers: list[Any]) -> None:
        from testkit.session.databases import Databases

        self._state, self._followers = state, followers
        self._reuses = bool(config.getoption("reuse_db", False))
        is_covered = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current() is not None
        worker = state.worker
        # What a worker has built is for the others to copy, so that it has to stay for a while.
        keepdb = self._reuses or bool(worker)
        is_fresh = config.getoption("create_db", False) or (bool(worker) and is_covered and not self._reuses)
        self._databases = Databases(
            state.options,
            keepdb=keepdb,
            is_covered=is_covered,
            verbosity=2 if config.option.verbose > 0 else 1,
            tell=state.notice,
            worker=worker,
            newer_than=state.since if is_fresh else 0.0,
        )
        self._around = ExitStack()
        self._old_config: Any = None
        self.is_used = False
        """Whether anybody has asked for databases."""

    def called(self) -> ExitStack:
        """Return a block in which Django's functions are these."""
        from django.test import runner, utils  # a runner that were first imported within would keep ours

        patched = ExitStack()
        for name, ours in (("setup_databases", self._set_up), ("teardown_databases", self._tear_down)):
            for module, called in ((utils, name), (runner, f"_{name}")):
                patched.callback(setattr, module, called, getattr(module, called))
                setattr(module, called, ours)
        self._patched = patched
        return patched

    def _set_up(self, *args: Any, aliases: Any = None, **given: Any) -> Any:
        self._patched.close()  # what follows needs to see Django's own
        from django.test.utils import setup_databases

        self.is_used = True
        with self._databases.making(aliases) as report:
            old_config = setup_databases(*args, aliases=aliases, **given)
        self._databases.made(old_config)
        self._old_config = old_config
        self._tell_made(report)
        self._around.enter_context(self._databases.surrounding_tests(are_here=True, hear=self._followers.append))
        return old_config

    def _tell_made(self, report: Mapping[str, Any]) -> None:
        if report and self._state.is_told:
            self._state.lines.append(to_json(RunMeasured("databases", report)))
        if not self._state.worker:
            return
        for alias, made in self._databases.templates.provided.items():
            if made.how == "built" and made.template is not None:
                _note_built(self._state, alias, made.base, made.template.name)

    def _tear_down(self, old_config: Any, *args: Any, **given: Any) -> None:
        from django.test.utils import teardown_databases

        if self._old_config is None:
            return
        self._old_config = None
        self._around.close()
        self._followers.clear()
        with self._databases.dropping():
            teardown_databases(old_config, *args, **given)

    def close(self) -> None:
        """Drop the databases, if that was not done: --reuse-db leaves them to the next run, which copies anew."""
        if self._old_config is not None:
            self._tear_down(self._old_config, verbosity=0, keepdb=self._reuses)


def _note_built(state: State, alias: str, base: str, template: str) -> None:
    with open(state.folder / _BUILT, "a", encoding="ascii") as lines:
        lines.write(json.dumps([alias, base, template]) + "\n")


def _remove_templates(lines: Iterable[str]) -> None:
    from django.db import connections

    from testkit.databases.backends import backend_for
    from testkit.session.options import CACHE

    for alias, base, name in map(json.loads, lines):
        backend = backend_for(connections[alias], base, CACHE.absolute())
        if backend is not None and backend.is_server:
            for template in backend.templates():
                if template.name == name:
                    backend.remove(template)
            backend.unlock()
