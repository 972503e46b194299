"""Code below the runner notes things on the test that runs."""

from __future__ import annotations

import threading

import testkit
from testkit.core import current


def test_notes_go_to_the_running_test_also_from_other_threads():
    """A property and an attachment go to the running test, from a thread that was begun before it too."""
    go, done = threading.Event(), threading.Event()

    def server():
        go.wait(5)
        testkit.record_property("from_thread", 1)
        done.set()

    thread = threading.Thread(target=server)
    thread.start()
    notes = current.enter()
    testkit.record_property("queries", 3)
    testkit.attach("/tmp/x.png")
    go.set()
    assert done.wait(5)
    current.leave()
    thread.join()
    assert notes.measures == {"queries": 3, "from_thread": 1}
    assert notes.attachments == ["/tmp/x.png"]


def test_nothing_happens_when_no_test_runs():
    """Without a run, noting does nothing: the same code works under any runner."""
    testkit.record_property("a", 1)
    testkit.attach("b")
    assert current.current() is None
