"""What migrations read is noted while a database is built, and a change of it is told: real projects, real builds."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from testkit.databases.dependencies import digests
from testkit.databases.dependencies.inputs import Input, changed
from tests.projects import Project, clean_environment

SCRIPT = """
import json, os, pathlib, sys
import django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()
from django.db import connections
from django.test.utils import setup_test_environment
setup_test_environment()
from testkit.databases.dependencies.inputs import Input, changed, recorded_inputs
kept = pathlib.Path(".inputs.json")
if sys.argv[1] == "build":
    found = {}
    environ, stat, wrapped = type(os.environ), os.stat, django.conf.settings._wrapped
    for alias in connections:
        with recorded_inputs() as inputs:
            connections[alias].creation.create_test_db(verbosity=0)
        found[alias] = inputs.found()
    assert (type(os.environ), os.stat, django.conf.settings._wrapped) == (environ, stat, wrapped)
    kept.write_text(json.dumps(found["default"]))
    print(json.dumps(found))
else:
    print(json.dumps(changed(Input(*each) for each in json.loads(kept.read_text()))))
"""
MIGRATION = """
import {modules}
from django.db import migrations
{before}

def run(apps, editor):
    Item = apps.get_model("shop", "Item")
{body}

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(run)]
"""
MODULES = "csv, glob, io, json, os, pathlib, pkgutil, shutil, subprocess, sys, tempfile"


def runs(project: Project, body: str, before: str = "") -> None:
    """Give the project a migration that runs ``body``, a few lines."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    text = MIGRATION.format(modules=MODULES, body=lines, before=before)
    project.folder.joinpath("shop/migrations/0002_fill.py").write_text(text)


