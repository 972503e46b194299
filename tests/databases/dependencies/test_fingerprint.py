"""The fingerprint: what changes it and what does not, on real projects in processes of their own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from testkit.databases.dependencies import sources
from testkit.databases.dependencies.fingerprint import difference, edited
from testkit.databases.dependencies.imports import imported_names
from testkit.databases.dependencies.sources import Files
from testkit.databases.dependencies.stable import stable
from tests.projects import Project, clean_environment

SCRIPT = """
import json, os, pathlib, sys
import django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()
from django.db import connections
from testkit.core.errors import OptionError
from testkit.databases.dependencies.fingerprint import fingerprint_of
alias, version, *extra = sys.argv[1:]
before = set(sys.modules)
try:
    found = fingerprint_of(connections[alias], version=version, extra=extra, cache=pathlib.Path(".testkit"))
except OptionError as error:
    print(json.dumps({"error": str(error)}))
else:
    loaded = sorted(name for name in set(sys.modules) - before if "migrations." in name and name.startswith("shop"))
    opened = connections[alias].connection is not None
    print(json.dumps({"digest": found.digest, "parts": dict(found.parts), "loaded": loaded, "opened": opened}))
"""
SECOND = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.AddField("Item", "price", models.IntegerField(default=1))]
"""


def taken(
    project: Project, *extra: str, alias: str = "default", version: str = "1", **environment: str
) -> dict[str, Any]:
    """Return what a new process in the project's folder says."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, alias, version, *extra],
        cwd=project.folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    plain: dict[str, Any] = json.loads(done.stdout)
    return plain


def change(project: Project, *extra: str, **given: str) -> "Change":
    return Change(project, extra, given)


class Change:
    """What of the fingerprint changes in a ``with`` block, as :func:`difference` says it."""

    def __init__(self, project: Project, extra: tuple[str, ...], given: dict[str, str]) -> None:
        self.take = lambda: taken(project, *extra, **given)
        self.text = ""

    def __enter__(self) -> "Change":
        self.before = self.take()
        return self

    def __exit__(self, *failure: object) -> None:
        self.after = self.take()
        self.text = difference(self.before["parts"], self.after["parts"])
        assert (self.before["digest"] == self.after["digest"]) == (not self.text)


# Stable


def test_is_the_same_in_every_process(project: Project) -> None:
    """Neither the seed of hashes, nor addresses, nor the settings' objects make it another one; nothing is opened."""
    project.settings(
        """
        class Hidden:
            names = {"a", "b", "c"}
        DATABASE_ROUTERS = ["shop.routers.Main"]
        MIGRATION_MODULES = {"auth": None}
        PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        DATABASES["default"]["TEST"] = {"EXTRA": Hidden(), "SET": {"x", "y", "z", "w"}, "CALL": lambda: 1}
        """
    )
    project.write({"shop/routers.py": "class Main:\n    pass\n"})
    first = taken(project, PYTHONHASHSEED="1")
    second = taken(project, PYTHONHASHSEED="2")
    project.folder.joinpath(".testkit", "fingerprint.json").unlink()
    third = taken(project, PYTHONHASHSEED="3")
    assert first == second == third
    assert first["loaded"] == []
    assert not first["opened"]
    assert {"migration shop/0001_initial", "model auth.User", "setting USE_TZ", "router shop.routers.Main"} <= set(
        first["parts"]
    )


def test_is_the_same_in_another_checkout(project: Project, tmp_path: Path) -> None:
    """Where a checkout is makes no difference: two of them can share a server."""
    project.settings("MIGRATION_MODULES = {}\nimport pathlib\nBASE = pathlib.Path(__file__).parent\n")
    project.settings('DATABASES["default"]["TEST"] = {"PLACE": str(BASE / "x"), "PATH": BASE}')
    project.write({"data/a.csv": "1"})
    other = Project(tmp_path / "another" / "place")
    for name in ("settings.py", "data/a.csv"):
        other.write({name: project.folder.joinpath(name).read_text()})
    assert taken(project, "data/*.csv") == taken(other, "data/*.csv")


# Migrations


