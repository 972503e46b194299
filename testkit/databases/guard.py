"""The production guard: refuses to run tests where they could touch a real database.

It is always on. What tests may use is said host by host, in ``TESTKIT["SAFE_DATABASE_HOSTS"]`` or the environment's
``TESTKIT_SAFE_DATABASE_HOSTS``: it has no flag, and no pattern may fit every host, because a switch that one types to
be rid of a message would be typed on the one day on which the message is right.

A front calls, within :func:`guarded_run`: :func:`check_before` when the tests are collected; :func:`block` for set-up;
after set-up :func:`check_after`, and :func:`block` for what that returns; before tear-down :func:`check_names`, and
:func:`block` again; then :func:`block_all`. Management commands call :func:`refuse_production`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from testkit.core.errors import TestkitError
from testkit.core.options import from_environment, from_settings, resolve
from testkit.databases.blocking import Phase, block_connections, close_connections, present_rule, set_rule
from testkit.databases.hosts import UNREADABLE, is_safe, normal, provider_of, url_variables
from testkit.databases.options import GuardOptions as GuardOptions
from testkit.databases.targets import (
    Target,
    connected_name,
    family_of,
    is_in_memory,
    name_for_tests,
    name_of,
    real_one,
    same_name,
    shown,
    target_of,
)

# What the settings said before set-up wrote the test databases' names into them. One process has one set of settings,
# and workers that are forked take this along.
_real: dict[str, Target] = {}


class ProductionDatabaseError(TestkitError, CommandError):
    """A database is, or could be, a real one. As a CommandError it ends a management command without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=TestkitError.status)


def check_before(aliases: Iterable[str] | None, options: GuardOptions) -> None:
    """Refuse databases that tests must not touch; to be called before ``setup_databases``, and again in a spawned worker.

    It connects to nothing, and closes what this thread has opened (by a query at import time, say) and all pools, since
    set-up would go on with an open connection to the real database.

    Args:
        aliases: those that tests use (mirrors too); all when None.
        options: with the hosts that are allowed.

    Raises:
        ProductionDatabaseError: with every reason, not only the first.
    """
    chosen = _chosen(aliases)
    _real.clear()
    _real.update({connection.alias: target_of(connection) for connection in _chosen(None)})
    told = {host.name for connection in chosen for host in _real[connection.alias].hosts}
    _refuse([*_refusals(chosen, options.safe_database_hosts), *_url_refusals(options.safe_database_hosts, told)])
    close_connections()


def check_after(aliases: Iterable[str] | None) -> frozenset[str]:
    """Verify after ``setup_databases`` that each alias is connected to its test database, as its server names it.

    Returns:
        the aliases that are provided with a test database, for :func:`block`: those of ``aliases``, and the mirrors
        that Django points at one of them on the same server.

    Raises:
        ProductionDatabaseError: a name was not switched, or the server says that it is another one.
    """
    chosen = _chosen(aliases)
    _refuse([refusal for connection in chosen for refusal in _connected_refusals(connection)])
    provided = {connection.alias for connection in chosen}
    for connection in _chosen(None):
        primary = connection.settings_dict["TEST"]["MIRROR"]
        if primary in provided and _real[primary].server == _real[connection.alias].server:
            provided.add(connection.alias)
    return frozenset(provided)


def switched() -> frozenset[str]:
    """Return the aliases that have the name of a real database no more, whoever has given them another; it asks no server."""
    return frozenset(
        connection.alias
        for connection in _chosen(None)
        if connection.alias in _real and not real_one(_real[connection.alias], name_of(connection), _real.values())
    )


def check_names(aliases: Iterable[str]) -> None:
    """Verify before ``teardown_databases`` that it would drop no real database: Django drops whatever name is set then.

    Nothing is asked of the servers, since tests may leave connections in any state.

    Raises:
        ProductionDatabaseError: an alias has the name of a real database (again), and nothing was dropped.
    """
    _refuse(
        [
            f'{_real[connection.alias].describe()} before tear-down: tests left it at the real database of "{owner.alias}"'
            for connection in _chosen(aliases)
            if (owner := real_one(_real[connection.alias], name_of(connection), _real.values()))
        ]
    )


