"""The bus: hands each fact to every listener, and lets no listener harm another."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from testkit.core.events import Fact

Listener = Callable[[Fact], None]
"""Anything that takes one fact. What it returns is not looked at."""
PublishMeasured = Callable[[str, Mapping[str, Any]], None]
"""Publishes what a listener measured about the run: a section's name and its plain data."""


class ListenerFailure(NamedTuple):
    """A listener raised: its name, and the traceback as text."""

    listener: str
    traceback: str


class Bus:
    """Publishes facts to listeners, in the order in which those were given."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = list(listeners)
        self.failures: list[ListenerFailure] = []

    def subscribe(self, listener: Listener) -> None:
        """Add ``listener`` behind the others."""
        self._listeners.append(listener)

    def publish(self, fact: Fact) -> None:
        """Give ``fact`` to every listener.

        A listener that raises is heard no more, since what it would write from here on could not be trusted; the
        others go on, and ``failures`` says what happened.
        """
        for listener in self._listeners:
            try:
                listener(fact)
            except KeyboardInterrupt:
                raise
            except BaseException:
                # Also sys.exit(): whether the run was good is not for a listener to say.
                self._drop(listener)

    def _drop(self, listener: Listener) -> None:
        # A new list: `publish` may be walking over the present one.
        self._listeners = [other for other in self._listeners if other is not listener]
        self.failures.append(ListenerFailure(listener_name(listener), traceback.format_exc()))


def listener_name(listener: Listener) -> str:
    """Return the dotted name of a listener (of its class, if it is an object) for messages."""
    named = listener if hasattr(listener, "__qualname__") else type(listener)
    return f"{named.__module__}.{named.__qualname__}"
