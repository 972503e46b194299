"""What a worker process and its children print is in files, test by test, whatever tests do to the streams."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from testkit.core.text import cut_middle
from testkit.execution.outputs import Files
from tests.projects import clean_environment

_BEFORE = """
import json, os, subprocess, sys, time
from pathlib import Path
from testkit.execution.outputs import Files, OutputFiles

folder = Path(sys.argv[1])
files = Files.of_worker(folder, "1")
files.create()
output = OutputFiles(files, **json.loads(sys.argv[2]))
told = []
"""
_AFTER = """
(folder / "told").write_text(json.dumps(told))
"""


def command(folder, program, limit=None):
    """Return a command that runs ``program`` with the output of a worker."""
    text = _BEFORE + textwrap.dedent(program) + _AFTER
    return [sys.executable, "-W", "error", "-c", text, str(folder), json.dumps({"limit": limit} if limit else {})]


def told_by(folder, program, **settings):
    """Return what ``program`` took of its output; nothing of that is printed elsewhere."""
    ran = subprocess.run(
        command(folder, program, **settings), capture_output=True, text=True, env=clean_environment(), timeout=60
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", ""), Files.of_worker(folder, "1").last_output()
    return json.loads((folder / "told").read_text())


def test_each_test_has_its_own_output(tmp_path: Path):
    """What is printed between two takes is of that test, each stream apart, and nothing is told twice."""
    told = told_by(
        tmp_path,
        """
        print("one")
        print("half", end="", file=sys.stderr)
        told.append(output.take())
        told.append(output.take())
        print("two")
        told.append(output.take())
        """,
    )
    assert told == [["one\n", "half"], ["", ""], ["two\n", ""]]


def test_whatever_writes_to_the_descriptors(tmp_path: Path):
    """What C code, children and their children write is caught, in its order with what Python prints."""
    told = told_by(
        tmp_path,
        """
        print("python")
        os.write(1, b"descriptor\\n")
        subprocess.run("echo child; (echo grandchild >&2)", shell=True, check=True)
        subprocess.run([sys.executable, "-c", "print('python again')"], check=True)
        sys.stdout.buffer.write(b"bytes\\n")
        told.append(output.take())
        if os.fork() == 0:
            print("fork", flush=True)
            os._exit(0)
        os.wait()
        told.append(output.take())
        """,
    )
    assert told == [["python\ndescriptor\nchild\npython again\nbytes\n", "grandchild\n"], ["fork\n", ""]]


def test_a_child_that_goes_on(tmp_path: Path):
    """What a child prints after the test that started it belongs to the next one, and leaves no gap in the file."""
    told = told_by(
        tmp_path,
        """
        child = subprocess.Popen("echo now; read line; echo later", shell=True, stdin=subprocess.PIPE)
        while not files.stdout.stat().st_size:
            time.sleep(0.01)
        told.append(output.take())
        child.communicate(b"go\\n")
        told.append(output.take())
        """,
    )
    assert told == [["now\n", ""], ["later\n", ""]]


def test_closed_streams(tmp_path: Path):
    """A test that closes the streams, or the real ones, takes them from no other test."""
    told = told_by(
        tmp_path,
        """
        print("before")
        sys.stdout.close()
        sys.__stderr__.close()
        print("after")
        with sys.stdout:
            pass
        print("at the end", file=sys.stderr)
        told.append(output.take())
        print("next")
        told.append(output.take())
        """,
    )
    assert told == [["before\nafter\n", "at the end\n"], ["next\n", ""]]


def test_replaced_streams(tmp_path: Path):
    """A stream that a test has put in place, has closed or has taken away does no harm."""
    told = told_by(
        tmp_path,
        """
        import io
        real = sys.stdout
        for stream in (io.StringIO(), None, object()):
            sys.stdout = stream
            told.append(output.take())
        sys.stdout = io.StringIO()
        sys.stdout.close()
        told.append(output.take())
        sys.stdout = real
        print("back")
        told.append(output.take())
        """,
    )
    assert told == [["", ""]] * 4 + [["back\n", ""]]


def test_odd_text(tmp_path: Path):
    """What is no UTF-8, and what UTF-8 cannot hold, is shown by escapes and raises nothing."""
    told = told_by(
        tmp_path,
        """
        print("漢 \\ud800")
        sys.stdout.flush()
        os.write(1, b"\\xff\\n")
        told.append(output.take())
        """,
    )
    assert told == [["漢 \\ud800\n\\xff\n", ""]]


@pytest.mark.parametrize("character", ["x", "é", "漢", "😀"])
@pytest.mark.parametrize("count", [99, 100, 101, 799, 801, 12_345])
def test_long_output_is_cut_in_the_middle(tmp_path: Path, character, count):
    """Of output that is too long both ends are kept, no longer than the limit, and no character is torn apart."""
    # One character before, for the cuts to fall within the others.
    program = f"print({'a' + character * count + 'z'!r}, end='')\ntold.append(output.take())"
    ((text, _),) = told_by(tmp_path, program, limit=100)
    whole = "a" + character * count + "z"
    if len(whole.encode()) <= 800:
        assert text == cut_middle(whole, 100)
    else:
        head, note, tail = text.splitlines()
        assert note.startswith("[… ")
        assert (head.strip("a" + character), tail.strip(character + "z")) == ("", "")
        assert (head[0], tail[-1]) == ("a", "z")
        assert len(text) == 100


def test_fifty_megabytes(tmp_path: Path):
    """A test that prints 50 MB costs no memory for them, and the next one begins with an empty file."""
    ((text, _), (then, _), (grown, size)) = told_by(
        tmp_path,
        """
        import resource
        print("begin")
        output.take()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        line = "x" * 99_999 + "\\n"
        for _ in range(500):
            sys.stdout.write(line)
        print("end")
        told.append(output.take())
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = files.stdout.stat().st_size
        print("next")
        told.append(output.take())
        told.append((grown, size))
        """,
    )
    assert len(text) == 1_000_000
    assert text.endswith("xx\nend\n")
    (note,) = re.findall(r"\n\[… \d+ characters cut …\]\n", text)
    assert int(note.split()[1]) + len(text) - len(note) == 50_000_004
    assert then == "next\n"
    assert size == 0
    assert grown < 40_000 * (1 if sys.platform == "linux" else 1024)  # kilobytes


def test_the_last_words_of_a_killed_process(tmp_path: Path):
    """What a process printed since its last test ended is there when it was killed, the end of it at least."""
    program = """
        print("of an earlier test")
        output.take()
        print("a" * 5000)
        sys.stderr.write("half a line")
        sys.stderr.flush()
        told.append("ready")
        (folder / "ready").touch()
        time.sleep(60)
    """
    process = subprocess.Popen(command(tmp_path, program), env=clean_environment())
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Files.of_worker(tmp_path, "1").last_output() == "a" * 3999 + "\n" + "half a line"


def test_files(tmp_path: Path):
    """Files of a worker are new and empty for each process, and what a child of the last one writes is not in them."""
    files = Files.of_worker(tmp_path, "1")
    files.create()
    with open(files.stdout, "a") as old:
        files.create()
        old.write("of a child that lives on\n")
    assert [path.read_text() for path in files] == ["", "", ""]
    assert {path.parent for path in files} == {tmp_path}
    assert len(set(files)) == 3
    assert files.last_output() == ""
    os.unlink(files.stdout)
    assert files.last_output() == ""


def test_names_of_workers_stay_in_the_folder(tmp_path: Path):
    """No name of a worker leads out of the folder."""
    assert {path.parent for path in Files.of_worker(tmp_path, "../../2")} == {tmp_path}