@contextmanager
def guarded_run(*, lasts: bool) -> Iterator[None]:
    """Undo, after one run, what :func:`check_before`, :func:`block` and :func:`block_all` changed in it.

    Args:
        lasts: the process is there for this run, as that of a command is: real databases stay blocked to its end, for
            threads and exit hooks that outlive the tests. Within the tests of another run, it is undone all the same.
    """
    outer, outer_real = present_rule(), dict(_real)
    try:
        yield
    finally:
        if lasts and outer is None:
            block_all()
        else:
            set_rule(outer)
            _real.clear()
            _real.update(outer_real)


def block(aliases: Iterable[str], *, setting_up: bool = False) -> None:
    """Block from now on every connection of the process to a database that is no test database.

    See :func:`testkit.databases.blocking.block_connections`.

    Args:
        aliases: those that have a test database.
        setting_up: Django is about to make or to drop them, so it needs its administrative connections.
    """
    block_connections(Phase.SET_UP if setting_up else Phase.TESTS, aliases, _real.values())


def block_all() -> None:
    """Block every real database, as no test database is left: to be called after ``teardown_databases``."""
    block_connections(Phase.OVER, (), _real.values())


def refuse_production(aliases: Iterable[str] | None = None, *, safe_hosts: Iterable[str] | None = None) -> None:
    """Refuse to go on when a database is on a host that is not local; for management commands that write or delete.

    Args:
        aliases: what the command uses; all when None.
        safe_hosts: patterns of further hosts that are fine; ``SAFE_DATABASE_HOSTS`` when None.

    Raises:
        ProductionDatabaseError: which Django prints as one line, ending the command with status 2.
    """
    allowed = _options().safe_database_hosts if safe_hosts is None else tuple(safe_hosts)
    targets = [target_of(connection) for connection in _chosen(aliases)]
    _refuse([refusal for target in targets for refusal in _host_refusals(target, allowed)])


def check_settings(options: GuardOptions) -> list[str]:
    """Check all databases of the settings, and return a line for each.

    Raises:
        ProductionDatabaseError: with every reason why tests could touch a real database.
    """
    check_before(None, options)
    return [f"{target.describe()[:-1]} -> {_shown_test_name(target)}): ok" for target in _real.values()]


def _options() -> GuardOptions:
    given: Mapping[str, Any] = getattr(settings, "TESTKIT", {})
    own = {key: value for key, value in given.items() if key.lower() == "safe_database_hosts"}
    return resolve([GuardOptions], [from_environment(os.environ), from_settings(own)])[GuardOptions]


def _chosen(aliases: Iterable[str] | None) -> list[BaseDatabaseWrapper]:
    wanted = None if aliases is None else frozenset(aliases)
    found = [connections[alias] for alias in connections if wanted is None or alias in wanted]
    # Without DATABASES there is nothing that could be touched.
    return [connection for connection in found if family_of(connection) != "dummy"]


def _refuse(refusals: list[str]) -> None:
    if len(refusals) == 1:
        raise ProductionDatabaseError(f"refused: {refusals[0]}")
    if refusals:
        lines = "".join(f"\n- {refusal}" for refusal in refusals)
        raise ProductionDatabaseError(f"refused, for {len(refusals)} reasons:{lines}")


def _refusals(chosen: list[BaseDatabaseWrapper], safe_hosts: tuple[str, ...]) -> Iterator[str]:
    aliases = {connection.alias for connection in chosen}
    for connection in chosen:
        of_host = list(_host_refusals(_real[connection.alias], safe_hosts))
        of_name = list(_name_refusals(connection, aliases))
        yield from of_host
        yield from of_name
        # Some backends fetch a token when asked for their parameters: only where the host is fine.
        if not of_host and not of_name and not _switches_names(connection):
            yield (
                f"{_real[connection.alias].describe()}: its backend or its OPTIONS do not switch names, so tests would "
                f"run on the real database; remove the database's name from OPTIONS, or use another backend for tests"
            )


