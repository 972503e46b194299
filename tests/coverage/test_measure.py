"""Measuring real runs of a little project, by each of the ways to start one."""

import json
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path

import pytest

from tests.coverage.minishop import FILES, ROOT, lines, python, write

MANAGE = ("-W", "error", "manage.py", "test", "--with-cov")
JSON = Path("reports/coverage.json")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write(folder, FILES)
    return folder


def reference(shop: Path, *flags: str) -> dict[str, tuple[list[int], list[int]]]:
    """Measure the project with coverage.py alone."""
    data, report = shop.parent / "reference", shop.parent / "reference.json"
    python(shop, "-m", "coverage", "run", f"--data-file={data}", *flags, "manage.py", "test").check_returncode()
    python(shop, "-m", "coverage", "json", f"--data-file={data}", "-o", str(report)).check_returncode()
    return lines(report)


def test_module_level_lines_of_models_count_under_manage_py(shop: Path) -> None:
    """Under `manage.py test`, lines that ran while Django was set up are covered."""
    ran = python(shop, *MANAGE, "--cover-json")
    assert ran.returncode == 0, ran.stderr
    executed, missing = lines(shop / JSON)["shop/models.py"]
    assert executed == [1, 3, 4, 6, 7, 8, 11, 12, 14]
    assert missing == [9, 15]


@pytest.mark.parametrize("branches", [False, True], ids=["lines", "branches"])
@pytest.mark.parametrize("start", [("manage.py",), ("-m", "django"), ("-m", "testkit")], ids=" ".join)
def test_the_figure_is_that_of_coverage_run(shop: Path, start: tuple[str, ...], branches: bool) -> None:
    """However the run is started, each line counts as `coverage run manage.py test` has it."""
    expected = reference(shop, "--source=.", *(["--branch"] if branches else []))
    words = ["run"] if "testkit" in start else ["test"]
    more = ["--cover-branches"] if branches else []
    ran = python(shop, *start, *words, "--with-coverage", "--cover-json", *more, DJANGO_SETTINGS_MODULE="settings")
    assert ran.returncode == 0, ran.stderr
    found = lines(shop / JSON)
    if start != ("manage.py",):
        # That script is no part of a run that is started otherwise.
        assert found.pop("manage.py")[0] == []
        del expected["manage.py"]
    assert found == expected


def test_contexts_name_the_test_with_its_set_up(shop: Path) -> None:
    """Lines of a test's setUp carry the test's id, lines of setUpClass the class's, and lines of imports none."""
    ran = python(shop, *MANAGE, "--cover-contexts", "--cover-json", COVERAGE_CORE="sysmon")
    assert ran.returncode == 0, ran.stderr
    files = json.loads((shop / JSON).read_text())["files"]
    tests, models = files["shop/tests.py"]["contexts"], files["shop/models.py"]["contexts"]
    both = ["shop.tests.BookTests.test_loud", "shop.tests.BookTests.test_quiet"]
    assert sorted(tests["13"]) == both
    assert tests["10"] == ["shop.tests.BookTests"]
    assert models["8"] == both[:1]
    assert models["12"] == both[1:]
    assert models["4"] == [""]


def test_contexts_go_before_those_that_the_project_configures(shop: Path) -> None:
    """A `dynamic_context` of the project's own does not get into the way of --cover-contexts."""
    write(shop, {".coveragerc": "[run]\ndynamic_context = test_function\n"})
    ran = python(shop, *MANAGE, "--cover-contexts", "--cover-json")
    assert ran.returncode == 0, ran.stderr
    contexts = json.loads((shop / JSON).read_text())["files"]["shop/models.py"]["contexts"]
    assert contexts["8"] == ["shop.tests.BookTests.test_loud"]


def test_each_report_is_written_into_reports(shop: Path) -> None:
    """Each switch writes its report, below reports/ only, and the run says where."""
    ran = python(shop, *MANAGE, "--cover-html", "--cover-xml", "--cover-lcov", "--cover-json")
    assert ran.returncode == 0, ran.stderr
    reports = shop / "reports"
    assert "models.py" in (reports / "coverage/index.html").read_text()
    assert ET.parse(reports / "coverage.xml").getroot().tag == "coverage"
    assert "SF:shop/models.py" in (reports / "coverage.lcov").read_text()
    assert "shop/models.py" in lines(reports / "coverage.json")
    for name in ("coverage/index.html", "coverage.xml", "coverage.lcov", "coverage.json"):
        assert f"reports/{name}" in ran.stderr
    assert not {path.name for path in shop.iterdir()} & {".coverage", "htmlcov", "coverage.xml", "coverage.json"}