def test_migrations_added_edited_removed(project: Project) -> None:
    """Each is told by its name, and a branch that is left has its old fingerprint back."""
    project.write({"shop/migrations/0002_price.py": SECOND})
    path = project.folder / "shop/migrations/0002_price.py"
    with change(project) as branch:
        path.unlink()
    assert branch.text == "shop/0002_price is gone"
    with change(project) as back:
        path.write_text(SECOND.lstrip("\n"))
    assert back.text == "shop/0002_price is new"
    assert back.after["digest"] == branch.before["digest"]
    with change(project) as edit:
        path.write_text(SECOND.lstrip("\n").replace("default=1", "default=2"))
    assert edit.text == "shop/0002_price has changed"
    with change(project) as rename:
        path.rename(path.with_name("0002_cost.py"))
    assert rename.text == "shop/0002_cost is new, shop/0002_price is gone"
    with change(project) as squash:
        path.with_name("0002_cost.py").unlink()
        text = project.folder.joinpath("shop/migrations/0001_initial.py").read_text()
        project.write({"shop/migrations/0001_squashed.py": text.replace("initial =", "replaces = []\n    initial =")})
    assert squash.text == "shop/0001_squashed is new, shop/0002_cost is gone"


def test_edit_that_hides(project: Project) -> None:
    """A file of the same size whose time was set back is seen all the same, also one that was remembered long since."""
    project.write({"shop/migrations/0002_price.py": SECOND})
    path = project.folder / "shop/migrations/0002_price.py"
    time.sleep(2.2)  # until it is settled, and so remembered
    before = taken(project)
    times = path.stat()
    assert str(path) in json.loads(project.folder.joinpath(".testkit/fingerprint.json").read_text())["files"]
    path.write_text(path.read_text().replace("default=1", "default=2"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert difference(before["parts"], taken(project)["parts"]) == "shop/0002_price has changed"


def test_other_files_of_migrations(project: Project) -> None:
    """SQL and data beside migrations count, in folders, too; what editors and Python leave there does not."""
    project.write({"shop/migrations/sql/view.sql": "SELECT 1"})
    with change(project) as left:
        project.write({"shop/migrations/.0002.py.swp": "x", "shop/migrations/0001_initial.py~": "x"})
        project.write({"shop/migrations/__pycache__/a.cpython-311.pyc": "x"})
    assert left.text == ""
    with change(project) as edit:
        project.write({"shop/migrations/sql/view.sql": "SELECT 2"})
    assert edit.text == "shop/sql/view.sql has changed"


def test_migration_modules(project: Project) -> None:
    """Migrations elsewhere are found there without importing them, those of an app without any are not there."""
    project.settings('MIGRATION_MODULES = {"shop": "history.of.shop"}')
    for package in ("history", "history/of", "history/of/shop"):
        project.write({f"{package}/__init__.py": ""})
    project.write({"history/__init__.py": "raise RuntimeError('imported')", "history/of/shop/0001_other.py": SECOND})
    first = taken(project)
    assert [name for name in first["parts"] if name.startswith("migration shop/")] == [
        "migration shop/0001_other",
        "migration shop/__init__",
    ]
    with change(project) as none:
        project.settings('MIGRATION_MODULES = {"shop": None}')
    assert "shop/0001_other is gone" in none.text
    assert not any(name.startswith("migration shop/") for name in none.after["parts"])


def test_what_migrations_import(project: Project) -> None:
    """A module that a migration uses counts, however it is imported; one that it names for upload_to alone does not."""
    migration = """
        import shop.paths
        from django.db import migrations, models
        from shop import fields
        from ..steps import fill

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [
                migrations.AddField("Item", "size", fields.Size(default=1, validators=[shop.paths.check])),
                migrations.AddField("Item", "file", models.FileField(upload_to=shop.paths.path)),
                migrations.RunPython(fill),
            ]
    """
    files = {
        "shop/fields.py": "from django.db import models\nclass Size(models.IntegerField):\n    pass\n",
        "shop/paths.py": "def path(*a): pass\ndef check(*a): pass\n",
        "shop/steps.py": "def fill(apps, editor): pass\n",
        "shop/migrations/0002_size.py": migration,
    }
    project.write(files)
    for name, text in (("fields", "module shop.fields has changed"), ("steps", "module shop.steps has changed")):
        with change(project) as edit:
            project.write({f"shop/{name}.py": files[f"shop/{name}.py"] + "# edited\n"})
        assert edit.text == text
    with change(project) as harmless:
        project.write({"shop/paths.py": "def path(*a): return 1\ndef check(*a): pass\n"})
    assert harmless.text == ""


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (b"import os\nfrom django.db import migrations\n", []),
        (b"import a.b as c\nc.run()", ["a.b"]),
        (b"from a import b, c as d", ["a", "a.b", "a.c"]),
        (b"from a import *", ["a"]),
        (b"from . import x\nfrom ..y import z", [".", "..y", "..y.z", ".x"]),
        (b"def f():\n    import late\n", ["late"]),
        (b"import os; import late\n", ["late"]),
        (b"if x: import late\n", ["late"]),
        (b"import os, late\n", ["late"]),
        (b"from late \\\n import x\n", ["late", "late.x"]),
        (b"import django_extra\n", ["django_extra"]),
        (b"import a\nclass Migration:\n    x = [F(upload_to=a.p)]\n", []),
        (b"import a\nclass Migration:\n    x = [F(default=a.p, upload_to=a.p)]\n", ["a"]),
        (b"import a\ndef run(): make(storage=a.p)\nclass Migration:\n    x = [R(run)]\n", ["a"]),
        (b"import a.b\nimport a.c\nclass Migration:\n    x = [F(upload_to=a.b.p), a.c.G()]\n", ["a.c"]),
        (b"import broken(\n", []),
    ],
)
def test_imported_names(source: bytes, names: list[str]) -> None:
    """All ways to import are read; what has no effect on a database is passed over."""
    assert imported_names(source) == names