def _host_refusals(target: Target, safe_hosts: tuple[str, ...]) -> Iterator[str]:
    for host in target.hosts:
        if not is_safe(host.name, safe_hosts):
            yield f"{target.describe()}: {host.where} is {_not_local(host.name)}"


def _url_refusals(safe_hosts: tuple[str, ...], told: set[str]) -> Iterator[str]:
    for variable, hosts in url_variables(os.environ):
        for host in hosts:
            # As a rule the settings have the variable's host, and a refusal for it.
            if host not in told and not is_safe(host, safe_hosts):
                yield f"the environment's {variable} points to {_not_local(host)} Otherwise unset {variable}."


def _not_local(host: str) -> str:
    kind = provider_of(host) or "not a local host"
    if host == UNREADABLE:
        return f"a host that cannot be told from the password {host}."
    allowed = f'TESTKIT = {{"SAFE_DATABASE_HOSTS": ["{normal(host)}"]}}'
    return f"{host}, {kind}. If its databases are for tests, allow it in the settings: {allowed}."


def _name_refusals(connection: BaseDatabaseWrapper, aliases: set[str]) -> Iterator[str]:
    target, primary = _real[connection.alias], connection.settings_dict["TEST"]["MIRROR"]
    what = target.describe()
    if primary and primary not in _real:
        yield f'{what}: its TEST["MIRROR"] is "{primary}", which is not in DATABASES'
        return
    if primary and primary not in aliases:
        # setup_databases() gives a mirror the name that its primary has, which then is the real one.
        yield f'{what}: it mirrors "{primary}", which has no test database: add "{primary}" to the tests\' `databases`'
        return
    try:
        test = name_for_tests(connections[primary or connection.alias])
    except Exception as error:  # whatever a foreign backend does
        yield f"{what}: its backend does not switch names: it has none for a test database ({type(error).__name__})"
        return
    # Imported late: it brings the serializers, and every backend that is loaded has it already.
    from django.db.backends.base.creation import BaseDatabaseCreation

    if not isinstance(connection.creation, BaseDatabaseCreation):
        yield f"{what}: its backend does not switch names: its creation class is not derived from Django's"
    owner = real_one(target, test, _real.values())
    if owner:
        yield (
            f"{what}: its test database would have the name {shown(test, target.family)}, which is the real database of "
            f'"{owner.alias}"; give DATABASES["{primary or connection.alias}"]["TEST"]["NAME"] another name'
        )


def _switches_names(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a connection would be opened with other parameters if the database had another name."""
    if family_of(connection) == "oracle":  # which switches users
        return True
    probe = connection.copy()
    parameters = []
    for name in ("testkit_one", "testkit_two"):
        probe.settings_dict["NAME"] = name
        try:
            given = probe.get_connection_params().items()
        except Exception:  # no such method, or incomplete settings: `check_after` will ask the server
            return True
        parameters.append({key: value for key, value in given if isinstance(value, str | int | bytes)})
    return parameters[0] != parameters[1]


def _connected_refusals(connection: BaseDatabaseWrapper) -> Iterator[str]:
    target, now = _real.get(connection.alias), name_of(connection)
    if target is None:
        yield f'"{connection.alias}": its real name is not known: check_before() has to come before set-up'
        return
    what = f"{target.describe()} after set-up"
    owner = real_one(target, now, _real.values())
    if owner:
        yield f'{what}: its backend does not switch names: it is still at the real database of "{owner.alias}"'
        return
    connected = connected_name(connection)
    if connected is None:
        return
    both_in_memory = target.family == "sqlite3" and is_in_memory(now) and is_in_memory(connected)
    if not (both_in_memory or same_name(target.family, connected, now)):
        names = f"{shown(connected, target.family)}, not {shown(now, target.family)}"
        yield f"{what}: the server says that the connected database is {names}: its backend does not switch names"


def _shown_test_name(target: Target) -> str:
    connection = connections[target.alias]
    return shown(name_for_tests(connections[connection.settings_dict["TEST"]["MIRROR"] or target.alias]), target.family)