def test_no_report_is_written_unasked(shop: Path) -> None:
    """Without a switch there is the table and the data file alone."""
    ran = python(shop, *MANAGE)
    assert "TOTAL" in ran.stderr
    assert [path.name for path in (shop / "reports").glob("*cov*")] == ["coverage.data"]


def test_the_place_of_a_report_asks_for_it(shop: Path) -> None:
    """A file or folder that is given for a report has it written there, without the switch."""
    places = {"html-dir": "out/html", "xml-file": "out/c.xml", "lcov-file": "out/c.lcov", "json-file": "out/c.json"}
    ran = python(shop, *MANAGE, *(f"--cover-{name}={place}" for name, place in places.items()))
    assert ran.returncode == 0, ran.stderr
    assert sorted(path.name for path in (shop / "out").iterdir()) == ["c.json", "c.lcov", "c.xml", "html"]


def test_the_project_s_configuration_is_honoured(shop: Path) -> None:
    """Source, omit, data file, place of reports and `fail_under` come from the project where no option is given."""
    write(
        shop,
        {
            ".coveragerc": """
                [run]
                source = shop
                omit = */tests.py
                data_file = out/data
                [json]
                output = out/lines.json
                [report]
                fail_under = 99
            """
        },
    )
    ran = python(shop, *MANAGE, "--cover-json")
    assert ran.returncode == 2
    assert "less than the 99 % that fail_under asks for" in ran.stderr
    assert set(lines(shop / "out/lines.json")) == {f"shop/{name}.py" for name in ("models", "unused")} | {
        "shop/__init__.py",
        "shop/migrations/__init__.py",
    }
    assert (shop / "out/data").exists()


def test_options_are_known_from_files_and_the_environment(shop: Path) -> None:
    """setup.cfg and TESTKIT_* variables ask for a measurement as the command line does."""
    write(shop, {"setup.cfg": "[testkit]\ncover_package = shop\n"})
    ran = python(shop, "manage.py", "test", TESTKIT_WITH_COV="1", TESTKIT_COVER_JSON="1")
    assert ran.returncode == 0, ran.stderr
    assert all(name.startswith("shop/") for name in lines(shop / JSON))


def test_cover_package_takes_the_place_of_the_configured_source(shop: Path) -> None:
    """--cover-package, a dotted name or a folder, says alone what is measured."""
    write(shop, {"setup.cfg": "[coverage:run]\nsource = .\n"})
    ran = python(shop, *MANAGE, "--cover-package=shop.migrations,settings", "--cover-json")
    assert ran.returncode == 0, ran.stderr
    assert set(lines(shop / JSON)) == {"settings.py", "shop/migrations/__init__.py"}


@pytest.mark.parametrize(("minimum", "status"), [("80", 0), ("99.5", 2)])
def test_the_minimum_fails_a_run_that_misses_it(shop: Path, minimum: str, status: int) -> None:
    """A run in which less than --cover-min-percentage is covered ends with status 2 and says so."""
    ran = python(shop, *MANAGE, f"--cover-min-percentage={minimum}")
    assert ran.returncode == status, ran.stderr
    assert ("less than the 99.5 % that --cover-min-percentage asks for" in ran.stderr) == bool(status)


def test_data_of_an_earlier_run_do_not_count(shop: Path) -> None:
    """A second run starts from nothing, even where an earlier one left data of a process of its own."""
    python(shop, *MANAGE).check_returncode()
    (shop / "reports/coverage.data.7").write_bytes((shop / "reports/coverage.data").read_bytes())
    python(shop, *MANAGE, "--cover-json", "shop.tests.BookTests.test_loud").check_returncode()
    assert 12 in lines(shop / JSON)["shop/models.py"][1]


