"""Assertions on the queries of a piece of code, as functions and as a mixin for Django's test cases.

Transaction control (BEGIN, SAVEPOINT, …) does not count, so that numbers are the same on every database. Failures say
which queries ran, grouped, and which line asked for each.
"""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections

from testkit.queries.recorder import Query, Recording

if TYPE_CHECKING:
    from unittest import TestCase as _TestCase

    from django.db.models import QuerySet
else:
    _TestCase = object

Using = str | Collection[str] | None
"""The alias of a database, several of them, or None for all."""

# Tracebacks of failures end at the test's line: unittest leaves out the frames of modules with the first of these names,
# pytest those with the second.
__unittest = True
__tracebackhide__ = True


class CheckedRecording(Recording):
    """The queries of a ``with`` block, checked at its end unless an exception ends it."""

    def __init__(self, check: Callable[[Sequence[Query]], None], using: Using) -> None:
        """``check`` is called with the queries, and raises AssertionError if they are not as they should be."""
        for alias in [using] if isinstance(using, str) else using or ():
            connections[alias]  # raises ConnectionDoesNotExist for an alias that is none, of which nothing would count
        super().__init__(using)
        self._check = check

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if not any(error):
            self._check(list(self))


def assert_num_queries(
    num: int, func: Callable[..., object] | None = None, *args: Any, using: Using = DEFAULT_DB_ALIAS, **kwargs: Any
) -> Recording:
    """Assert that exactly ``num`` queries run when ``func`` is called with the arguments, or in a ``with`` block.

    Return the :class:`~testkit.queries.recorder.Recording` of them.

    Raises:
        AssertionError: it was another number.
    """

    def check(queries: Sequence[Query]) -> None:
        if len(queries) != num:
            _fail(f"Expected {_counted(num)}{_on(using)}, but {_counted(len(queries))} ran", queries)

    return _checked(check, using, func, args, kwargs)


def assert_max_num_queries(
    num: int, func: Callable[..., object] | None = None, *args: Any, using: Using = None, **kwargs: Any
) -> Recording:
    """Assert that ``num`` queries or less run when ``func`` is called with the arguments, or in a ``with`` block.

    Return the :class:`~testkit.queries.recorder.Recording` of them.

    Raises:
        AssertionError: there were more.
    """

    def check(queries: Sequence[Query]) -> None:
        if len(queries) > num:
            _fail(f"Expected at most {_counted(num)}{_on(using)}, but {_counted(len(queries))} ran", queries)

    return _checked(check, using, func, args, kwargs)


def assert_no_duplicate_queries(
    func: Callable[..., object] | None = None,
    *args: Any,
    at_least: int = 3,
    writes: bool = False,
    using: Using = None,
    **kwargs: Any,
) -> Recording:
    """Assert that no line asks for the same query ``at_least`` times or more: the sign of a query in a loop.

    Queries are the same if their fingerprints are; ``writes`` says whether INSERT, UPDATE and DELETE count, too.
    Return the :class:`~testkit.queries.recorder.Recording` of all queries.

    Raises:
        AssertionError: a query was repeated.
    """

    def check(queries: Sequence[Query]) -> None:
        from testkit.queries.groups import duplicates_of

        duplicates = duplicates_of(queries, at_least=at_least, writes=writes)
        if duplicates:
            repeats = ", ".join(f"{group.count} times" for group in duplicates)
            what = "1 query was" if len(duplicates) == 1 else f"{len(duplicates)} queries were"
            _fail(
                f"Expected no line to ask for the same query {at_least} times or more{_on(using)}, "
                f"but {what} repeated ({repeats}); {_counted(len(queries))} ran",
                queries,
            )

    return _checked(check, using, func, args, kwargs)


