"""A process that is started anew under measurement is what it was, but for being measured."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from testkit.coverage.relaunch import split_command_line
from tests.coverage.minishop import ROOT, python, write

PROGRAM = """
    import json, os, sys
    sys.path.append(ROOT)  # as many a manage.py does for its own folders
    from testkit.coverage import measure

    def state():
        return {
            "argv": sys.argv,
            "orig_argv": sys.orig_argv[1:],
            "path": sys.path,
            "flags": [str(sys.flags), sys.warnoptions, sorted(sys._xoptions)],
            "main": [__name__, __file__, str(__spec__ and __spec__.name), __package__],
            "is_main": getattr(sys.modules["__main__"], "state", None) is state,
            "folder": os.getcwd(),
            "environment": sorted(set(os.environ) - {"TESTKIT_COVERAGE_PID"}),
        }

    with open(os.environ["STATES"], "a") as states:
        print(json.dumps(state()), file=states)
    print("begun")
    measurement = measure.running() or measure.relaunch(measure.CoverageOptions(cover_package=("lib",)))
    import lib
    measurement.finish()
""".replace("ROOT", repr(str(ROOT)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {"program.py": PROGRAM, "lib/__init__.py": "A = 1", "d/__main__.py": PROGRAM})
    write(tmp_path, {"package/__init__.py": "", "package/__main__.py": PROGRAM})
    (tmp_path / "link.py").symlink_to(tmp_path / "d/__main__.py")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(tmp_path / "program.py", "__main__.py")
    return tmp_path


def states(folder: Path, *arguments: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run Python in ``folder`` and return what the program found before and after it was started anew."""
    file = folder / "states"
    ran = python(folder, *arguments, STATES=str(file), PYTHONPATH=str(folder))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "begun\nbegun\n"
    before, after = map(json.loads, file.read_text().splitlines())
    return before, after


@pytest.mark.parametrize(
    "start",
    [
        ["program.py"],
        ["./program.py"],
        ["d/../program.py"],
        ["link.py"],
        ["-m", "program"],
        ["-mpackage"],
        ["-Bm", "d"],
        ["-P", "program.py"],
        ["-P", "-m", "program"],
        ["-W", "error", "-X", "dev", "-Ou", "program.py"],
        ["d"],
        ["archive.zip"],
    ],
    ids=" ".join,
)
def test_the_process_is_what_it_was(folder: Path, start: list[str]) -> None:
    """Arguments, import path, flags, main module, folder and environment are those of the first start."""
    before, after = states(folder, *start, "test", "a b", "-m", "--x=é")
    if "-Bm" in start or "-mpackage" in start:
        # The same flags, apart.
        before["orig_argv"] = ["-B", "-m", "d"] if "-Bm" in start else ["-m", "package"]
        before["orig_argv"] += ["test", "a b", "-m", "--x=é"]
    assert after == before


def test_an_absolute_path_is_kept(folder: Path) -> None:
    """A script that is given by its full path is started by that."""
    before, after = states(folder, str(folder / "program.py"), "test")
    assert after == before


def test_a_program_that_has_left_its_folder_is_found(folder: Path) -> None:
    """A script that changes the folder before the run is started anew where it was started first."""
    leaving = PROGRAM.replace('print("begun")', "print(\"begun\"); os.chdir('lib')")
    write(folder, {"program.py": leaving})
    before, after = states(folder, "program.py", "test")
    assert after == before


def test_standard_input_and_exit_status_pass_through(folder: Path) -> None:
    """The program reads what was given to it, and the process ends with the program's status."""
    more = "\n    print(sys.stdin.read())\n    sys.exit(7)\n"
    write(folder, {"program.py": PROGRAM + more})
    ran = python(folder, "program.py", "test", stdin="words", STATES=os.devnull)
    assert ran.returncode == 7
    assert ran.stdout == "begun\nbegun\nwords\n"


def test_an_exception_passes_through(folder: Path) -> None:
    """An exception that nobody catches ends the process as it does without measurement."""
    write(folder, {"program.py": PROGRAM + "\n    raise ValueError('mine')\n"})
    ran = python(folder, "program.py", "test", STATES=os.devnull)
    assert ran.returncode == 1
    assert ran.stderr.endswith("ValueError: mine\n")


def test_the_program_s_classes_can_be_pickled(folder: Path) -> None:
    """What the program defines belongs to `__main__`, for pickle and for processes that are spawned."""
    more = """
    import multiprocessing, pickle
    class Mine: pass
    def double(x): return 2 * x
    if __name__ == "__main__":
        assert type(pickle.loads(pickle.dumps(Mine()))) is Mine
    """
    write(folder, {"program.py": PROGRAM + more})
    ran = python(folder, "program.py", "test", STATES=os.devnull)
    assert ran.returncode == 0, ran.stderr


def test_only_the_first_run_of_a_process_is_measured(folder: Path) -> None:
    """A second run in the same process is refused instead of starting the program again and again."""
    write(folder, {"program.py": PROGRAM + "\n    measure.relaunch(measure.CoverageOptions())\n"})
    ran = python(folder, "program.py", "test", STATES=os.devnull)
    assert ran.stdout == "begun\nbegun\n"
    assert "only the first test run of a process can be measured" in ran.stderr


def test_a_child_of_a_measured_process_can_be_started_anew(folder: Path) -> None:
    """A test that runs a test command of its own may have that measured."""
    more = """
    if "outer" in sys.argv:
        import subprocess
        subprocess.run([sys.executable, __file__, "test", "inner"], check=True)
    """
    write(folder, {"program.py": PROGRAM + more})
    ran = python(folder, "program.py", "test", "outer", STATES=os.devnull)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("begun") == 4


@pytest.mark.parametrize("arguments", [["program.py", "serve"], ["-c", "import program", "test"]])
def test_what_is_no_test_command_is_refused(folder: Path, arguments: list[str]) -> None:
    """A program that runs tests as a part of what it does is not run twice; the message says what to use."""
    ran = python(folder, *arguments, STATES=os.devnull)
    assert ran.returncode == 1
    assert ran.stdout == "begun\n"
    assert "use `python -m testkit`" in ran.stderr


@pytest.mark.parametrize(
    ("command", "flags", "program"),
    [
        ("python manage.py test -m x", [], ["manage.py", "test", "-m", "x"]),
        ("python -m django test", [], ["-m", "django", "test"]),
        ("python -mdjango test", [], ["-m", "django", "test"]),
        ("python -Bm django test", ["-B"], ["-m", "django", "test"]),
        ("python -BWerror -X dev -Xutf8 m.py", ["-BWerror", "-X", "dev", "-Xutf8"], ["m.py"]),
        ("python -W error -bb m.py", ["-W", "error", "-bb"], ["m.py"]),
        (
            "python --check-hash-based-pycs always m.py -W x",
            ["--check-hash-based-pycs", "always"],
            ["m.py", "-W", "x"],
        ),
        ("python -c pass -x", [], ["-c", "pass", "-x"]),
        ("python -", [], ["-"]),
        ("python -i", ["-i"], []),
    ],
)
def test_command_lines_are_split_as_python_does(command: str, flags: list[str], program: list[str]) -> None:
    """The interpreter's flags end where its program begins."""
    assert split_command_line(command.split()) == (flags, program)