# Models


def test_what_is_made_of_models(project: Project) -> None:
    """Names and permissions make rows; a method makes nothing."""
    models = project.folder.joinpath("shop/models.py").read_text()
    for addition in (
        'class Meta:\n        verbose_name = "article"',
        'class Meta:\n        permissions = [("sell", "Can sell")]',
        'class Meta:\n        default_permissions = ["add"]',
    ):
        with change(project) as edit:
            project.folder.joinpath("shop/models.py").write_text(f"{models}\n    {addition}\n")
        assert edit.text == "model shop.Item has changed", addition
    with change(project) as added:
        project.folder.joinpath("shop/models.py").write_text(
            f"{models}\nclass Cheap(Item):\n    class Meta:\n        proxy = True\n        verbose_name = 'cheap one'\n"
        )
    assert "model shop.Cheap is new" in added.text
    project.folder.joinpath("shop/models.py").write_text(models)
    with change(project) as nothing:
        project.folder.joinpath("shop/models.py").write_text(f"{models}\n    def price(self):\n        return 1\n")
    assert nothing.text == ""


@pytest.mark.parametrize(
    "way", ["MIGRATION_MODULES = {'shop': None}", "DATABASES['default']['TEST'] = {'MIGRATE': False}"]
)
def test_models_without_migrations(project: Project, way: str) -> None:
    """The table of such a model is made from the model: fields, indexes, constraints and names count."""
    project.settings(way)
    models = project.folder.joinpath("shop/models.py").read_text()
    meta = "\n    class Meta:\n        "
    for edit in (
        models.replace("max_length=20", "max_length=30"),
        models + f"{meta}db_table = 'things'\n",
        models + f"{meta}indexes = [models.Index(fields=['name'], name='by_name')]\n",
        models + f"{meta}constraints = [models.UniqueConstraint(fields=['name'], name='one')]\n",
    ):
        with change(project) as seen:
            project.folder.joinpath("shop/models.py").write_text(edit)
        assert seen.text == "model shop.Item has changed", edit
    project.folder.joinpath("shop/models.py").write_text(models)
    with change(project) as harmless:
        project.folder.joinpath("shop/models.py").write_text(
            models.replace("=20", "=20, help_text='x', choices=[('a', 'b')]")
        )
    assert harmless.text == ""