def assert_constant_num_queries(
    populate: Callable[[int], object],
    func: Callable[[], object],
    *,
    scale_factors: Sequence[int] = (2, 3),
    warmup: bool = True,
    tolerance: int = 0,
    using: Using = None,
) -> None:
    """Assert that ``func`` needs as many queries for many rows as for few: that none of them is in a loop (N+1).

    For each of the scale factors, ``populate(n)`` is called, and then ``func()`` is recorded.

    Args:
        populate: makes ``n`` more rows, each with related rows of its own. Nothing is undone between the calls (what is
            rolled back is hidden from threads and live servers), so unique values must differ from call to call. One
            that makes the state for ``n`` rows, whatever was there, works as well.
        func: what is measured. It must read its results: a queryset that nobody reads sends nothing. Beware of pages:
            if the first ``n`` fill a page, more rows do not show.
        scale_factors: numbers of rows from 1 on, each greater than the one before.
        warmup: call ``func`` once before it is measured, with the first rows in place, so that what is cached for good
            (content types, sites) does not look like growth, or hide it.
        tolerance: how many queries more than for the first scale are allowed, for ``iterator(chunk_size=…)`` with
            prefetches, which rightly needs a query for each chunk.
        using: the alias of the database, several of them, or None for all.

    Raises:
        AssertionError: the number of queries grew, or there were none, so that nothing was measured.
        ValueError: the scale factors cannot show growth.
    """
    _check_scale_factors(scale_factors)
    runs: list[Sequence[Query]] = []
    for scale in scale_factors:
        populate(scale)
        if warmup and not runs:
            _call(func)
        with CheckedRecording(runs.append, using):
            _call(func)
    counts = [len(queries) for queries in runs]
    if not any(counts):
        raise AssertionError(
            f"Expected queries{_on(using)} whose number can be compared, but none ran: does func read its results, or "
            "does a cache answer (assert_num_queries(0, func) says so)?"
        )
    if max(counts) - counts[0] > tolerance:
        _fail_for_growth(runs, scale_factors, tolerance, using)


def assert_num_queries_snapshot(path: Path, *, command: str, using: Using = None) -> Recording:
    """Assert, for a ``with`` block, that its queries are those recorded in the file ``path``, in their order.

    :func:`testkit.queries.snapshots.snapshot_path` gives the path of a test's snapshot. ``command`` runs the test; it is
    shown as the way to accept other queries.

    Raises:
        AssertionError: the queries differ from those in the file, or there is no such file.
    """

    def check(queries: Sequence[Query]) -> None:
        from testkit.queries.snapshots import compare_with_snapshot

        compare_with_snapshot(queries, path, command=command)

    return CheckedRecording(check, using)


class QueryAssertionsMixin(_TestCase):
    """Assertions on queries, for Django's test cases: ``class BookTests(QueryAssertionsMixin, TestCase)``.

    Those that take ``func`` call it with the arguments that follow, or are context managers without it; both give the
    :class:`~testkit.queries.recorder.Recording`. An exception in the block goes through, and nothing is asserted.
    ``using`` is the alias of a database, several of them, or None for all.
    """

    def assertNumQueries(
        self,
        num: int,
        func: Callable[..., object] | None = None,
        *args: Any,
        using: Using = DEFAULT_DB_ALIAS,
        **kwargs: Any,
    ) -> Any:  # a Recording; for type checkers it stands for Django's method, which gives another object or None
        """Assert that exactly ``num`` queries run; transaction control is none, unlike in Django's own assertion."""
        return assert_num_queries(num, func, *args, using=using, **kwargs)

    def assertMaxNumQueries(
        self, num: int, func: Callable[..., object] | None = None, *args: Any, using: Using = None, **kwargs: Any
    ) -> Recording:
        """Assert that ``num`` queries or less run."""
        return assert_max_num_queries(num, func, *args, using=using, **kwargs)

    def assertConstantNumQueries(
        self,
        populate: Callable[[int], object],
        func: Callable[[], object],
        *,
        scale_factors: Sequence[int] = (2, 3),
        warmup: bool = True,
        tolerance: int = 0,
        using: Using = None,
    ) -> None:
        """Assert that ``func()`` needs no more queries after ``populate(n)`` made more rows (N+1).

        See :func:`assert_constant_num_queries`.
        """
        assert_constant_num_queries(
            populate, func, scale_factors=scale_factors, warmup=warmup, tolerance=tolerance, using=using
        )

    def assertNoDuplicateQueries(
        self,
        func: Callable[..., object] | None = None,
        *args: Any,
        at_least: int = 3,
        writes: bool = False,
        using: Using = None,
        **kwargs: Any,
    ) -> Recording:
        """Assert that no line asks for the same query ``at_least`` times or more, writes only if ``writes`` says so."""
        return assert_no_duplicate_queries(func, *args, at_least=at_least, writes=writes, using=using, **kwargs)

    def assertNumQueriesSnapshot(self, name: str = "", *, using: Using = None) -> Recording:
        """Assert, for a ``with`` block, that its queries are those recorded beside the test, in their order.

        They are in ``query_snapshots/<module>/<test>.<name>.txt``; ``TESTKIT_UPDATE_QUERY_SNAPSHOTS=1`` in the
        environment writes it. ``name`` tells several snapshots of a test apart.

        Raises:
            ValueError: the test has used this name already.
        """
        from testkit.queries.snapshots import snapshot_path

        path = snapshot_path(inspect.getfile(type(self)), self.id().removeprefix(f"{type(self).__module__}."), name)
        used: set[Path] = self.__dict__.setdefault("_query_snapshots", set())
        if path in used:
            raise ValueError(f"{self.id()} has used the snapshot {path.name} already: give each a name of its own")
        used.add(path)
        self.addCleanup(used.discard, path)  # the test may run again, on the same object
        return assert_num_queries_snapshot(path, command=_command_for(self.id()), using=using)

    def assertUsesIndex(
        self,
        queryset: QuerySet[Any] | Query | Callable[[], object],
        index: str | None = None,
        using: str | None = None,
    ) -> None:
        """Assert that a query can be served by an index, of this name if there is one given.

        See :func:`testkit.queries.explain.assert_uses_index`.
        """
        from testkit.queries.explain import assert_uses_index

        assert_uses_index(queryset, index=index, using=using)