def _script(project: Project, mode: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        cwd=project.folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def build(project: Project, alias: str = "default", **environment: str) -> set[tuple[str, str]]:
    """Build the databases in a new process, and return kind and name of what was read."""
    return {(kind, name) for kind, name, _ in _script(project, "build", **environment)[alias]}


def change_of(project: Project, **environment: str) -> str:
    """Return what a new process says has changed since."""
    text: str = _script(project, "check", **environment)
    return text


def own(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out the settings that Django asks for."""
    return {(kind, name) for kind, name in found if kind != "setting" or name.startswith("SHOP")}


# Files


@pytest.mark.parametrize(
    "body",
    [
        "open('data/a.csv').read()",
        "pathlib.Path('data/a.csv').read_bytes()",
        "list(csv.reader(open('data/a.csv', newline='')))",
        "with pathlib.Path(__file__).parents[2].joinpath('data', 'a.csv').open() as f: json.load(f)",
        "os.read(os.open('data/a.csv', os.O_RDONLY), 9)",
        "os.chdir('data')\nio.FileIO(b'a.csv').read()\nos.chdir('..')",
        "shutil.copyfile('data/a.csv', os.path.join(tempfile.mkdtemp(), 'x'))",
    ],
)
def test_file_that_a_migration_reads(project: Project, body: str) -> None:
    """It is noted however it is opened, and nothing else is."""
    project.write({"data/a.csv": "1"})
    runs(project, body)
    assert own(build(project)) == {("file", "data/a.csv")}


def test_change_of_a_file(project: Project) -> None:
    """A change of content is told, a mere touch is none, and the old content is as good as it was."""
    project.write({"data/a.csv": "1"})
    runs(project, "open('data/a.csv').read()")
    build(project)
    assert change_of(project) == ""
    os.utime(project.folder / "data/a.csv")
    assert change_of(project) == ""
    project.write({"data/a.csv": "2"})
    assert change_of(project) == "data/a.csv has changed"
    project.folder.joinpath("data/a.csv").unlink()
    assert change_of(project) == "data/a.csv is gone"
    project.write({"data/a.csv": "1"})
    assert change_of(project) == ""


def test_edit_that_hides(project: Project) -> None:
    """A file of the same size whose time was set back is seen, also when it was settled when it was read."""
    project.write({"data/a.csv": "1"})
    runs(project, "open('data/a.csv').read()")
    path = project.folder / "data/a.csv"
    time.sleep(2.2)
    build(project)
    times = path.stat()
    path.write_text("2")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert change_of(project) == "data/a.csv has changed"


@pytest.mark.parametrize(
    "body",
    [
        "try: open('data/a.csv')\nexcept OSError: pass",
        "assert not os.path.exists('data/a.csv')",
        "assert not pathlib.Path('data', 'a.csv').is_file()",
        "assert not pathlib.Path('data').is_dir()",
    ],
)
def test_file_that_is_missing(project: Project, body: str) -> None:
    """A file that a migration looks for in vain is noted: it may come into being."""
    runs(project, body)
    build(project)
    assert change_of(project) == ""
    project.write({"data/a.csv": "1"})
    assert change_of(project) in {"data/a.csv is new", "data is new"}


def test_fixture_that_a_migration_loads(project: Project) -> None:
    """``loaddata`` in a migration: the fixture counts, and one of the same name in another app, too."""
    project.write({"shop/fixtures/items.json": '[{"model": "shop.item", "pk": 1, "fields": {"name": "a"}}]'})
    project.write({"cafe/__init__.py": "", "cafe/fixtures/other.json": "[]"})
    project.settings("INSTALLED_APPS = [*INSTALLED_APPS, 'cafe']")
    runs(project, "call_command('loaddata', 'items', verbosity=0)", "from django.core.management import call_command")
    assert ("file", "shop/fixtures/items.json") in build(project)
    assert change_of(project) == ""
    project.write({"cafe/fixtures/items.json": "[]"})
    assert change_of(project) == "what fits cafe/fixtures/items* has changed"
    project.folder.joinpath("cafe/fixtures/items.json").unlink()
    project.write({"shop/fixtures/items.json": '[{"model": "shop.item", "pk": 1, "fields": {"name": "b"}}]'})
    assert change_of(project) == "shop/fixtures/items.json has changed"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("os.listdir('data')", "the list of files in data has changed"),
        ("list(os.scandir('data'))", "the list of files in data has changed"),
        ("list(os.walk('data'))", "the list of files in data has changed"),
        ("list(pathlib.Path('data').iterdir())", "the list of files in data has changed"),
        ("glob.glob('data/*.csv')", "what fits data/*.csv has changed"),
        ("glob.glob('*.csv', root_dir='data')", "what fits data/*.csv has changed"),
        ("glob.glob(os.path.join(os.getcwd(), 'data', '*.csv'))", "what fits data/*.csv has changed"),
    ],
)
def test_list_of_files(project: Project, body: str, said: str) -> None:
    """Where a migration takes all files that there are, another one is a change; what tools leave there is none."""
    project.write({"data/a.csv": "1"})
    runs(project, body)
    build(project)
    project.write({"data/.hidden": "", "data/__pycache__/x.pyc": "", "data/a.csv~": ""})
    assert change_of(project) == ""
    project.write({"data/b.csv": "1"})
    assert change_of(project) == said


def test_pattern_of_a_path(project: Project) -> None:
    """``Path.glob`` and ``Path.rglob`` are heard, for folders that are new, too."""
    project.write({"data/one/a.csv": "1"})
    runs(project, "list(pathlib.Path('data').rglob('*.csv'))\nlist(pathlib.Path('data').glob('*/a.csv'))")
    assert {("pattern", "data/**/*.csv"), ("pattern", "data/*/a.csv")} <= build(project)
    project.write({"data/two/a.csv": "1"})
    assert change_of(project) != ""


def test_module_that_is_loaded_for_a_migration(project: Project) -> None:
    """A module of the project counts however deep it is imported, with or without bytecode; the migrations do not."""
    project.write({"shop/steps.py": "from shop.deep import size\n", "shop/deep.py": "size = 1\n"})
    runs(project, "from shop.steps import size")
    modules = {("file", "shop/steps.py"), ("file", "shop/deep.py")}
    assert own(build(project)) == modules
    assert own(build(project, PYTHONDONTWRITEBYTECODE="")) == modules
    assert list(project.folder.glob("shop/__pycache__/deep.*"))
    assert own(build(project, PYTHONDONTWRITEBYTECODE="")) == modules
    project.write({"shop/deep.py": "size = 2\n"})
    assert change_of(project) == "shop/deep.py has changed"


def test_data_of_a_package(project: Project) -> None:
    """``pkgutil.get_data`` reads by the importer, and is a read of the migration all the same."""
    project.write({"shop/a.csv": "1"})
    runs(project, "pkgutil.get_data('shop', 'a.csv')")
    assert own(build(project)) == {("file", "shop/a.csv")}


def test_what_is_read_at_import_counts_for_all_databases(project: Project) -> None:
    """The second database is built with modules that are loaded already: what they have read counts for it, too."""
    project.settings("DATABASES['other'] = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'other.sqlite3'}")
    project.write({"data/a.csv": "1"})
    runs(project, "pass", "DATA = open('data/a.csv').read(); SIZE = os.environ.get('SHOP_SIZE')")
    assert own(build(project, alias="other")) == {("file", "data/a.csv"), ("environment", "SHOP_SIZE")}


def test_what_is_no_input(project: Project) -> None:
    """What is written, made or temporary, and what is the system's, is no input; the database's file neither."""
    project.settings("DATABASES['default']['TEST'] = {'NAME': 'test.sqlite3'}")
    runs(
        project,
        """
open('out.txt', 'w').write('x')
open('out.txt').read()
os.mkdir('made')
os.listdir('made')
with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, 'a').write_text('x')
    os.rename(os.path.join(folder, 'a'), os.path.join(folder, 'b'))
    pathlib.Path(folder, 'b').read_text()
    os.listdir(folder)
open('/proc/self/status').read()
open('/dev/null').read()
open('/etc/hostname').read()
open(json.__file__).read()
import django
open(django.__file__).read()
open('test.sqlite3', 'rb').read(1)
""",
    )
    assert own(build(project)) == set()


# Environment and settings


@pytest.mark.parametrize(
    "body",
    [
        "os.environ.get('SHOP_SIZE')",
        "os.getenv('SHOP_SIZE', '1')",
        "'SHOP_SIZE' in os.environ",
        "os.environb.get(b'SHOP_SIZE')",
        "os.path.expandvars('$SHOP_SIZE')",
        "os.environ.pop('SHOP_SIZE', None)",
        "os.environ.copy()\nos.environ.get('SHOP_SIZE')",
        "dict(os.environ).get('HOME')\n[n for n in os.environ]\nos.environ.get('SHOP_SIZE')",
    ],
)
def test_variable(project: Project, body: str) -> None:
    """A variable is noted that is asked for by its name, in whatever way."""
    runs(project, body)
    assert own(build(project)) == {("environment", "SHOP_SIZE")}


def test_change_of_a_variable(project: Project) -> None:
    """Its coming, its changing and its going are told."""
    runs(project, "os.getenv('SHOP_SIZE', '1')")
    build(project)
    assert change_of(project) == ""
    assert change_of(project, SHOP_SIZE="1") == "environment variable SHOP_SIZE is new"
    build(project, SHOP_SIZE="1")
    assert change_of(project, SHOP_SIZE="1") == ""
    assert change_of(project, SHOP_SIZE="2") == "environment variable SHOP_SIZE has changed"
    assert change_of(project) == "environment variable SHOP_SIZE is gone"


@pytest.mark.parametrize(
    "body",
    [
        "os.environ.copy()",
        "dict(os.environ)",
        "{**os.environ}",
        "os.environ | {}",
        "[os.environ[name] for name in os.environ]",
        "list(os.environ.items())\nlist(os.environ.values())\nrepr(os.environ)",
        "subprocess.run([sys.executable, '-c', ''], env={**os.environ, 'X': '1'})",
        "kept = dict(os.environ)\nos.environ.clear()\nos.environ.update(kept)",
        "os.environ['SHOP_SIZE'] = '1'\nos.environ['SHOP_SIZE']",
        "import shutil; shutil.get_terminal_size(); os.environ.get('HOME'); os.environ.get('PGHOST')",
    ],
)
def test_variables_that_are_not_asked_for(project: Project, body: str) -> None:
    """To take all of them is to ask for none; what the migration has set, and what terminals have, is no input."""
    runs(project, body)
    assert own(build(project, SHOP_OTHER="1", PGHOST="x")) == set()


def test_setting(project: Project) -> None:
    """A setting that is asked for counts, also one that Django has read before, or that is missing."""
    project.settings("SHOP_MODE = 'a'\nSHOP_SET = {'x', 'y', 'z'}\nSHOP_CALL = object()\nSHOP_UNREAD = 1")
    runs(
        project,
        "settings.SHOP_MODE, settings.SHOP_SET, settings.SHOP_CALL, getattr(settings, 'SHOP_NONE', 1)",
        "from django.conf import settings; assert settings.TIME_ZONE",
    )
    found = build(project)
    assert own(found) == {("setting", name) for name in ("SHOP_MODE", "SHOP_SET", "SHOP_CALL", "SHOP_NONE")}
    assert ("setting", "TIME_ZONE") in found
    assert change_of(project, PYTHONHASHSEED="5") == ""
    project.settings("SHOP_UNREAD = 2\nSECRET_KEY = 'other'")
    assert change_of(project) == ""
    project.settings("SHOP_MODE = 'b'")
    assert change_of(project) == "setting SHOP_MODE has changed"
    project.settings("SHOP_MODE = 'a'\nSHOP_NONE = 2")
    assert change_of(project) == "setting SHOP_NONE is new"


def test_settings_that_differ_from_run_to_run(project: Project) -> None:
    """Secrets are left out, and places to write in; a folder of temporary files is as good as another."""
    project.settings(
        """
        import tempfile, uuid
        SHOP_FOLDER = tempfile.mkdtemp()
        SHOP_INDEX = {"path": tempfile.mkdtemp()}
        SHOP_API_KEY = SHOP_TOKEN = uuid.uuid4()
        MEDIA_ROOT = "x" + str(uuid.uuid4())
        """
    )
    names = [
        "SHOP_FOLDER",
        "SHOP_INDEX",
        "SHOP_API_KEY",
        "SHOP_TOKEN",
        "MEDIA_ROOT",
        "SECRET_KEY",
        "DATABASES",
        "DEBUG",
    ]
    runs(project, f"[getattr(settings, name) for name in {names}]", "from django.conf import settings")
    assert own(build(project)) == {("setting", "SHOP_FOLDER"), ("setting", "SHOP_INDEX")}
    assert change_of(project) == ""


def test_values_are_not_kept(project: Project) -> None:
    """Neither a variable's value nor a setting's or a file's content is in what is kept."""
    project.settings("SHOP_MODE = 'very-private'")
    project.write({"a.txt": "very-private"})
    runs(
        project,
        "settings.SHOP_MODE, os.environ['SHOP_SIZE'], open('a.txt').read()",
        "from django.conf import settings",
    )
    assert len(own(build(project, SHOP_SIZE="very-private"))) == 3
    assert "very-private" not in project.folder.joinpath(".inputs.json").read_text()


# The block


def in_process(project: Project, code: str) -> None:
    """Run ``code`` in a new process of the project, where its assertions hold."""
    before = """
        import os, pathlib, sys
        import django
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        django.setup()
        from django.conf import settings
        from django.test import override_settings
        from testkit.databases.dependencies.inputs import changed, recorded_inputs
        def state():
            return type(os.environ), type(os.environb), os.stat, settings._wrapped
        first = state()
    """
    text = textwrap.dedent(before) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=project.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_overridden_settings_in_the_block(project: Project) -> None:
    """``override_settings`` works within the block and across its end; what code sets is no input."""
    in_process(
        project,
        """
        with recorded_inputs() as inputs:
            with override_settings(SHOP_MODE="a"):
                assert (settings.SHOP_MODE, bool(settings.LANGUAGES)) == ("a", True)
            settings.SHOP_SET = 1
            assert settings.SHOP_SET == 1
            assert settings.is_overridden("INSTALLED_APPS") and "SHOP_SET" in dir(settings)
            left = override_settings(SHOP_MODE="b")
            left.enable()
        assert settings.SHOP_MODE == "b"
        assert settings._wrapped.default_settings is first[-1]
        left.disable()
        assert not hasattr(settings, "SHOP_MODE") and settings.SHOP_SET == 1
        found = {name: digest for kind, name, digest in inputs.found() if kind == "setting"}
        assert "LANGUAGES" in found and "SHOP_SET" not in found, found
        assert found["SHOP_MODE"] == "missing"  # Django asks for it when the override ends
        """,
    )


def test_override_that_ends_in_the_block(project: Project) -> None:
    """An ``override_settings`` around the beginning of the block puts back what it has found."""
    in_process(
        project,
        """
        override = override_settings(SHOP_MODE="a")
        override.enable()
        with recorded_inputs():
            assert settings.SHOP_MODE == "a"
            override.disable()
            assert not hasattr(settings, "SHOP_MODE")
        assert state() == first
        """,
    )


def test_block_that_fails_leaves_nothing_behind(project: Project) -> None:
    """Environment, settings and ``os.stat`` are what they were, and nothing is heard any more."""
    in_process(
        project,
        """
        try:
            with recorded_inputs() as inputs:
                raise RuntimeError
        except RuntimeError:
            pass
        assert state() == first
        count = len(inputs.found())
        open("settings.py").read()
        os.path.exists("nothing")
        os.environ.get("SHOP_SIZE")
        assert len(inputs.found()) == count
        """,
    )


def test_listening_changes_nothing(project: Project) -> None:
    """Errors, values and types that code gets in the block are those that it gets outside of it."""
    in_process(
        project,
        """
        def look():
            seen = []
            for ask in (
                lambda: open("nothing"), lambda: os.stat("nothing"), lambda: os.environ["NOTHING"], lambda: settings.NO,
                lambda: open("a\\0b"), lambda: os.listdir("nothing"), lambda: os.environ.popitem, lambda: os.stat(0).st_mode,
                lambda: dict(os.environ), lambda: os.stat in os.supports_fd or 1, lambda: os.environ.get(3),
            ):
                try:
                    seen.append(str(type(ask())))
                except Exception as error:
                    seen.append((type(error), str(error)))
            return seen
        outside = look()
        with recorded_inputs():
            inside = look()
        assert inside == outside, (inside, outside)
        """,
    )


def test_settled_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To compare costs a stat where that says enough, whatever the size of the file."""
    path = tmp_path / "a"
    path.write_text("1")
    monkeypatch.setattr("testkit.databases.dependencies.sources._SETTLED", -(10**12))  # as if two seconds were over
    found = Input("file", str(path), digests.digest_of_file(str(path)))
    monkeypatch.setattr(digests, "content_digest", lambda *args: pytest.fail("it was read"))
    assert changed([found]) == ""


def test_file_of_an_installed_package(project: Project) -> None:
    """It has the same name in every environment, wherever that is."""
    for place in ("one", "two"):
        project.write({f"{place}/site-packages/pkg/a.csv": "1"})
    in_process(
        project,
        """
        packages = [os.path.abspath(f"{place}/site-packages") for place in ("one", "two")]
        sys.path.insert(0, packages[0])
        with recorded_inputs() as inputs:
            open("one/site-packages/pkg/a.csv").read()
        found = inputs.found()
        assert [found.name for found in found] == ["{site-packages}/pkg/a.csv"]
        sys.path[0] = packages[1]
        assert changed(found) == ""
        pathlib.Path("two/site-packages/pkg/a.csv").write_text("2")
        assert changed(found) == "{site-packages}/pkg/a.csv has changed"
        """,
    )
