"""`report` and `replay`: what a past run made and showed is made and shown again, also when it was killed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from testkit import cli
from testkit.core.clock import clock
from testkit.core.events import Outcome, Problem, RunFinished, RunStarted, TestFinished, TestStarted
from testkit.core.journal import Journal
from testkit.session.aftermath import replay_parser, report_parser
from testkit.session.aftermath.report import FORMATS
from tests.projects import FRONTS, ROOT, Project, clean_environment

MODULE = "shop.tests.test_shop"
TESTS = '''
import pathlib, sys, time, unittest
from django.test import SimpleTestCase, TestCase
from testkit import attach, record_property

def wait():
    pathlib.Path("here").touch()
    time.sleep(60)

class A(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        time.sleep(0.06)
    def test_1(self):
        """Says & notes something."""
        print("said <here>")
        record_property("share", 0.1)
        attach("page.png")
    def test_2(self):
        print("to stderr", file=sys.stderr)
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)
    def test_3(self): raise ValueError("\\ud800 \\x1b[31m <b>")
    @unittest.expectedFailure
    def test_4(self): self.fail()
class B(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("no class")
    def test_5(self): pass
class C(SimpleTestCase):
    @unittest.skip("not today")
    def test_6(self): pass
    @unittest.expectedFailure
    def test_7(self): pass
'''
WAITING = """
import pathlib, time, unittest
class T(unittest.TestCase):
    def test_1(self): time.sleep(0.01)
    def test_2(self):
        with self.subTest(part=1): self.fail("before the end")
        pathlib.Path("here").touch()
        time.sleep(60)
    def test_3(self): pass
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after a run that came to its end, with failures of all kinds."""
    project = Project(tmp_path_factory.mktemp("complete"))
    project.tests(TESTS)
    project.ran = project.run("--with-xunit", "--buffer")  # type: ignore[attr-defined]
    assert project.ran.returncode == 1, project.ran.stderr
    return project


@pytest.fixture
def killed(project: Project) -> Project:
    """A project whose run was killed in the middle of its second test."""
    project.tests(WAITING)
    end_in_test(project, signal.SIGKILL)
    # The run's watchdog may have reported it already.
    for name in (".testkit/durations.json", "reports/xunit.xml"):
        (project.folder / name).unlink(missing_ok=True)
    return project


def end_in_test(project: Project, *signals: int) -> int:
    """Start a run, send it ``signals`` when its test waits, and return the status with which it ended."""
    process = project.start()
    deadline = time.monotonic() + 30
    while not (project.folder / "here").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    process.communicate(timeout=30)
    return process.returncode


def command(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of testkit in ``folder``, with no settings."""
    return subprocess.run(
        [*FRONTS["testkit"], *map(str, arguments)],
        cwd=folder,
        env=clean_environment(PYTHONIOENCODING="utf-8", **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=60,
        check=False,
    )


class Told(NamedTuple):
    """How a command ended that ran in this process, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Run a command in a folder, in this process: where many are run, starting one for each takes long."""

    def run(folder: Path, *arguments: str, **environment: str) -> Told:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            for name in [name for name in os.environ if name.startswith(("TESTKIT_", "NO_COLOR", "FORCE_COLOR"))]:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                status = cli.main(arguments)
            except SystemExit as exit:  # argparse's
                status = exit.code
        return Told(status, *capfd.readouterr())

    return run


def write_journal(folder: Path, *facts) -> Path:
    """Write the journal of a run ``r1`` into ``folder``."""
    journal = Journal(folder / "reports" / "journal", "r1")
    for fact in facts:
        journal(fact)
    journal.close()
    return journal.path


def begun(*ids, at=1_000_000_000.0):
    return RunStarted(run="r1", at=at, ids=ids)


def ended(id, outcome=Outcome.PASSED, at=1_000_000_000.0, seconds=0.1, **fields):
    return TestFinished(id=id, class_id=id.rpartition(".")[0], at=at, seconds=seconds, outcome=outcome, **fields)


def end(**fields):
    return RunFinished(at=1_000_000_001.0, seconds=1.0, **fields)


FAILED = ended("a.t1", Outcome.FAILED, problems=(Problem(Outcome.FAILED, "E", "boom", "Traceback\n"),))


# A run that came to its end


@pytest.mark.parametrize("flavour", ["default", "strict"])
def test_the_xunit_file_is_that_of_the_run_to_the_byte(complete, flavour):
    """`report` writes the file that the run wrote, in each flavour, to where --xunit-file says."""
    complete.run("--with-xunit", f"--xunit-flavour={flavour}", "--xunit-file=run.xml", "--buffer")
    result = command(complete.folder, "report", f"--xunit-flavour={flavour}", "--xunit-file=again.xml")
    assert result.returncode == 1, result.stderr
    made = (complete.folder / "again.xml").read_bytes()
    assert made == (complete.folder / "run.xml").read_bytes()
    assert made.count(b"<testcase") >= 8
    assert result.stdout.endswith("\nReports:\n  xunit  again.xml\n")
    printed = subprocess.run(
        [*FRONTS["testkit"], "report", "--format=xunit", f"--xunit-flavour={flavour}"],
        cwd=complete.folder,
        env=clean_environment(),
        capture_output=True,
        check=False,
    )
    assert (printed.returncode, printed.stdout) == (1, made)


def test_the_classic_files_are_those_of_the_run(complete):
    """The classic flavour's files are made again as well, beside --xunit-file."""
    flags = ("--with-xunit", "--xunit-flavour=classic", "--xunit-file")
    complete.run(*flags, "one/xunit.xml")
    assert command(complete.folder, "report", *flags, "two/xunit.xml").returncode == 1
    one, two = (
        {path.name: path.read_bytes() for path in (complete.folder / name).iterdir()} for name in ("one", "two")
    )
    assert one == two
    assert len(one) == 3


def test_the_console_ends_as_the_run_ended(complete):
    """`report` prints the failures, the closing lines and the slowest as the run with --buffer printed them, and no dots."""
    ran = complete.run("--with-xunit", "--buffer")
    printed = command(complete.folder, "report")
    assert printed.returncode == ran.returncode == 1
    assert printed.stdout == ran.stderr[ran.stderr.index("\n======") :]
    assert "\nSlowest:\n" in printed.stdout
    assert "\nStderr:\nto stderr\n" in printed.stdout
    assert command(complete.folder, "report", "--no-with-xunit").stdout.endswith(" (setUpClass)\n")


@pytest.mark.parametrize("verbosity", [0, 1, 2])
def test_a_replay_looks_like_the_run(complete, verbosity):
    """`replay --buffer` prints what the run with --buffer printed on stderr, at each verbosity, and exits with 0."""
    ran = complete.run("--buffer", f"-v{verbosity}")
    result = command(complete.folder, "replay", "--buffer", f"-v{verbosity}")
    assert (result.returncode, result.stderr) == (0, "")
    # At -v 2, Django tells on the same stream how it makes and drops databases.
    first, last = result.stdout.splitlines()[0], result.stdout.splitlines()[-1]
    said = ran.stderr[ran.stderr.index(first) :]
    assert said[: said.index(last) + len(last) + 1] == result.stdout
    if verbosity < 2:
        assert ran.stderr == result.stdout


def test_durations_are_those_of_the_run(complete, run_here):
    """--durations=N of both commands lists the N slowest tests, in unittest's table."""
    for name in ("report", "replay"):
        shown = run_here(complete.folder, name, "--durations=2").stdout
        table = shown.partition("\nSlowest test durations\n")[2].partition("\n\n")[0]
        assert re.fullmatch(rf"-+(\n\d\.\d{{3}}s +test_\d \({MODULE}\.\w+\.test_\d\)){{0,2}}", table), shown
    assert "test_1" in run_here(complete.folder, "replay", "--durations=0", "-v2").stdout


def test_a_replay_shows_what_tests_printed(complete):
    """Without --buffer, what a test printed stands where it printed it: before its own word, or among the dots."""
    result = command(complete.folder, "replay", "-v2")
    assert re.search(r"^Says & notes something. \.\.\. said <here>\n", result.stdout, re.MULTILINE)
    assert "said <here>\n." in command(complete.folder, "replay", complete.folder / "reports").stdout


def test_colours_are_the_consoles(complete, run_here):
    """Off a terminal there are none unless FORCE_COLOR asks for them."""
    for name in ("report", "replay"):
        assert "\x1b[31mFAILED" in run_here(complete.folder, name, FORCE_COLOR="1").stdout
        assert "\x1b[31mFAILED" not in run_here(complete.folder, name).stdout


# Runs that did not


def test_a_killed_run_has_its_reports(killed):
    """After SIGKILL in a test: an error for that test, the rest not run, an xunit file that says so, and exit 2."""
    result = command(killed.folder, "report")
    assert result.returncode == 2
    assert "\nFAILED (failures=1, errors=1, not run=1)\n" in result.stdout
    assert re.search(
        rf"^ERROR: test_2 \({MODULE}.T.test_2\)\n-+\ntestkit.ProcessDied: the run's process was killed, or ended by "
        r"itself, while this test ran; it began at \d\d:\d\d:\d\d UTC, and 1 of its subtests had ended$",
        result.stdout,
        re.MULTILINE,
    )
    assert "before the end" in result.stdout
    assert result.stderr == "testkit: the run's process died, and 1 tests did not run\n"
    found = {case.get("name"): case for case in killed.xunit().iter("testcase")}
    assert found["test_2"].find("error").get("type") == "testkit.ProcessDied"
    assert found["test_2 (part=1)"].find("failure") is not None
    assert found["test_3"].find("skipped").get("message") == "not run: the run's process died"
    assert len(found["test_1"]) == 0
    assert "testkit.ProcessDied" in command(killed.folder, "replay").stdout


def test_a_killed_runs_durations_are_remembered_once(killed, run_here):
    """What passed before the kill is remembered where it ran, as the run would have, however often one reports it."""
    remembered = killed.folder / ".testkit" / "durations.json"
    assert not remembered.exists()
    run_here(killed.folder, "report", "--format=json", "--output=o.json")
    assert not remembered.exists()
    run_here(killed.folder, "report")
    first = remembered.read_text()
    assert f"{MODULE}.T.test_1" in first
    assert f"{MODULE}.T.test_2" not in first
    remembered.write_text("not read")
    run_here(killed.folder, "report")
    assert remembered.read_text() == "not read"
    elsewhere = killed.folder / "elsewhere"
    elsewhere.mkdir()
    run_here(elsewhere, "report", f"--journal={killed.folder}")
    assert sorted(path.name for path in elsewhere.rglob("*")) == ["reports", "xunit.xml"]


def test_an_interrupted_run_is_reported_as_it_ended(project):
    """After Ctrl-C the report has the status 130 and the words of the run, after SIGTERM 143."""
    project.tests(WAITING)
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        (project.folder / "here").unlink(missing_ok=True)
        assert end_in_test(project, number, number) == status
        result = command(project.folder, "report")
        assert result.returncode == status
        name = signal.Signals(number).name
        assert f"\nFAILED (failures=1, errors=1, not run=1, interrupted by {name})\n" in result.stdout
        assert result.stderr == f"testkit: the run was interrupted by {name}\n"


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        ([begun("a.t1"), ended("a.t1"), end()], 0, ""),
        ([begun("a.t1"), FAILED, end(stopped="--failfast", not_run=("a.t2",))], 1, ""),
        ([begun("a.t1", "a.t2"), ended("a.t1"), end(lost=("a.t2",))], 2, "1 tests were collected and never reported"),
        ([begun("a.t1"), ended("a.t1"), end(stopped="S", not_run=("a.t2",))], 2, "S, and 1 tests did not run"),
        ([begun("a.t1"), ended("a.t1")], 2, "the run's process died, and 0 tests did not run"),
        ([begun()], 2, "the run's process died, and 0 tests did not run"),
        ([begun(), end()], 4, "no test ran (--allow-no-tests lets that pass)"),
    ],
)
def test_the_exit_status_is_that_of_the_run(tmp_path, run_here, facts, status, reason):
    """Each way in which a run can end gives its exit status, and says why unless tests tell it."""
    write_journal(tmp_path, *facts)
    for arguments in ([], ["--format=json"], ["--format=markdown"], ["--format=xunit"], ["--format=console"]):
        result = run_here(tmp_path, "report", *arguments)
        assert result.returncode == status, result.stdout + result.stderr
        assert result.stderr == (f"testkit: {reason}\n" if reason else "")
    if status == 4:
        assert run_here(tmp_path, "report", "--allow-no-tests").returncode == 0
        assert run_here(tmp_path, "report", TESTKIT_ALLOW_NO_TESTS="1").returncode == 0