def _checked(
    check: Callable[[Sequence[Query]], None],
    using: Using,
    func: Callable[..., object] | None,
    args: Sequence[Any],
    kwargs: dict[str, Any],
) -> Recording:
    recording = CheckedRecording(check, using)
    if func is not None:
        with recording:
            _call(func, *args, **kwargs)
    return recording


def _call(func: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    result = func(*args, **kwargs)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(
            f"{func!r} is asynchronous, and has not run: await it in a with block, or give async_to_sync(…) of it "
            "(from asgiref.sync)"
        )


def _check_scale_factors(scale_factors: Sequence[int]) -> None:
    given = f"scale_factors={tuple(scale_factors)!r}"
    if any(scale < 1 for scale in scale_factors):
        raise ValueError(
            f"{given}: begin at 1 or more. Without rows prefetch_related() sends no query for the related ones, so that "
            "0 makes every prefetch look like an N+1."
        )
    if len(scale_factors) < 2 or any(low >= high for low, high in pairwise(scale_factors)):
        raise ValueError(f"{given}: give two or more, each greater than the one before, or nothing can grow.")


def _fail_for_growth(
    runs: Sequence[Sequence[Query]], scale_factors: Sequence[int], tolerance: int, using: Using
) -> None:
    from testkit.queries.groups import describe, groups_of
    from testkit.queries.hints import hint_of
    from testkit.queries.shorten import shorten

    most = max(runs, key=len)
    before = Counter(query.fingerprint for query in runs[0])
    grown = [group for group in groups_of(most) if group.count > before[group.fingerprint]]
    counts = ", ".join(f"{len(run)} after populate({scale})" for run, scale in zip(runs, scale_factors, strict=True))
    allowed = f" (tolerance {tolerance})" if tolerance else ""
    lines = [
        f"Expected the number of queries{_on(using)} not to grow with the rows{allowed}, but it was {counts}.",
        "What grew:",
    ]
    for group in grown:
        lines.append(f"  from {before[group.fingerprint]} to {group.count}: {shorten(group.fingerprint)}")
        lines += [f"      {count} × {origin}" for origin, count in group.origins]
        lines += [f"      {line}" for line in hint_of(group, most).splitlines()]
    fingerprints = {group.fingerprint for group in grown}
    others = [query for query in most if query.fingerprint not in fingerprints]
    if others:
        lines += ["What did not grow:", describe(others)]
    raise AssertionError("\n".join(lines))


def _fail(expected: str, queries: Sequence[Query]) -> None:
    from testkit.queries.groups import describe

    raise AssertionError(f"{expected}:\n{describe(queries)}" if queries else f"{expected}.")


def _counted(number: int) -> str:
    return "1 query" if number == 1 else f"{number} queries"


def _on(using: Using) -> str:
    """Return the part of a sentence that says of which databases it is, if it is not of all."""
    if using is None:
        return ""
    return f" on {using}" if isinstance(using, str) else f" on {' and '.join(sorted(using))}"


def _command_for(test_id: str) -> str:
    """Return the command that runs this test alone."""
    # Set while a test runs, as "tests/test_x.py::XTests::test_y (call)", and passed on to the processes that it starts.
    of_pytest = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if of_pytest and "pytest" in sys.modules:
        return f"python -m pytest {shlex.quote(of_pytest)}"
    program = Path(sys.argv[0])
    if program.parts[-2:] == ("testkit", "__main__.py"):
        return f"python -m testkit {shlex.quote(test_id)}"
    manage = program if program.name == "manage.py" else "manage.py"
    return f"python {manage} test {shlex.quote(test_id)}"