@pytest.mark.parametrize("name", ["shop.sqlite3", "shop.2026-01-01"])
def test_databases_beside_the_data_file_are_left_alone(shop: Path, name: str) -> None:
    """A file whose name begins like the data file's is neither deleted nor combined unless coverage.py made it."""
    write(shop, {".coveragerc": "[run]\nsource = .\ndata_file = data/shop\n"})
    (shop / "data" / "shop.d").mkdir(parents=True)
    theirs = shop / "data" / name
    with closing(sqlite3.connect(theirs)) as database, database:
        database.execute("CREATE TABLE customer AS SELECT 1 AS id")
    before = theirs.read_bytes()
    ran = python(shop, *MANAGE)
    assert ran.returncode == 0, ran.stderr
    assert theirs.read_bytes() == before
    assert (shop / "data" / "shop").exists()


def test_a_data_file_that_is_somebody_else_s_is_left_alone(shop: Path) -> None:
    """Where the data file is to be, another database is not deleted: the run says so and ends."""
    write(shop, {".coveragerc": "[run]\nsource = .\ndata_file = shop.sqlite3\n"})
    with closing(sqlite3.connect(shop / "shop.sqlite3")) as database, database:
        database.execute("CREATE TABLE customer AS SELECT 1 AS id")
    before = (shop / "shop.sqlite3").read_bytes()
    ran = python(shop, *MANAGE)
    assert ran.returncode == 2
    assert "shop.sqlite3, which is there and not coverage.py's: give another `data_file`" in ran.stderr
    assert (shop / "shop.sqlite3").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "files"),
    [
        (["--help"], {}),
        (["--list-tests"], {}),
        ([], {"settings.py": "1/0"}),
        ([], {".coveragerc": "[run]\nplugins = no_such_plugin\n"}),
    ],
    ids=["help", "list", "settings", "configuration"],
)
def test_no_empty_folder_is_left(shop: Path, more: list[str], files: dict[str, str]) -> None:
    """Where a measurement comes to nothing, since nothing runs, the folder for its data is not left behind."""
    write(shop, files)
    python(shop, "-m", "testkit", "--with-cov", *more)
    assert not (shop / "reports").exists()


def test_nothing_measured_is_said_plainly(shop: Path) -> None:
    """When no file was measured, the message names what was looked for and what to change."""
    ran = python(shop, *MANAGE, "--cover-package=sohp")
    assert ran.returncode == 2
    assert "coverage measured no file: nothing of sohp was run" in ran.stderr
    assert "--cover-package" in ran.stderr
    assert "Module sohp was never imported" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_configuration_that_is_wrong_is_said_plainly(shop: Path) -> None:
    """A mistake in the coverage configuration ends the run before it begins, without a traceback."""
    write(shop, {".coveragerc": "[run]\nplugins = no_such_plugin\n"})
    ran = python(shop, *MANAGE)
    assert ran.returncode == 2
    assert "coverage.py cannot measure this run: No module named 'no_such_plugin'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_file_without_source_is_said_plainly(shop: Path) -> None:
    """A measured file that is gone when the reports are made is named, with the setting that leaves it out."""
    write(shop, {"shop/tests.py": FILES["shop/tests.py"] + "\n        import os\n        os.remove(__file__)\n"})
    ran = python(shop, *MANAGE)
    assert ran.returncode == 2
    assert "shop/tests.py" in ran.stderr
    assert "`omit` leaves files out" in ran.stderr


def test_an_interrupted_run_has_its_figures(shop: Path) -> None:
    """After SIGINT, what ran until then is reported."""
    write(shop, {"shop/tests.py": FILES["shop/tests.py"] + INTERRUPTING_TEST})
    ran = python(shop, *MANAGE, "--cover-json")
    assert ran.returncode == 130, ran.stderr
    assert 8 in lines(shop / JSON)["shop/models.py"][0]


INTERRUPTING_TEST = """
            def test_p_interrupt(self):
                import os, signal, time
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(10)
"""


def test_a_test_may_leave_the_folder(shop: Path) -> None:
    """Reports go where the run began, though a test has changed to a folder that is gone."""
    leaving = """
            def test_leave(self):
                import os, tempfile
                with tempfile.TemporaryDirectory() as folder:
                    os.chdir(folder)
    """
    write(shop, {"shop/tests.py": FILES["shop/tests.py"] + leaving})
    ran = python(shop, "manage.py", "test", "--with-cov", "--cover-json")
    assert (shop / JSON).exists(), ran.stderr


