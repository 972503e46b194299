"""The documentation says what the code does: options, facts, links, commands, and the tutorial word for word."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.management.commands.test import Command

from testkit.core.errors import ExitStatus
from testkit.core.events import FACTS, Outcome, Problem
from testkit.core.options import declared, flag_of
from testkit.nose2_plugin.options import Nose2Options
from testkit.session import GROUPS
from testkit.session.aftermath import replay_parser, report_parser
from testkit.session.comparison import compare_parser
from testkit.session.history.flaky_command import flaky_parser
from testkit.session.history.trends_command import trends_parser
from testkit.session.merging import merge_parser
from testkit.session.screenshots import screenshots_parser
from tests.projects import ROOT, clean_environment

PARSERS = {
    "report": report_parser,
    "replay": replay_parser,
    "merge": merge_parser,
    "compare": compare_parser,
    "flaky": flaky_parser,
    "trends": trends_parser,
}
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "sample_project" / "README.md")
    if "_build" not in path.parts
)
TUTORIAL = DOCS / "tutorial" / "first-run.md"
# What is in these folders belongs to the repository, so a path below one of them has to exist.
OWN_FOLDERS = (".ci", ".github", "benchmarks", "docs", "requirements", "sample_project", "testkit", "tests", "tools")
MADE_BY_A_RUN = ("docs/_build",)
FENCED = re.compile(r"^( *)```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^\1```$", re.MULTILINE | re.DOTALL)
# A command that runs tests, up to what ends it in a shell.
COMMAND = re.compile(r"(?:python -m testkit|manage\.py test|runtests\.py)\b((?: +[^\s#&|;'\"`]+)*)")


class Block(NamedTuple):
    """A fenced block: its language, its text, and the paragraph before it."""

    language: str
    text: str
    before: str


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    text = read(page)
    for match in FENCED.finditer(text):
        paragraphs = text[: match.start()].rstrip().rsplit("\n\n", 1)
        yield Block(match["language"], textwrap.dedent(match["text"]), paragraphs[-1])


def prose(page: Path) -> str:
    """Return the text of ``page`` without its fenced blocks."""
    return FENCED.sub("", read(page))


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the Markdown tables in ``text``, heads and rules left out."""
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_rule = re.fullmatch(r"\|[ |:-]+\|", line)
        is_head = line.startswith("|") and re.fullmatch(r"\|[ |:-]+\|", following)
        if line.startswith("|") and not is_rule and not is_head:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def words(page: Path) -> dict[str, list[str]]:
    """Return the names in the first cell of each row, by the heading that the row stands below."""
    sections = re.split(r"^## ", prose(page), flags=re.MULTILINE)
    return {part.partition("\n")[0]: [code for row in rows(part) for code in codes(row[0])] for part in sections[1:]}


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_reference_has_every_option_as_it_is():
    """Each option stands in the reference with the flags, the names and the default that it has in the code."""
    found = {}
    for row in rows(prose(DOCS / "reference" / "options.md")):
        flags, environment, key, default, *_ = [" ".join(codes(cell)) for cell in row]
        assert environment not in found
        found[environment] = (flags, key, default)
    expected = {}
    for name, spec in declared(GROUPS).items():
        default = spec.default if isinstance(spec.default, str) else json.dumps(spec.default, default=str).strip('"')
        expected[f"TESTKIT_{name.upper()}"] = (
            " ".join([flag_of(name), *spec.aliases]) if spec.command_line else "",
            "" if spec.early else name.upper(),
            default,
        )
    assert found == expected


def test_the_settings_page_has_every_key():
    """The dict on the settings page is one that testkit takes, and has every key there is."""
    given: dict[str, dict[str, object]] = {}
    example = next(block for block in blocks(DOCS / "reference" / "settings.md") if block.language == "python")
    exec(example.text, given)
    known = {name.upper(): spec for name, spec in declared(GROUPS).items() if not spec.early}
    assert given["TESTKIT"].keys() == known.keys()
    for key, value in given["TESTKIT"].items():
        known[key].parse(value)


def test_the_reference_has_every_fact_and_field():
    """Each fact has a section with a row for each of its fields, and no other; so have outcomes."""
    told = words(DOCS / "reference" / "facts.md")
    for name, cls in {**FACTS, "Problem": Problem}.items():
        sections = (
            {
                *(
                    "databases",
                    "environment",
                    "coverage",
                    "diff_coverage",
                    "leaks",
                    "budgets",
                    "routes",
                    "screenshots",
                    "source",
                    "reports",
                ),
                *("github", "status"),
            }
            if name == "RunMeasured"
            else set()
        )
        assert set(told[name]) - sections == set(cls._fields), name
    assert told["Outcomes"] == [outcome.value for outcome in Outcome]


def test_the_reference_has_every_exit_status():
    """The page of exit statuses has those of the code, and README has no other."""
    page = [row for row in rows(prose(DOCS / "reference" / "exit-statuses.md")) if row[0].isdecimal()]
    assert {codes(name)[0]: int(status) for status, name, *_ in page} == {
        status.name: status.value for status in ExitStatus
    }
    readme = re.split(r"^## ", read(ROOT / "README.md"), flags=re.MULTILINE)
    table = next(part for part in readme if part.startswith("Exit statuses"))
    numbers = {int(number) for row in rows(table) for number in re.findall(r"\d+", row[0])}
    assert numbers == {int(status) for status in ExitStatus}