def test_flaky_tests_fail_a_run_that_they_are_to_fail(tmp_path, run_here):
    """--flaky=fail makes the status of a run with a test that passed only when tried again 1, and 0 otherwise."""
    write_journal(tmp_path, begun("a.t1"), FAILED._replace(final=False), ended("a.t1", attempt=2), end())
    assert run_here(tmp_path, "report").returncode == 0
    result = run_here(tmp_path, "report", "--flaky=fail")
    assert (result.returncode, result.stderr) == (1, "testkit: 1 flaky tests, and --flaky=fail\n")


# Formats and options


def test_each_format_goes_to_a_file_or_to_standard_output(complete, run_here):
    """--format makes one report alone, the same on standard output as in --output."""
    for format in ("console", "xunit", "json", "markdown"):
        before = sorted(complete.folder.rglob("*"))
        run = command if format == "console" else run_here  # pytest encodes what is printed here as it likes
        printed = run(complete.folder, "report", "--format", format)
        assert sorted(complete.folder.rglob("*")) == before
        written = run_here(complete.folder, "report", "--format", format, "--output", f"out/{format}")
        assert printed.returncode == written.returncode == 1
        assert (written.stdout, written.stderr) == ("", f"testkit: the report is in out/{format}\n")
        text = (complete.folder / "out" / format).read_text(encoding="utf-8")
        assert text == printed.stdout
        assert "test_3" in text
        assert "Reports:" not in text
    tests = {test["id"]: test for test in json.loads((complete.folder / "out" / "json").read_text())["tests"]}
    assert tests[f"{MODULE}.A.test_1"]["measures"] == {"share": 0.1}
    assert tests[f"{MODULE}.A.test_3"]["problems"][0]["message"] == "\ud800 \x1b[31m <b>"


