"""The bus hands facts on and keeps listeners apart."""

from __future__ import annotations

from testkit.core.bus import Bus
from testkit.core.events import RunMeasured

FACT = RunMeasured(section="a", data={})


def test_a_listener_that_raises_stops_neither_the_others_nor_the_run():
    """A listener that raises is heard no more and named; the others hear everything."""
    heard = []

    def broken(fact):
        raise RuntimeError("no disk")

    bus = Bus([heard.append, broken, heard.append])
    bus.publish(FACT)
    bus.publish(FACT)
    assert heard == [FACT] * 4
    assert [failure.listener.rpartition(".")[2] for failure in bus.failures] == ["broken"]
    assert "RuntimeError: no disk" in bus.failures[0].traceback


def test_listeners_hear_in_the_order_they_were_given():
    """Listeners hear a fact in the order in which they were given."""
    heard = []
    bus = Bus([lambda fact: heard.append(1)])
    bus.subscribe(lambda fact: heard.append(2))
    bus.publish(FACT)
    assert heard == [1, 2]
