"""What is printed is kept test by test, shown as it comes or held back, and the streams are as before afterwards."""

from __future__ import annotations

import io
import logging
import pdb
import sys
import threading
import tracemalloc
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from testkit.core.text import cut_middle
from testkit.execution.capture import Capture, Kept


class Pipe(io.TextIOWrapper):
    """A stream that is no terminal: it holds back what it is given until it is flushed."""

    def __init__(self, encoding="utf-8", errors="strict"):
        self.raw_bytes = io.BytesIO()
        super().__init__(io.BufferedWriter(self.raw_bytes), encoding, errors, newline="")

    @property
    def seen(self):
        """What a reader at the other end can read by now."""
        return self.raw_bytes.getvalue().decode(self.encoding)


@contextmanager
def own_streams():
    """Put a stdout and a stderr of the test's own in place; a fixture could not, as pytest puts its own there later."""
    stdout, stderr = Pipe(), Pipe(errors="backslashreplace")
    with redirect_stdout(stdout), redirect_stderr(stderr):
        yield stdout, stderr


@pytest.mark.parametrize(
    "pieces", [["x" * 7] * 40, ["0123456789" * 100], ["abc", "d" * 250, "é" * 250, "end"], ["short"]]
)
def test_what_is_kept_is_what_one_cut_would_leave(pieces):
    """However text comes, what is kept of it is what cut_middle makes of the whole, so that it is not cut twice."""
    kept = Kept(limit=100)
    for piece in pieces:
        kept.add(piece)
    text = kept.take()
    assert text == cut_middle("".join(pieces), 100)
    assert cut_middle(text, 100) == text
    assert kept.take() == ""