def test_class_of_field(project: Project) -> None:
    """The type of a column is what the class of its field says: the source of that counts."""
    project.write({"shop/fields.py": "from django.db import models\nclass Size(models.IntegerField):\n    pass\n"})
    text = project.folder.joinpath("shop/models.py").read_text()
    project.folder.joinpath("shop/models.py").write_text(
        f"from shop.fields import Size\n{text}\n    size = Size(default=1)\n"
    )
    with change(project) as edit:
        project.write(
            {
                "shop/fields.py": """
                from django.db import models
                class Size(models.IntegerField):
                    def db_type(self, connection):
                        return "bigint"
                """
            }
        )
    assert edit.text == "module shop.fields has changed"


# What else there is


def test_receivers(project: Project) -> None:
    """A receiver of post_migrate counts by its name and its source."""
    connect = """
        from django.apps import AppConfig
        from django.db.models.signals import post_migrate

        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                from shop import receivers
                post_migrate.connect(receivers.fill, sender=self)
    """
    with change(project) as added:
        project.write({"shop/apps.py": connect, "shop/receivers.py": "def fill(**kwargs): pass\n"})
    assert "post_migrate receiver shop.receivers.fill is new" in added.text
    with change(project) as edit:
        project.write({"shop/receivers.py": "def fill(**kwargs): return 1\n"})
    assert edit.text == "module shop.receivers has changed"
    with change(project) as sender:
        project.write({"shop/apps.py": connect.replace(", sender=self", "")})
    assert sender.text == "post_migrate receiver shop.receivers.fill has changed"


@pytest.mark.parametrize(
    ("addition", "part"),
    [
        ("USE_TZ = False", "setting USE_TZ"),
        ("TIME_ZONE = 'Europe/Berlin'", "setting TIME_ZONE"),
        ("DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'", "setting DEFAULT_AUTO_FIELD"),
        ("DEFAULT_TABLESPACE = 'fast'", "setting DEFAULT_TABLESPACE"),
        ("INSTALLED_APPS = [INSTALLED_APPS[1], INSTALLED_APPS[0], *INSTALLED_APPS[2:]]", "setting INSTALLED_APPS"),
        ("DATABASE_ROUTERS = ['shop.routers.Main']", "router shop.routers.Main"),
        ("DATABASES['default']['TEST'] = {'CHARSET': 'latin1'}", 'DATABASES["TEST"]'),
        ("DATABASES['default']['OPTIONS'] = {'init_command': 'PRAGMA foreign_keys=1;'}", 'DATABASES["OPTIONS"]'),
        ("DATABASES['other'] = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'x'}", "the list of databases"),
        (
            "CACHES = {'default': {'BACKEND': 'django.core.cache.backends.db.DatabaseCache', 'LOCATION': 't'}}",
            "the list of cache tables",
        ),
    ],
)
def test_settings(project: Project, addition: str, part: str) -> None:
    """What Django makes databases by counts."""
    project.write({"shop/routers.py": "class Main:\n    pass\n"})
    with change(project) as edit:
        project.settings(addition)
    assert part in {
        name for name in edit.after["parts"] if edit.before["parts"].get(name) != edit.after["parts"][name]
    }, edit.text


def test_settings_without_effect(project: Project) -> None:
    """Names, hosts, passwords and the order of databases are no part: another machine has others."""
    project.settings("SECRET_KEY = 'a'\n")
    with change(project) as edit:
        project.settings(
            """
            SECRET_KEY = "b"
            DATABASES["default"] |= {"NAME": "c", "PASSWORD": "d", "USER": "e", "HOST": "f", "PORT": "1", "CONN_MAX_AGE": 1}
            DATABASES["default"] |= {"TEST": {"NAME": "g"}, "OPTIONS": {"timeout": 5}}
            """
        )
    assert edit.text == ""


def test_alias_and_version(project: Project) -> None:
    """Each database has its own fingerprint, and each version of a server, too."""
    project.settings("DATABASES['other'] = dict(DATABASES['default'], NAME='other.sqlite3')")
    digests = {
        taken(project)["digest"],
        taken(project, version="2")["digest"],
        taken(project, alias="other")["digest"],
    }
    assert len(digests) == 3


# Extra


