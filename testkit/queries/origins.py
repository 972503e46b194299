"""Which line of code asked for a query: the user's own, a template's, or a library's where there is neither."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Iterator
from functools import cache
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

import django
from django.template.base import Node

from testkit.endpoints.code import is_installed, is_own_code

Origin = tuple[CodeType | str | None, int]
"""Code, or the path of a template, and the line in it."""

_DATABASE, _USERS, _LIBRARY, _BRIDGE, _HANDLER = range(5)
"""Whose code is in a file: Django's database layer, the user's, a library's, what leads from a thread to a task, or
what hands a request on: whoever made that asked for none of its queries."""
_RENDER = Node.render_annotated.__code__


def find_origin(frame: FrameType | None) -> Origin:
    """Return the innermost line of the user's code or templates, or else of a library's, from ``frame`` outwards."""
    return _walk(frame)[0]


def find_origin_of(sql: str, depth: int) -> Origin:
    """Return what :func:`find_origin` returns for the frame that is ``depth`` calls out from the caller's.

    To walk over some ten frames from a query of the ORM to the user's line takes longer than all the rest of recording
    it. The same SQL mostly comes from the same instruction at the same depth, and to look there is a single step.
    """
    known = _known.get(sql)
    if known is not None:
        place, code, instruction, origin = known
        try:
            frame = sys._getframe(place)
            if frame.f_code is code and frame.f_lasti == instruction:
                return origin
        except ValueError:  # the stack is not so deep now
            pass
    origin, users, steps = _walk(sys._getframe(depth + 1))
    if users is not None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[sql] = depth + 1 + steps, users.f_code, users.f_lasti, origin
    return origin


_known: dict[str, tuple[int, CodeType, int, Origin]] = {}
"""By SQL: how deep on the stack, as seen from :func:`find_origin_of`, which instruction of what code asked for it last."""
_MOST_KNOWN = 2_000


def _walk(frame: FrameType | None) -> tuple[Origin, FrameType | None, int]:
    """Return the origin, the user's frame if it is a line in one that is on the stack, and how many steps it was."""
    code, line = None, 0
    steps = 0
    while frame is not None:
        kind = _kinds[frame.f_code.co_filename]
        if kind:  # most are of the database layer, and each takes its time
            if kind == _USERS:
                return (frame.f_code, frame.f_lineno), frame, steps
            if kind == _LIBRARY:
                if code is None:
                    code, line = frame.f_code, frame.f_lineno
                if frame.f_code is _RENDER and (in_template := _line_in_template(frame)):
                    return in_template, None, 0
            elif kind == _HANDLER:
                break
            elif kind == _BRIDGE and (awaiting := _awaiting_frame(frame)):
                return (awaiting.f_code, awaiting.f_lineno), None, 0
        frame = frame.f_back
        steps += 1
    return (code, line), None, 0


def _line_in_template(frame: FrameType) -> Origin | None:
    """Return the file and line of the node that ``frame`` renders, unless the template is no file, or a library's."""
    node = frame.f_locals.get("self")
    path, token = getattr(getattr(node, "origin", None), "name", ""), getattr(node, "token", None)
    if token is None or not os.path.isabs(path) or is_installed(path):
        return None
    return path, token.lineno


def _awaiting_frame(frame: FrameType) -> FrameType | None:
    """Return the user's innermost frame that awaits what ``sync_to_async()`` runs in this thread.

    Django's asynchronous queries run by it, in a thread with none of the user's code on its stack.
    """
    if frame.f_code.co_name != "thread_handler":
        return None
    call = frame.f_locals.get("task_context")
    for task in asyncio.all_tasks(frame.f_locals.get("loop")):
        users = None
        for waiting in _waiting_frames(task.get_coro()):
            name = waiting.f_code.co_filename
            bridge = name == frame.f_code.co_filename and waiting.f_code.co_name == "__call__"
            if bridge and waiting.f_locals.get("task_context") is call:
                return users
            if _kind_of(name) == _USERS:
                users = waiting
    return None


def _waiting_frames(awaitable: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine and of what it waits for, the innermost last."""
    while awaitable is not None:
        match awaitable:
            case CoroutineType():
                frame, awaitable = awaitable.cr_frame, awaitable.cr_await
            case GeneratorType():
                frame, awaitable = awaitable.gi_frame, awaitable.gi_yieldfrom
            case AsyncGeneratorType():
                frame, awaitable = awaitable.ag_frame, awaitable.ag_await
            case _:
                # A step of "async for" tells its generator to nobody but the garbage collector.
                inner = gc.get_referents(awaitable)
                awaitable = next(
                    (part for part in inner if isinstance(part, (CoroutineType, AsyncGeneratorType))), None
                )
                continue
        if frame is not None:
            yield frame


def _kind_of(filename: str) -> int:
    if filename.startswith(_database_layer()):
        return _DATABASE
    if filename.startswith(_handlers()):
        return _HANDLER
    if filename.endswith(os.path.join("asgiref", "sync.py")):
        return _BRIDGE
    return _USERS if is_own_code(filename) else _LIBRARY


@cache
def _handlers() -> str:
    return os.path.join(os.path.dirname(django.__file__), "core", "handlers", "")


class _Kinds(dict[str, int]):
    def __missing__(self, filename: str) -> int:
        self[filename] = kind = _kind_of(filename)
        return kind


_kinds = _Kinds()


@cache
def _database_layer() -> tuple[str, ...]:
    return tuple(
        os.path.join(folder, "") for folder in (f"{os.path.dirname(django.__file__)}/db", os.path.dirname(__file__))
    )
