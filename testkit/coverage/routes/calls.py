"""Hears of views that are called: by a test with a request of ``RequestFactory``, past their routes, or by a handler."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial, update_wrapper, wraps
from inspect import CO_COROUTINE
from types import CodeType, FunctionType
from typing import Any

from testkit.endpoints.code import is_own_code
from testkit.endpoints.routes import views_of
from testkit.endpoints.views import function_of, name_of
from testkit.endpoints.wrapping import wrapped

Note = Callable[[str | type], None]
"""Is told the dotted path, or the class, of a view that is called."""
_TELL, _GO_ON = "testkit: tell", "testkit: go on"


def class_views_heard(note: Note) -> AbstractContextManager[None]:
    """Tell ``note`` of each class view that is called, for the block."""
    from django.views import View

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(real)
        def begin(self: Any, *args: Any, **kwargs: Any) -> Any:
            note(type(self))
            return real(self, *args, **kwargs)

        return begin

    changes: list[tuple[type, str, Any]] = [(View, "setup", noting)]
    rest_framework = sys.modules.get("rest_framework.views")
    if rest_framework is not None:  # whose viewsets are not set up as Django's views are
        changes.append((rest_framework.APIView, "dispatch", noting))
    return wrapped(*changes)


def function_views() -> dict[FunctionType, str]:
    """Return the functions of the project that are views, below their decorators, and the names of the views."""
    functions: dict[FunctionType, str] = {}
    with suppress(Exception):  # URLs that cannot be imported: whoever asks for one will say it better
        for _, place in views_of():
            function = function_of(place.callback)
            if function is not None and is_own_code(function.__code__.co_filename):
                functions[function] = name_of(place.callback)
    return functions


def functions_heard(functions: Mapping[FunctionType, str], note: Note) -> AbstractContextManager[None]:
    """Tell ``note`` of each call of one of ``functions``, by the name that it has there, for the block.

    Tests call a function by whatever name they have imported it, so it is the function itself that is heard of.
    """
    return _heard_by_events(functions, note) if sys.version_info >= (3, 12) else _heard_by_code(functions, note)


@contextmanager
def _heard_by_events(functions: Mapping[FunctionType, str], note: Note) -> Iterator[None]:
    """Ask Python for an event when one of ``functions`` begins; no other code is slower for it."""
    monitoring: Any = vars(sys)["monitoring"]
    names: dict[CodeType, str] = {function.__code__: name for function, name in functions.items()}
    begins = monitoring.events.PY_START
    tool = next((number for number in (3, 4) if monitoring.get_tool(number) is None), None)
    if tool is None:  # both that Python leaves to anyone are taken
        yield
        return
    monitoring.use_tool_id(tool, "testkit")
    try:
        monitoring.register_callback(tool, begins, lambda code, offset: note(names[code]))
        for code in names:
            monitoring.set_local_events(tool, code, begins)
        yield
    finally:
        for code in names:
            monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, begins, None)
        monitoring.free_tool_id(tool)


@contextmanager
def _heard_by_code(functions: Mapping[FunctionType, str], note: Note) -> Iterator[None]:
    """Give each of ``functions`` code that tells, and goes on with its own: Python 3.11 has no events for single ones."""
    with ExitStack() as stack:
        for function, name in functions.items():
            stack.callback(_give, function, function.__code__)
            own = _twin(function)
            is_async = bool(function.__code__.co_flags & CO_COROUTINE)
            told = (_tells_async if is_async else _tells).__code__
            values: Mapping[Any, Any] = {_TELL: partial(note, name), _GO_ON: own}
            code = told.replace(
                co_consts=tuple(values.get(value, value) for value in told.co_consts),
                co_freevars=function.__code__.co_freevars,  # a function's code may not have more or less than before
                co_name=function.__code__.co_name,
                co_qualname=function.__code__.co_qualname,
            )
            _give(function, code, own)  # whoever looks at its signature looks at that of what it wraps
        yield


def _give(function: FunctionType, code: CodeType, wrapped: FunctionType | None = None) -> None:
    function.__code__ = code
    vars(function).pop("__wrapped__", None)
    if wrapped is not None:
        vars(function)["__wrapped__"] = wrapped


def _twin(function: FunctionType) -> FunctionType:
    """Return a function that does what ``function`` does, and looks like it."""
    twin = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    update_wrapper(twin, function)
    del vars(twin)["__wrapped__"]
    return twin


# What stands below in text is put in as constants: the globals of a function stay those of its own module.


def _tells(*args: Any, **kwargs: Any) -> Any:
    tell: Any = "testkit: tell"
    go_on: Any = "testkit: go on"
    tell()
    return go_on(*args, **kwargs)


async def _tells_async(*args: Any, **kwargs: Any) -> Any:
    tell: Any = "testkit: tell"
    go_on: Any = "testkit: go on"
    tell()
    return await go_on(*args, **kwargs)