def test_the_matrix_in_readme_is_that_of_ci():
    """README claims exactly the Pythons and Djangos that CI runs."""
    workflow = read(ROOT / ".github" / "workflows" / "ci.yml")
    pythons, djangos = (
        re.findall(r'"(\d\.\d+)"', line) for line in re.findall(r"^ +(?:python|django): \[.*", workflow, re.MULTILINE)
    )
    excluded = set(re.findall(r'python: "([\d.]+)", django: "([\d.]+)"', workflow))
    readme = read(ROOT / "README.md")
    assert re.findall(r"Django (\d\.\d) \|", readme) == djangos
    claimed = {row[0].removeprefix("Python "): row[1:] for row in rows(readme) if row[0].startswith("Python 3")}
    assert claimed == {
        python: ["–" if (python, django) in excluded else "yes" for django in djangos] for python in pythons
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_paths_exist(page):
    """What a page links to is there, with its section, and so is every path of the repository that it names."""
    text = prose(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if file.startswith(("https://", "http://")):
            continue
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target
    for entry in re.findall(r"^(?:include\} (\S+)|([\w-]+(?:/[\w-]+)*))$", read(page), re.MULTILINE):
        if entry[1] and "/" in entry[1] and page.is_relative_to(DOCS):  # of a table of contents
            assert (page.parent / f"{entry[1]}.md").exists(), entry
    for code in codes(text):
        head = code.partition("/")[0]
        if "/" in code and " " not in code and head in OWN_FOLDERS and not code.startswith(MADE_BY_A_RUN):
            assert list(ROOT.glob(code.rstrip("/"))), code


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_understood(page):
    """Every command on a page that runs tests, or the guard, has flags that its parser knows."""
    shell = [block.text for block in blocks(page) if block.language not in ("python", "text")]
    for text in (*shell, *codes(prose(page))):
        for given in COMMAND.findall(text):
            arguments = given.split()
            if arguments[:1] == ["guard"]:
                assert set(flags_in(arguments)) <= {"--settings", "--pythonpath", "--help"}, text
            elif arguments[:1] == ["screenshots"]:
                own, _, of_run = " ".join(arguments[1:]).partition(" -- ")
                assert set(flags_in(own.split())) <= screenshots_flags(own), text
                assert unknown_flags(of_run.split()) == [], text
            elif arguments and arguments[0] in PARSERS:
                assert set(flags_in(arguments)) <= set(PARSERS[arguments[0]]()._option_string_actions), text
            else:
                assert unknown_flags(arguments) == [], text


def screenshots_flags(arguments: str) -> set[str]:
    """Return the flags that ``screenshots`` knows, and those of its command that ``arguments`` begin with."""
    (commands,) = [action for action in screenshots_parser()._actions if isinstance(action.choices, dict)]
    name, *_ = arguments.split() or [""]
    assert not name or name in commands.choices
    known = commands.choices[name] if name else screenshots_parser()
    return set(known._option_string_actions)


@pytest.mark.parametrize("page", [ROOT / "README.md", *DOCS.glob("how-to/from-*.md")], ids=name_of)
def test_migration_tables_name_what_exists(page):
    """Every flag in the last column of a migration table is one of ours or Django's, every key an option."""
    keys = {name.upper() for name, spec in declared(GROUPS).items() if not spec.early}
    for row in rows(prose(page)):
        for code in codes(row[-1]):
            assert unknown_flags(shlex.split(code) if code.startswith("-") else []) == [], code
            named = re.findall(r'TESTKIT\["(\w+)"\]', code) + re.findall(r'TESTKIT = \{"(\w+)"', code)
            assert set(named) <= keys, code


def test_the_page_on_nose2_has_its_options():
    """Each option that only nose2 has stands on its page, with its flag and default; and its commands are understood."""
    page = DOCS / "how-to" / "nose2.md"
    told = {
        codes(row[0])[0]: "".join(codes(row[1]))
        for row in rows(prose(page))
        if row[0].startswith("`--") and len(row) == 3
    }
    expected = {flag_of(name): spec.default for name, spec in Nose2Options.declared.items()}
    assert {flag: told.get(flag) for flag in expected} == {
        flag: default if isinstance(default, str) else json.dumps(default) for flag, default in expected.items()
    }
    shown = subprocess.run(
        [sys.executable, "-m", "testkit", "--runner=nose2", "--help"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    known = set(re.findall(r"(?<![\w-])--?\w[\w-]*", shown.stdout))
    commands = re.findall(r"-m nose2\b(.*)", read(page))
    assert len(commands) >= 2
    assert {flag for command in commands for flag in flags_in(command.split())} <= known


def unknown_flags(arguments: list[str]) -> list[str]:
    """Return the flags among ``arguments`` that ``manage.py test`` does not know."""
    if arguments[:1] == ["--runner"]:
        arguments = arguments[2:]
    command = Command()
    command.test_runner = "testkit.runner.TestkitRunner"
    known = command.create_parser("manage.py", "test")._option_string_actions
    return [flag for flag in flags_in(arguments) if flag not in known]


def flags_in(arguments: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in arguments if word.startswith("-")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_compile(page):
    """Every block of Python on a page is Python."""
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(page), "exec")


def test_readme_runs_what_it_says():
    """The flags and labels of README's sample run exist, and so does the test that it shows."""
    shown = re.search(r"FAIL: (\w+) \(([\w.]+)\.(\w+)\.\w+\)", read(ROOT / "README.md"))
    assert shown is not None
    module = ROOT / "sample_project" / f"{shown[2].replace('.', '/')}.py"
    assert re.search(rf"class {shown[3]}\(.*?def {shown[1]}\(", read(module), re.DOTALL)


def test_the_listener_of_the_guide_works(project):
    """The listener of the how-to guide writes the names of failing tests."""
    guide = [block.text for block in blocks(DOCS / "how-to" / "write-a-listener.md") if block.language == "python"]
    project.write({"shop/listeners.py": guide[0]})
    project.settings(guide[1])
    project.tests("""
    from unittest import TestCase
    class T(TestCase):
        def test_bad(self): self.fail()
        def test_good(self): pass
    """)
    assert project.run().returncode == 1
    assert (project.folder / "reports/failed.txt").read_text() == "shop.tests.test_shop.T.test_bad"


def test_the_runner_of_the_guide_works(project):
    """A project's own runner, with the mixin as the guide has it, runs under manage.py and keeps its flag."""
    guide = [block.text for block in blocks(DOCS / "how-to" / "adopt.md") if "class ShopRunner" in block.text]
    project.write({"shop/runner.py": guide[0]})
    project.settings('TEST_RUNNER = "shop.runner.ShopRunner"')
    project.tests("from unittest import TestCase\nclass T(TestCase):\n    def test_it(self): pass")
    result = project.run("--browser=firefox", "--with-xunit", front="manage.py")
    assert result.returncode == 0, result.stderr
    assert project.xunit().get("tests") == "1"


class Step(NamedTuple):
    """A step of the tutorial: a command with the lines that it prints, or a file with its text."""

    what: str
    text: str


def steps(page: Path) -> Iterator[Step]:
    """Yield what a reader does: commands of console blocks, and files that blocks of Python are to be put into."""
    for block in blocks(page):
        if block.language == "console":
            for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
                yield Step(command, shown)
        elif block.language == "python":
            (file,) = [code for code in codes(block.before) if code.endswith(".py")]
            yield Step(f"{'append' if 'end of' in block.before else 'write'} {file}", block.text)


def plain(line: str) -> str:
    """Return ``line`` without what differs from run to run: numbers, the folder, and the width of tables."""
    line = re.sub(r'File "[^"]*?(\w+/\w+/\w+\.py)"', r'File "\1"', line)
    line = re.sub(r"\d+(\.\d+)?(?=\s*(s\b|%| {2,}|$))", "0", line)
    return re.sub(r"\s+", " ", line).strip()


def test_the_tutorial_works(tmp_path):
    """Each command of the tutorial, run in its order in an empty folder, prints the lines that the tutorial shows."""
    pytest.importorskip("psycopg", reason="the tutorial's last part needs psycopg: pip install psycopg[binary]")
    environment = clean_environment(PYTHONUNBUFFERED="1")
    folder, status, ran = tmp_path, 0, 0
    for what, text in steps(TUTORIAL):
        verb, _, rest = what.partition(" ")
        if verb in ("write", "append"):
            with open(folder / rest, "a" if verb == "append" else "w", encoding="utf-8") as file:
                file.write(text)
        elif verb == "cd":
            folder /= rest
        elif what == "echo $?":
            assert text.strip() == str(status)
        elif what != "python -m pip install django-testkit":  # which would ask the network
            program = {"python": [sys.executable], "django-admin": [sys.executable, "-m", "django"]}[verb]
            done = subprocess.run(
                [*program, *shlex.split(rest)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
            status, ran = done.returncode, ran + 1
            printed = iter([plain(line) for line in done.stdout.splitlines()])
            for line in text.splitlines():
                if line.strip() not in ("", "…"):
                    assert plain(line) in printed, f"{what} does not print {line!r} (in this place):\n{done.stdout}"
    assert ran >= 10
    for report in ("xunit.xml", "coverage/index.html"):
        assert (folder / "reports" / report).exists()
    assert (folder / ".testkit").exists()


@pytest.mark.parametrize(
    ("page", "parsers"), [("compare-runs", [compare_parser]), ("history", [flaky_parser, trends_parser])]
)
def test_the_guides_have_every_flag_of_their_commands(page, parsers):
    """Each flag of `compare`, `flaky` and `trends` stands on the page about the command."""
    text = read(DOCS / "how-to" / f"{page}.md")
    flags = {flag for parser in parsers for flag in parser()._option_string_actions if flag.startswith("--")}
    assert sorted(flag for flag in flags - {"--help"} if f"`{flag}" not in text) == []
