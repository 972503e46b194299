"""What a worker and the run say to each other arrives whole and in order, however a pipe cuts it."""

from __future__ import annotations

import os
import random
import threading
from contextlib import suppress

import pytest

from testkit.core.events import FixtureFinished, Outcome, Problem, SubTestFinished, TestFinished, WorkerStarted
from testkit.execution.channel import ChannelBroken, Lines, Message, PipeChannel, decoded, encoded, message

NASTY = 'nul \x00 newline \n lone \udc80 漢 😀 \u2028 "quoted" \\'
PROBLEM = Problem(outcome=Outcome.FAILED, type="E", message=NASTY, traceback=NASTY, file="a.py", line=3)
FACTS = [
    WorkerStarted(worker="1", at=1.5, pid=7),
    SubTestFinished(id=NASTY, test="t", class_id="c", at=0.0, outcome=Outcome.FAILED, problem=PROBLEM, final=False),
    TestFinished(
        id=NASTY,
        class_id="c",
        at=0.1,
        seconds=1e-7,
        outcome=Outcome.ERROR,
        problems=(PROBLEM, PROBLEM),
        measures={"queries": {"count": 3}},
        attachments=("a.png",),
        stdout=NASTY,
    ),
    FixtureFinished(id="m.C", phase="setUpClass", at=0.0, seconds=0.0, outcome=Outcome.SKIPPED, reason=NASTY),
]


@pytest.fixture
def pipe():
    """The two ends of a pipe, for reading and for writing; a test may close them."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def read_all(descriptor):
    """Read until nobody writes any more, and return the lines."""
    lines, found = Lines(), []
    while data := os.read(descriptor, 100):
        lines.add(data)
        found += lines.complete()
    return found


def test_facts_and_messages_arrive(pipe):
    """Whatever is in facts and messages, they are the same at the other end."""
    channel = PipeChannel(pipe[0], pipe[1])
    for fact in FACTS:
        channel.publish(fact)
    channel.send("told", lines=[NASTY], number=3)
    os.close(pipe[1])
    assert [decoded(line) for line in read_all(pipe[0])] == [*FACTS, Message("told", {"lines": [NASTY], "number": 3})]


def test_one_message_at_a_time(pipe):
    """Messages that come in one piece are received one after the other, and None when the run is gone."""
    channel = PipeChannel(pipe[0], pipe[1])
    os.write(pipe[1], encoded("lease", {"tests": [["m.C.a", 0]]}) + b"\n" + encoded("end", {}) + b"\n")
    os.close(pipe[1])
    assert channel.receive() == Message("lease", {"tests": [["m.C.a", 0]]})
    assert channel.receive() == Message("end", {})
    assert channel.receive() is None
    assert channel.receive() is None


def test_a_message_that_was_cut_off_is_none(pipe):
    """What came of a message before the run was gone is not taken for one."""
    channel = PipeChannel(pipe[0], pipe[1])
    os.write(pipe[1], encoded("lease", {"tests": []})[:-3])
    os.close(pipe[1])
    assert channel.receive() is None


def test_what_is_larger_than_a_pipe(pipe):
    """A fact of several megabytes, which a pipe takes in parts, arrives whole, and so does what follows."""
    channel = PipeChannel(pipe[0], pipe[1])
    large = FACTS[2]._replace(stdout="x" * 3_000_000)

    def write():
        channel.publish(large)
        channel.send("done")
        os.close(pipe[1])

    writer = threading.Thread(target=write)
    writer.start()
    found = [decoded(line) for line in read_all(pipe[0])]
    writer.join()
    assert found == [large, Message("done", {})]


def test_a_run_that_is_gone_cannot_be_written_to(pipe):
    """When nobody reads any more, writing raises what no test catches by accident."""
    os.close(pipe[0])
    channel = PipeChannel(pipe[0], pipe[1])
    with pytest.raises(ChannelBroken):
        channel.publish(FACTS[0])
    with pytest.raises(ChannelBroken):
        channel.send("done")
    assert not issubclass(ChannelBroken, Exception)


def test_closed_descriptors(pipe):
    """A worker whose descriptors a test has closed notices when it reads or writes."""
    channel = PipeChannel(*pipe)
    for end in pipe:
        os.close(end)
    with pytest.raises(ChannelBroken):
        channel.receive()
    with pytest.raises(ChannelBroken):
        channel.send("done")


def test_lines_whatever_the_pieces():
    """However bytes are cut into pieces, the lines are those of the whole, and an unfinished one is kept back."""
    dice = random.Random(0)
    for _ in range(300):
        whole = [bytes(dice.choices(b"ab ", k=dice.choice([0, 1, 5, 40]))) for _ in range(dice.randrange(12))]
        data = b"".join(line + b"\n" for line in whole) + b"unfinished"
        lines, found = Lines(), []
        while data:
            size = dice.choice([1, 2, 7, 100])
            lines.add(data[:size])
            data = data[size:]
            if dice.random() < 0.5:
                found += lines.complete()
        found += lines.complete()
        assert found == whole
        assert list(lines.complete()) == []


def test_a_line_of_a_message():
    """A message is one line of ASCII, so that no text in it can end the line."""
    line = encoded("told", {"text": NASTY})
    assert b"\n" not in line
    assert line.isascii()
    assert message(line) == decoded(line) == Message("told", {"text": NASTY})