def test_a_measurement_of_somebody_else_is_adopted(shop: Path) -> None:
    """Under `coverage run`, testkit reports from that measurement, and its owner's data stay whole."""
    expected = reference(shop, "--source=.")
    mine = ["--with-cov", "--cover-json", "--cover-contexts"]
    ran = python(shop, "-X", "dev", "-m", "coverage", "run", "--source=.", "manage.py", "test", *mine)
    assert ran.returncode == 0, ran.stderr
    assert "ResourceWarning" not in ran.stderr
    assert "TOTAL" in ran.stderr
    assert lines(shop / JSON) == expected
    python(shop, "-m", "coverage", "json", "-o", "owner.json").check_returncode()
    assert lines(shop / "owner.json") == expected


def test_a_measurement_that_coverage_began_by_itself_is_saved(shop: Path) -> None:
    """A process that COVERAGE_PROCESS_START has coverage.py measure still writes its data when testkit reports."""
    # coverage.py installs a hook of its own by now; this one serves versions that do not.
    hook = "import coverage\ncoverage.process_startup()\n"
    write(shop, {"all.rc": "[run]\nsource = .\nparallel = true\n", "hook/sitecustomize.py": hook})
    environment = {"COVERAGE_PROCESS_START": str(shop / "all.rc"), "PYTHONPATH": f"{shop / 'hook'}:{ROOT}"}
    ran = python(shop, *MANAGE, "--cover-json", **environment)
    assert ran.returncode == 0, ran.stderr
    assert len(list(shop.glob(".coverage.*"))) == 1
    assert lines(shop / JSON)["shop/models.py"][1] == [9, 15]


@pytest.mark.parametrize(("flag", "theirs"), [("--cover-branches", "--branch"), ("--cover-package=shop", "--source")])
def test_an_adopted_measurement_cannot_be_changed(shop: Path, flag: str, theirs: str) -> None:
    """What a measurement of somebody else does not do is refused, with the flag that it would have needed."""
    ran = python(shop, "-m", "coverage", "run", "--source=.", "manage.py", "test", "--with-cov", flag)
    assert ran.returncode == 2
    assert f"Give {theirs} to `coverage run`" in ran.stderr


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
def test_contexts_are_refused_where_they_would_be_wrong(shop: Path) -> None:
    """A measurement of somebody else by sys.monitoring, which would lose lines, is not given contexts."""
    mine = ["manage.py", "test", "--with-cov", "--cover-contexts"]
    ran = python(shop, "-m", "coverage", "run", "--source=.", *mine, COVERAGE_CORE="sysmon")
    assert ran.returncode == 2
    assert "set COVERAGE_CORE=ctrace" in ran.stderr


def test_data_of_other_processes_are_combined(shop: Path) -> None:
    """A process that measures its part writes a file of its own, which the run's figures include."""
    program = """
        import os
        from pathlib import Path
        from testkit.coverage import measure
        options = measure.CoverageOptions(cover_package=("lib",), cover_json=True)
        measurement = measure.start(options)
        child = os.fork()
        if not child:
            part = measure.start(options, data_file=Path("reports/coverage.data.1"))
            import lib.child
            part.save()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        import lib.parent
        result = measurement.finish()
        print(result.covered, result.statements, result.percent, result.warnings)
    """
    modules = {"lib/__init__.py": "", "lib/child.py": "A = 1\nB = 2\n", "lib/parent.py": "A = 1\n", "lib/x.py": "A = 1"}
    write(shop, {"program.py": program, **modules})
    ran = python(shop, "-W", "error", "program.py")
    assert ran.stdout == "3 4 75.0 ()\n", ran.stderr
    assert [path.name for path in (shop / "reports").glob("*.data*")] == ["coverage.data"]


def test_parallel_data_of_the_project_s_configuration_are_combined(shop: Path) -> None:
    """With `parallel = true` the run's data end in one file, and its figures are whole."""
    write(shop, {"pyproject.toml": '[tool.coverage.run]\nparallel = true\nsource = ["."]\n'})
    ran = python(shop, *MANAGE, "--cover-json")
    assert ran.returncode == 0, ran.stderr
    assert lines(shop / JSON)["shop/models.py"][1] == [9, 15]
    with closing(sqlite3.connect(shop / "reports/coverage.data")) as data:
        assert data.execute("select count(*) from file").fetchone()[0] > 3


def test_importing_measure_does_not_import_coverage() -> None:
    """A run without coverage does not pay for coverage.py."""
    check = "import sys, testkit.coverage.measure; sys.exit('coverage' in sys.modules or 'django' in sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", check], cwd=ROOT, check=True)