@pytest.mark.parametrize(("size", "count"), [(1, 100_000), (50, 20_000), (10_000_000, 1)])
def test_memory_is_bounded(size, count):
    """Output of any length, in whatever pieces, takes the memory of a few times the limit."""
    kept, piece = Kept(limit=10_000), "x" * size
    tracemalloc.start()
    try:
        for _ in range(count):
            kept.add(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200_000
    assert 9_990 < len(kept.take()) <= 10_000


def test_output_is_shown_line_by_line_and_kept():
    """A line is shown when it is complete, though the stream would hold it back; each take begins anew."""
    with own_streams() as (stdout, stderr):
        with Capture(show=True) as capture:
            print("one")
            assert stdout.seen == "one\n"
            print("to stderr", file=sys.stderr)
            assert capture.take() == ("one\n", "to stderr\n")
            print("two")
            assert capture.take() == ("two\n", "")
        assert (sys.stdout, sys.stderr) == (stdout, stderr)
        assert (stdout.seen, stderr.seen) == ("one\ntwo\n", "to stderr\n")


def test_output_can_be_held_back():
    """Without show nothing reaches the stream, which says that it is no terminal; a debugger opens it."""
    with own_streams() as (stdout, _):
        with Capture(show=False) as capture:
            print("hidden")
            sys.stdout.buffer.write(b"bytes\n")
            sys.stdout.flush()
            assert not sys.stdout.isatty()
            with capture.showing():
                print("shown")
            print("hidden again")
            assert stdout.seen == "shown\n"
            debugger = pdb.Pdb(stdin=io.StringIO("c\n"), stdout=sys.stdout, nosigint=True, readrc=False)
            debugger.set_trace()
            sys.settrace(None)
            assert "(Pdb) " in stdout.seen
            assert capture.take()[0].startswith("hidden\nbytes\nshown\nhidden again\n")
        stdout.flush()
        assert "hidden" not in stdout.seen


def test_bytes_are_kept_as_text():
    """What goes to sys.stdout.buffer arrives byte for byte; a character may come in two writes, or be none."""
    with own_streams() as (stdout, _):
        with Capture(show=True) as capture:
            sys.stdout.buffer.write("é".encode()[:1])
            sys.stdout.buffer.write("é".encode()[1:] + b"\xff\n")
            wrapper = io.TextIOWrapper(sys.stdout.buffer, "utf-8", write_through=True)
            wrapper.write("wrapped\n")
            del wrapper  # which closes what it wraps
            print("still open")
            assert capture.take() == ("é\\xff\nwrapped\nstill open\n", "")
        assert stdout.raw_bytes.getvalue() == b"\xc3\xa9\xff\nwrapped\nstill open\n"


def test_a_stream_refuses_what_it_would_refuse():
    """A lone surrogate, and what is no text, raise as they do without us; stderr escapes a surrogate."""
    with own_streams() as (_, stderr):
        with Capture(show=True) as capture:
            with pytest.raises(UnicodeEncodeError):
                print("\ud800")
            with pytest.raises(TypeError):
                sys.stdout.write(b"bytes")
            print("\ud800", file=sys.stderr)
            assert capture.take()[1] == "\ud800\n"
        assert stderr.seen == "\\ud800\n"


def test_a_stream_is_what_it_stands_for():
    """Encoding, errors and whatever else the stream has can be asked for, and set."""
    with own_streams() as (stdout, _):
        with Capture(show=True):
            assert (sys.stdout.encoding, sys.stdout.errors, sys.stdout.newlines) == ("utf-8", "strict", None)
            assert sys.stdout.line_buffering is False
            sys.stdout.reconfigure(errors="replace")
            assert sys.stdout.errors == "replace"
            sys.stdout.close()
            print("still open")
        assert stdout.seen == "still open\n"


def test_log_handlers_write_here_and_are_put_back():
    """Handlers of the console that were there before are kept from too; one that a test re-targets keeps its target."""
    with own_streams() as (_, stderr):
        handler, retargeted = logging.StreamHandler(), logging.StreamHandler()
        elsewhere = io.StringIO()
        logger = logging.Logger("of this test")
        named = logging.getLogger("tests.capture")
        named.addHandler(handler)
        logger.addHandler(handler)
        logging.getLogger().addHandler(retargeted)
        try:
            with Capture(show=True) as capture:
                named.warning("a record")
                retargeted.setStream(elsewhere)
                assert "a record\n" in capture.take()[1]
            assert handler.stream is stderr
            assert retargeted.stream is elsewhere
        finally:
            named.removeHandler(handler)
            logging.getLogger().removeHandler(retargeted)


def test_what_a_test_redirects_is_its_own():
    """redirect_stdout within a test takes its prints away, and gives the stream back."""
    with own_streams(), Capture(show=True) as capture:
        with redirect_stdout(io.StringIO()) as own:
            print("own")
        print("ours")
        assert (own.getvalue(), capture.take()[0]) == ("own\n", "ours\n")


def test_threads_lose_nothing():
    """Threads that print at once lose no character, whether it is kept or cut."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with own_streams(), Capture(show=False, limit=100) as capture:
            threads = [threading.Thread(target=lambda: [print("x" * 9) for _ in range(2000)]) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            text = capture.take()[0]
    finally:
        sys.setswitchinterval(interval)
    head, note, tail = text.partition("\n[… ")
    cut, _, rest = tail.partition(" characters cut …]\n")
    assert note
    assert len(head) + int(cut) + len(rest) == 8 * 2000 * 10


def test_a_stream_that_outlives_the_run_shows_what_it_gets():
    """A thread or a log handler that found the stream during the run still reaches the terminal after it."""
    with own_streams() as (stdout, _):
        with Capture(show=False):
            found = sys.stdout
        print("late", file=found)
        found.buffer.write(b"bytes")
        found.flush()
        assert stdout.seen == "late\nbytes"


def test_a_process_may_have_no_streams(monkeypatch):
    """Without stdout, as under a daemon, there is nothing to keep."""
    monkeypatch.setattr(sys, "stdout", None)
    with Capture(show=True) as capture:
        assert capture.take() == ("", "")
        assert sys.stdout is None
