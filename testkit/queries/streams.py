"""Streaming responses: what is asked while their parts are made belongs to the request, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, cast

End = Callable[[BaseException | None], None]
"""Is called when the last part was made, or with the error that ended them."""


def follow_parts(response: Any, around: AbstractContextManager[Any], end: End, close: Callable[[], None]) -> None:
    """Let ``response``, which streams, tell of its parts.

    Args:
        response: a ``StreamingHttpResponse``.
        around: is entered for the making of each part, and left in between, when the thread may do something else.
        end: see :data:`End`.
        close: is called when Django closes the response, whether it was read to its end or not.
    """
    parts = _AsyncParts if response.is_async else _Parts
    response.streaming_content = parts(response.streaming_content, around, end, close)


class _Parts(Iterator[bytes]):
    def __init__(self, parts: Any, around: AbstractContextManager[Any], end: End, close: Callable[[], None]) -> None:
        self._parts, self._around, self._end, self.close = iter(parts), around, end, close

    def __next__(self) -> bytes:
        try:
            with self._around:
                return cast(bytes, next(self._parts))
        except BaseException as error:
            ended = error
        self._end(None if isinstance(ended, StopIteration) else ended)
        raise ended


class _AsyncParts(AsyncIterator[bytes]):
    def __init__(self, parts: Any, around: AbstractContextManager[Any], end: End, close: Callable[[], None]) -> None:
        self._parts, self._around, self._end, self.close = aiter(parts), around, end, close

    async def __anext__(self) -> bytes:
        try:
            with self._around:
                return cast(bytes, await anext(self._parts))
        except BaseException as error:
            ended = error
        self._end(None if isinstance(ended, StopAsyncIteration) else ended)
        raise ended