def test_extra(project: Project) -> None:
    """Files, folders, patterns and variables can be added, and a file that comes to a pattern is seen."""
    project.write({"data/a.csv": "1", "data/b.txt": "1", "more/deep/c": "1", "odd[1].csv": "1"})
    extra = ("data/*.csv", "more", "odd[1].csv", "env:SHOP_SIZE")
    before = taken(project, *extra)
    names = [name for name in before["parts"] if name.startswith(("file ", "environment "))]
    assert names == ["file data/a.csv", "file more/deep/c", "file odd[1].csv", "environment variable SHOP_SIZE"]
    assert "big" not in json.dumps(taken(project, *extra, SHOP_SIZE="big"))
    assert difference(before["parts"], taken(project, *extra, SHOP_SIZE="big")["parts"]) == (
        "environment variable SHOP_SIZE has changed"
    )
    with change(project, *extra) as edit:
        project.write({"data/d.csv": "1", "data/b.txt": "2", "more/deep/c": "2"})
    assert edit.text == "file more/deep/c has changed, file data/d.csv is new" or edit.text == (
        "file data/d.csv is new, file more/deep/c has changed"
    )


@pytest.mark.parametrize("item", ["", " ", "env:", "env:A-B", "nothing.csv", "data/*.nothing"])
def test_extra_that_means_nothing(project: Project, item: str) -> None:
    """An entry that is malformed, or that nothing fits, is an error that quotes it."""
    message = taken(project, item)["error"]
    assert message.startswith(f'TESTKIT["FINGERPRINT_EXTRA"] has {item!r}, which ')


# The memory of files


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": [1, 3, 11], "files": {"a": [1]}}', '{"files": 3}', "\0"])
def test_damaged_memory(project: Project, damage: str) -> None:
    """What is remembered may be damaged: it is made anew, with the same outcome."""
    first = taken(project)
    project.folder.joinpath(".testkit/fingerprint.json").write_text(damage)
    assert taken(project) == first


def test_fresh_file_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was changed a moment ago could change again and keep its times, so that it is not remembered."""
    path, memory = tmp_path / "a", tmp_path / "memory.json"
    path.write_text("1")
    files = Files(memory)
    first = files.digest(str(path))
    files.save()
    assert json.loads(memory.read_text())["files"] == {}
    settled = files.digest(str(path))
    monkeypatch.setattr(sources, "_SETTLED", -(10**12))  # as if two seconds were over
    files = Files(memory)
    assert files.digest(str(path)) == first == settled
    files.save()
    assert list(json.loads(memory.read_text())["files"]) == [str(path)]
    monkeypatch.setattr(sources, "content_digest", lambda *args: pytest.fail("it was read"))
    assert Files(memory).digest(str(path)) == first


def test_large_file_is_read_in_parts(tmp_path: Path) -> None:
    """A file beyond one part has a digest that every byte counts in."""
    path = tmp_path / "a"
    path.write_bytes(b"x" * (2**20 + 5))
    first = Files(tmp_path / "m").digest(str(path))
    path.write_bytes(b"x" * (2**20 + 4) + b"y")
    assert Files(tmp_path / "m").digest(str(path)) != first


# Words


def test_difference() -> None:
    """Migrations come first, three are named, and the rest are counted."""
    assert difference({"a": "1"}, {"a": "1"}) == ""
    old = {"model a.A": "1", "migration a/1": "1", "setting X": "1", "Django": "5"}
    new = {"model a.A": "2", "migration a/2": "1", "setting X": "2", "Django": "6"}
    assert difference(old, new) == "a/2 is new, a/1 is gone, model a.A has changed, and 2 more"


def test_edited_meanwhile() -> None:
    """A file that was changed during a build is told; what the build has loaded is not."""
    before = {"migration a/1": "1", "module a.b": "1", "setting X": "1"}
    assert edited(before, {**before, "module c": "1", "post_migrate receiver c.d": "1"}) == ""
    assert edited(before, {**before, "migration a/1": "2"}) == "a/1 has changed"
    assert edited(before, {**before, "migration a/2": "2", "module a.b": "2"}) == "a/2 is new, module a.b has changed"


def test_stable_text_of_circles() -> None:
    """What holds itself has a text, too."""

    class Circle:
        pass

    circle = Circle()
    circle.__dict__["self"] = circle
    assert stable(circle) == stable(circle)
    assert "0x" not in stable(circle)