def test_a_reader_that_leaves_harms_no_report(complete):
    """When nobody reads standard output (`| head`), the files are written and the status is the run's."""
    for arguments, status in ((["report"], 1), (["report", "--format=json"], 1), (["replay", "-v2"], 0)):
        (complete.folder / "reports" / "xunit.xml").unlink(missing_ok=True)
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as closed:
            result = subprocess.run(
                [*FRONTS["testkit"], *arguments],
                cwd=complete.folder,
                env=clean_environment(),
                stdout=closed,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        assert (result.returncode, result.stderr) == (status, "")
        assert (complete.folder / "reports" / "xunit.xml").exists() is (arguments == ["report"])


def test_no_project_is_needed(complete, tmp_path):
    """A single file of a journal is reported in an empty folder without settings, by a process that never had them."""
    (journal,) = sorted((complete.folder / "reports" / "journal").glob("*.jsonl"))[-1:]
    (tmp_path / "facts.jsonl").write_bytes(journal.read_bytes())
    assert command(tmp_path, "report", "--journal=facts.jsonl").returncode == 1
    assert (tmp_path / "reports" / "xunit.xml").stat().st_size > 1000
    assert "FAILED (" in command(tmp_path, "replay", "facts.jsonl").stdout


def test_options_come_from_the_environment_and_the_configuration(complete, run_here):
    """TESTKIT_XUNIT_FILE and setup.cfg count as for a run; options that the command has not do not hinder it."""
    (complete.folder / "setup.cfg").write_text("[testkit]\nwith_cov = true\nretries = 2\nxunit_file = configured.xml\n")
    try:
        assert "configured.xml" in run_here(complete.folder, "report").stdout
        assert "of-ci.xml" in run_here(complete.folder, "report", TESTKIT_XUNIT_FILE="of-ci.xml").stdout
        none = run_here(complete.folder, "report", TESTKIT_WITH_XUNIT="0")
        assert "Slowest:" in none.stdout
        assert "Reports:" not in none.stdout
        result = run_here(complete.folder, "report", "--slowest=0")
        assert "Slowest" not in result.stdout
    finally:
        (complete.folder / "setup.cfg").unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "--output=x"], f"testkit: --output x needs --format with one of {', '.join(FORMATS)}"),
        (["report", "--format=xunit", "--xunit-flavour=classic"], "leave --format out, and give --xunit-file FOLDER"),
        (["report", "--format=json", "--output=setup.cfg/x"], "setup.cfg/x cannot be written: "),
        (["report", "--run=none"], "no journal of the run none in reports/journal: the newest are "),
        (["report", "--journal=none"], "testkit: none does not exist: give a folder such as reports/journal"),
        (["report", "--slowest=few"], "testkit: --slowest is 'few': give a whole number"),
        (["replay", "none"], "testkit: none does not exist"),
        (["replay", "--speed=0"], "'0' is no number above 0"),
        (["replay", "--speed=nan"], "'nan' is no number above 0"),
    ],
)
def test_a_mistake_is_named(complete, run_here, arguments, message):
    """What cannot be done ends with status 2 and a message that says what to do instead, without a traceback."""
    (complete.folder / "setup.cfg").touch()
    result = run_here(complete.folder, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_journal_that_was_cut_in_its_first_line_is_refused(tmp_path, run_here):
    """It says so, with the file and what to do; an older run can still be chosen."""
    path = write_journal(tmp_path, begun("a.t1"), ended("a.t1"), end())
    newer = path.with_name("r2.main.jsonl")
    newer.write_bytes(path.read_bytes()[:30])
    for name in ("report", "replay"):
        result = run_here(tmp_path, name)
        assert result.returncode == 2
        assert "r2.main.jsonl does not say how its run began" in result.stderr
        assert run_here(tmp_path, name, "--run=r1").returncode == 0


def test_what_has_no_effect_is_said(complete, run_here):
    """Flags of the xunit file beside another --format are named."""
    result = run_here(complete.folder, "report", "--format=json", "--xunit-file=x.xml", "--xunit-flavour=strict")
    assert "testkit: --xunit-file has no effect with --format json\n" in result.stderr
    assert "testkit: --xunit-flavour has no effect with --format json\n" in result.stderr
    result = run_here(complete.folder, "report", "--format=xunit", "--xunit-flavour=strict")
    assert result.stderr == ""


# Replays that take time


def test_speed_divides_the_time_of_the_run(tmp_path):
    """A run of two hours takes two seconds at --speed 3600, and no time of its own without."""
    at = 1_000_000_000.0
    write_journal(
        tmp_path,
        begun("a.t1"),
        TestStarted(id="a.t1", class_id="a", at=at + 3600),
        ended("a.t1", at=at + 3600, seconds=3600),
        RunFinished(at=at + 7200, seconds=7200),
    )
    assert command(tmp_path, "replay").returncode == 0  # well before command() loses its patience
    started = clock.seconds()
    assert command(tmp_path, "replay", "--speed=3600").returncode == 0
    assert clock.seconds() - started >= 2.0


def test_in_real_time_a_terminal_has_its_live_line(tmp_path):
    """--speed 1 shows the live line, and Ctrl-C ends the replay with 130 and gives the terminal's last row back."""
    at = 1_000_000_000.0
    write_journal(tmp_path, begun("a.t1"), TestStarted(id="a.t1", class_id="a", at=at), ended("a.t1", seconds=3600))
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*FRONTS["testkit"], "replay", "--speed=1"],
        cwd=tmp_path,
        env=clean_environment(TERM="xterm", CI="", LANG="C.UTF-8"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # A shell lets what it starts in the background ignore Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(theirs)
    shown = read_until(ours, "a.t1", b"")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    shown = read_until(ours, None, shown)
    os.close(ours)
    text = shown.decode()
    assert "0/1" in text
    assert text.rstrip().endswith("\x1b7\x1b[r\x1b[24;1H\x1b[0m\x1b[2K\x1b8")
    assert "Traceback" not in text


def read_until(terminal: int, text: str | None, before: bytes) -> bytes:
    """Read until ``text`` has come, or to the end."""
    deadline = time.monotonic() + 30
    while text is None or text not in before.decode(errors="replace"):
        assert time.monotonic() < deadline, before
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                more = os.read(terminal, 65536)
            except OSError:  # Linux says so at the end of a terminal
                more = b""
            if not more:
                assert text is None, before
                break
            before += more
    return before


# Its documentation


def test_the_guide_knows_the_flags():
    """Every command of the how-to guide has flags that the command knows, and the guide has every one of them."""
    text = (ROOT / "docs" / "how-to" / "after-a-run.md").read_text(encoding="utf-8")
    for name, parser in (("report", report_parser()), ("replay", replay_parser())):
        known = set(parser._option_string_actions)
        commands = re.findall(rf"python -m testkit {name}\b([^\n`>|]*)", text)
        assert commands
        for arguments in commands:
            assert {word.partition("=")[0] for word in arguments.split() if word.startswith("-")} <= known, arguments
        longs = {flag for flag in known if flag.startswith("--") and not flag.startswith("--no-")} - {"--help"}
        assert [flag for flag in sorted(longs) if f"`{flag}" not in text] == []
