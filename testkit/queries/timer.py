"""How long a view takes, and how much of it the database: ``@view_timer``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from types import CoroutineType
from typing import Any, Self, TypeVar, cast, overload

from asgiref.sync import iscoroutinefunction

from testkit.core.clock import clock
from testkit.queries.recorder import Query, Row, Scope, query_of

View = TypeVar("View", bound=Callable[..., Any])

logger = logging.getLogger("testkit.requests")


class Tally:
    """Counts the queries that run in ``with`` blocks, one block after the other, and the seconds spent in them.

    Of many queries, just the first ``keep`` are kept.
    """

    def __init__(self, *, keep: int = 0) -> None:
        self.count = 0
        self.query_seconds = 0.0
        self.seconds = 0.0
        self._keep = keep
        self._rows: list[Row] = []
        self._scope = Scope(self._hear, is_request=True)

    def _hear(self, row: Row) -> None:
        self.count += 1
        self.query_seconds += row[3]
        if self.count <= self._keep:
            self._rows.append(row)

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._began = clock.seconds()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds += clock.seconds() - self._began
        self._scope.__exit__(*error)

    @property
    def queries(self) -> list[Query]:
        """The queries that are kept."""
        return [query_of(row) for row in self._rows]


@overload
def view_timer(view: View, /) -> View: ...
@overload
def view_timer(*, prefix: str = "", writer: Callable[[str], object] | None = None) -> Callable[[View], View]: ...
def view_timer(
    view: View | None = None, /, *, prefix: str = "", writer: Callable[[str], object] | None = None
) -> View | Callable[[View], View]:
    """Write, each time that a view has answered or raised, what it took::

        shelf.views.index: db_query_count=29, db_query_time_ms=136.421, duration_ms=192.56

    The view is a function or asynchronous function, what ``as_view()`` returns, or by ``method_decorator`` a method
    such as ``dispatch``. A template response counts until it is rendered, a streaming one until it is returned.

    ``prefix`` is put before the text as it is. ``writer`` is called with the text, as ``print`` would be; by default
    the logger ``testkit.requests`` gets it at level INFO, with the figures as attributes of the record.
    """

    def decorate(view: View) -> View:
        write = _writing(f"{prefix}{_name_of(view)}", writer)

        @wraps(view)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with _Timing(write) as timing:
                return timing.of_result(view(*args, **kwargs))

        @wraps(view)
        async def timed_async(*args: Any, **kwargs: Any) -> Any:
            with _Timing(write) as timing:
                return timing.of_result(await view(*args, **kwargs))

        return cast(View, timed_async if iscoroutinefunction(view) else timed)

    return decorate if view is None else decorate(view)


def _name_of(view: Any) -> str:
    view_class = getattr(view, "view_class", None)  # of as_view()
    if view_class is not None:
        return f"{view_class.__module__}.{view_class.__qualname__}"
    owner = getattr(getattr(view, "func", None), "__self__", None)  # of method_decorator
    if owner is not None:
        return f"{type(owner).__module__}.{type(owner).__qualname__}.{view.__name__}"
    return f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"


def _writing(name: str, writer: Callable[[str], object] | None) -> Callable[[Tally], object]:
    def write(tally: Tally) -> None:
        figures = figures_of(tally, tally.seconds)
        text = f"{name}: {text_of(figures)}"
        if writer is None:
            logger.info("%s", text, extra=figures)
        else:
            writer(text)

    return write


def figures_of(tally: Tally, seconds: float) -> dict[str, Any]:
    """Return what was counted, and a duration, as a log record has it, in milliseconds."""
    return {
        "db_query_count": tally.count,
        "db_query_time_ms": round(tally.query_seconds * 1000, 3),
        "duration_ms": round(seconds * 1000, 3),
    }


def text_of(figures: dict[str, Any]) -> str:
    """Return the figures as a line of the log has them."""
    return (
        f"db_query_count={figures['db_query_count']}, db_query_time_ms={figures['db_query_time_ms']:.3f}, "
        f"duration_ms={figures['duration_ms']:.2f}"
    )


class _Timing:
    """Times a call, and what the call leaves to be done: a coroutine, or a response that is rendered later."""

    def __init__(self, write: Callable[[Tally], object]) -> None:
        self._write, self._tally, self._is_over = write, Tally(), True

    def __enter__(self) -> Self:
        self._is_over = True
        self._tally.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._tally.__exit__(*error)
        if self._is_over:
            self._write(self._tally)

    def of_result(self, result: Any) -> Any:
        """Return the result of the call; what it leaves to be done is timed, too."""
        if isinstance(result, CoroutineType):
            self._is_over = False
            return self._await(result)
        if getattr(result, "is_rendered", True) is False:
            self._is_over = False
            self._time_rendering(result)
        return result

    async def _await(self, result: Awaitable[Any]) -> Any:
        with self:
            return self.of_result(await result)

    def _time_rendering(self, response: Any) -> None:
        render = response.render

        def timed_render() -> Any:
            # Caches pickle the response when it is rendered, and cannot pickle a function like this.
            del response.render
            with self:
                return render()

        response.render = timed_render
