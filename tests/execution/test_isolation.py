"""A worker has caches, uploaded files and a temp folder of its own, and tests notice nothing of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from tests.projects import clean_environment

HEAD = """
import django, json, os, sys, tempfile
from pathlib import Path
from testkit.execution.isolation import isolated

def new_folder():
    return Path(tempfile.mkdtemp(dir=os.environ["FOLDERS"]))

def in_worker(worker, work):
    # Run work() in a forked worker and return what it returned.
    reading, writing = os.pipe()
    folder = new_folder()
    child = os.fork()
    if not child:
        status = 1
        try:
            with isolated(worker, folder) as shared:
                os.write(writing, json.dumps(work(), default=str).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    django.setup()
    from django.conf import settings
"""
CACHES = """
from pathlib import Path
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "memory"},
    "files": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "cached/"},
    "same files": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": Path("cached")},
    "redis": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://localhost:1/0"},
    "prefixed": {"BACKEND": "shop.caches.Own", "KEY_PREFIX": "shop", "OPTIONS": {"lock": object()}},
    "unprefixed": {"BACKEND": "shop.caches.Own", "KEY_FUNCTION": lambda key, prefix, version: key},
    "odd": {"BACKEND": "shop.caches.Own", "KEY_PREFIX": 7},
    "rows": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache_table"},
    "none": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    "absent": {"BACKEND": "no.such.Cache"},
}
"""
OWN_CACHE = """
from django.core.cache.backends.base import BaseCache

class Own(BaseCache):
    def __init__(self, location, params):
        super().__init__(params)
"""


def indented(text):
    return "".join(f"    {line}\n" for line in text.strip("\n").splitlines())


@pytest.fixture
def told_by(project, tmp_path_factory):
    """Run code in the project, with Django set up, and return what it gives to ``tell``."""
    folders = tmp_path_factory.mktemp("workers")

    def run(code, **environment):
        lines = [line.removeprefix("        ") for line in code.strip("\n").splitlines()]
        text = HEAD + indented("def tell(**told): print(json.dumps(told, default=str))") + indented("\n".join(lines))
        (project.folder / "script.py").write_text(text)
        result = subprocess.run(
            [sys.executable, "-W", "error", "script.py"],
            cwd=project.folder,
            env=clean_environment(FOLDERS=str(folders), **environment),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    project.folders = folders
    run.project = project
    return run


def test_a_worker_knows_its_name_and_has_a_temp_folder(told_by):
    """TESTKIT_WORKER and TMPDIR are set, temp files go to the worker's folder, and afterwards all is as it was."""
    told = told_by(
        """
        os.environ["TMPDIR"] = os.environ["FOLDERS"]
        before = dict(os.environ), tempfile.gettempdir()
        folder = new_folder()
        with isolated("3", folder):
            with tempfile.NamedTemporaryFile() as file:
                name = file.name
            worker, place = os.environ["TESTKIT_WORKER"], os.environ["TMPDIR"]
        tell(worker=worker, place=place, name=name, folder=folder,
             restored=before == (dict(os.environ), tempfile.gettempdir()))
        """
    )
    assert (told["worker"], told["restored"]) == ("3", True)
    assert told["place"].startswith(told["folder"])
    assert os.path.dirname(told["name"]) == told["place"]


def test_nothing_changes_where_nothing_is_shared(told_by):
    """A project with caches in memory and without MEDIA_ROOT keeps its very settings."""
    told = told_by(
        """
        before = settings._wrapped
        with isolated("1", new_folder()) as shared:
            tell(same=settings._wrapped is before, shared=shared, media=settings.MEDIA_ROOT)
        """
    )
    assert told == {"same": True, "shared": [], "media": ""}


def test_each_kind_of_cache_becomes_the_workers_own(told_by):
    """Files get a folder, servers a key prefix, the others stay as they are; so do the project's own settings."""
    told_by.project.write({"shop/caches.py": OWN_CACHE})
    told_by.project.settings(CACHES)
    told = told_by(
        """
        import copy
        from django.core.cache import caches
        project_settings = settings.CACHES
        before = {alias: dict(params) for alias, params in project_settings.items()}
        folder = new_folder()
        with isolated("2", folder) as shared:
            own = settings.CACHES
            keys = {alias: caches[alias].make_key("k") for alias in ("redis", "prefixed", "default")}
            types = [type(own[alias]["LOCATION"]).__name__ for alias in ("files", "same files")]
            places = [os.path.relpath(caches[alias]._dir, folder) for alias in ("files", "same files")]
            unchanged = [alias for alias in own if own[alias] == before[alias]]
            options = own["prefixed"]["OPTIONS"] is before["prefixed"]["OPTIONS"]
            module = settings.SETTINGS_MODULE
            slash = own["files"]["LOCATION"][-1]
        tell(keys=keys, types=types, places=places, unchanged=unchanged, shared=shared, slash=slash, module=module,
             restored=settings.CACHES is project_settings and project_settings == before, options=options,
             afterwards=caches["redis"].make_key("k"))
        """
    )
    assert told["keys"] == {"redis": "testkit-2:1:k", "prefixed": "shop:testkit-2:1:k", "default": ":1:k"}
    assert told["types"] == ["str", "PosixPath"]
    assert told["places"] == ["caches/1", "caches/1"]
    assert told["unchanged"] == ["default", "unprefixed", "odd", "rows", "none", "absent"]
    assert told["shared"] == [
        "the cache 'unprefixed', since its KEY_FUNCTION does not use KEY_PREFIX",
        "the cache 'odd', since its KEY_PREFIX is no text",
    ]
    assert (told["slash"], told["module"], told["options"]) == ("/", "settings", True)
    assert (told["restored"], told["afterwards"]) == (True, ":1:k")


def test_workers_do_not_see_what_others_cached(told_by):
    """Forked workers start with empty caches and write into their own, also by a cache opened before the fork."""
    told_by.project.write({"shop/caches.py": OWN_CACHE})
    told_by.project.settings(CACHES)
    told = told_by(
        """
        from django.core.cache import cache, caches
        kept = caches["files"]
        kept_in_memory = caches["default"]
        caches["files"].set("parent", 1)
        cache.set("parent", 1)
        def work():
            found = [cache.get("parent"), caches["files"].get("parent"), caches["files"].get("other")]
            kept.set("other", 2)
            kept_in_memory.set("other", 2)
            return [found, [caches["files"].get("other"), cache.get("other"), caches["same files"].get("other")]]
        first, second = in_worker("1", work), in_worker("2", work)
        tell(first=first, second=second, parent=[kept.get("parent"), kept.get("other"), cache.get("parent")])
        """
    )
    assert told["first"] == told["second"] == [[None, None, None], [2, 2, 2]]
    assert told["parent"] == [1, None, 1]


MEDIA = """
from pathlib import Path
MEDIA_ROOT = {root}
STORAGES = {{
    "default": {{"BACKEND": "django.core.files.storage.FileSystemStorage"}},
    "private": {{
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {{"location": Path(__file__).parent / "media" / "private", "base_url": "/p/"}},
    }},
    "late": {{
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {{"location": "./media/late"}},
    }},
    "elsewhere": {{
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {{"location": "elsewhere"}},
    }},
    "staticfiles": {{"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}},
}}
"""
MEDIA_MODELS = """
from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import models

class Paper(models.Model):
    scan = models.FileField()
    private = models.FileField(storage=storages["private"])
    fixed = models.FileField(storage=FileSystemStorage(location=str(settings.MEDIA_ROOT).rstrip("/") + "/fixed"))
"""


@pytest.mark.parametrize(
    ("root", "kind", "slash"),
    [
        ("'media'", "str", False),
        ("str(Path(__file__).parent / 'media') + '/'", "str", True),
        ("Path(__file__).parent / 'media'", "PosixPath", False),
    ],
)
def test_uploaded_files_are_the_workers_own(told_by, root, kind, slash):
    """A worker finds what lies in MEDIA_ROOT, writes beside it, and all storages in it agree on where that is."""
    project = told_by.project
    project.settings(MEDIA.format(root=root))
    project.write({"media/logo.txt": "logo", "media/fixed/old.txt": "old"})
    (project.folder / "shop/models.py").write_text(MEDIA_MODELS)
    told = told_by(
        """
        from django.core.files.base import ContentFile
        from django.core.files.storage import default_storage, storages
        from shop.models import Paper
        fields = {name: Paper._meta.get_field(name).storage for name in ("scan", "private", "fixed")}
        def places():
            return {name: storage.location for name, storage in fields.items()} | {
                alias: storages[alias].location for alias in ("default", "private", "elsewhere")}
        before = places(), settings.MEDIA_ROOT, settings.STORAGES
        folder = new_folder()
        with isolated("1", folder) as shared:
            logo = default_storage.open("logo.txt").read().decode()
            with default_storage.open("logo.txt", "w") as file:
                file.write("changed")
            name = fields["fixed"].save("old.txt", ContentFile("new"))
            root = settings.MEDIA_ROOT
            inside = places() | {"late": storages["late"].location}  # not made before
            own = {key: os.path.relpath(place, folder) for key, place in inside.items()}
        tell(shared=shared, logo=logo, name=name, root=root, type=type(root).__name__, own=own,
             restored=before == (places(), settings.MEDIA_ROOT, settings.STORAGES))
        """
    )
    assert (told["shared"], told["logo"], told["type"]) == ([], "logo", kind)
    assert told["root"].endswith("/media/media/" if slash else "/media/media")
    assert told["name"].startswith("old_")  # since old.txt is there
    own = told["own"]
    assert own.pop("elsewhere").startswith("..")
    assert own == {"scan": "media/media", "default": "media/media"} | {
        name: f"media/media/{name}" for name in ("private", "fixed", "late")
    }
    assert told["restored"] is True
    assert (project.folder / "media/logo.txt").read_text() == "logo"
    assert os.listdir(project.folder / "media/fixed") == ["old.txt"]


def test_a_folder_that_is_not_there_stays_so(told_by):
    """Where MEDIA_ROOT does not exist it does not for the worker, and is made when the first file is saved."""
    told_by.project.settings('MEDIA_ROOT = "media"')
    told = told_by(
        """
        from django.core.files.base import ContentFile
        from django.core.files.storage import default_storage
        storages = settings.STORAGES
        with isolated("1", new_folder()):
            before = os.path.exists(settings.MEDIA_ROOT)
            default_storage.save("a/b.txt", ContentFile("b"))
            after = os.path.exists(os.path.join(settings.MEDIA_ROOT, "a/b.txt"))
            tell(before=before, after=after, same_storages=settings.STORAGES is storages)
        """
    )
    assert told == {"before": False, "after": True, "same_storages": True}
    assert not (told_by.project.folder / "media").exists()


def media_after(told_by, root):
    told_by.project.settings(f"MEDIA_ROOT = {root!r}")
    told = told_by("""with isolated("1", new_folder()) as shared: tell(shared=shared, media=settings.MEDIA_ROOT)""")
    assert told["media"] == root
    return told["shared"]


def test_a_large_folder_stays_shared(told_by):
    """With more files, or more bytes, than a copy is worth, MEDIA_ROOT stays as it is, and that is said."""
    folder = told_by.project.folder / "many"
    folder.mkdir()
    for number in range(2001):
        (folder / str(number)).touch()
    assert media_after(told_by, "many") == ["MEDIA_ROOT many, since it has more than 2000 files or 50 MB"]
    (told_by.project.folder / "big").mkdir()
    with open(told_by.project.folder / "big/file", "wb") as file:
        file.truncate(50_000_001)
    assert media_after(told_by, "big") == ["MEDIA_ROOT big, since it has more than 2000 files or 50 MB"]


def test_a_folder_around_the_project_or_the_worker_stays_shared(told_by):
    """MEDIA_ROOT is not copied when it has the project in it, or the copy itself."""
    project = told_by.project
    for root in (project.folder, project.folder.parent, project.folders):
        (line,) = media_after(told_by, str(root))
        assert line.endswith(" is in it")


def test_a_folder_that_cannot_be_copied_stays_shared(told_by):
    """A pipe among the uploaded files, which would block a copy, leaves MEDIA_ROOT as it is; a dead link does not."""
    folder = told_by.project.folder / "media"
    folder.mkdir()
    (folder / "dead").symlink_to("nowhere")
    told_by.project.settings('MEDIA_ROOT = "media"')
    told = told_by("""with isolated("1", new_folder()) as shared: tell(shared=shared)""")
    assert told["shared"] == []
    os.mkfifo(folder / "pipe")
    (line,) = media_after(told_by, "media")
    assert line.startswith("MEDIA_ROOT media, since it cannot be copied: ")
    assert "pipe" in line


def test_a_spawned_worker_is_isolated_as_a_forked_one(told_by):
    """In a new process, after django.setup(), the same holds."""
    told_by.project.settings(CACHES.split('    "prefixed"')[0] + '}\nMEDIA_ROOT = "media"')
    told_by.project.write({"media/logo.txt": "logo", "worker.py": WORKER})
    told = told_by(
        """
        import multiprocessing, worker
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            tell(**pool.apply(worker.work, [str(new_folder())]))
            pool.close()
            pool.join()
        """
    )
    assert told == {"media": ["logo.txt"], "key": "testkit-7:1:k", "cached": None, "worker": "7"}


WORKER = """
import os
from pathlib import Path

def work(folder):
    import django
    django.setup()
    from django.conf import settings
    from django.core.cache import caches
    from testkit.execution.isolation import isolated
    caches["files"].set("k", "everybody's")
    with isolated("7", Path(folder)):
        return {
            "media": os.listdir(settings.MEDIA_ROOT),
            "key": caches["redis"].make_key("k"),
            "cached": caches["files"].get("k"),
            "worker": os.environ["TESTKIT_WORKER"],
        }
"""


@pytest.fixture
def redis_url(tmp_path):
    """URL of an empty Redis server."""
    pytest.importorskip("redis", reason="redis for Python is not here: pip install redis django-redis")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not here: apt-get install redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize(
    "backend", ["django.core.cache.backends.redis.RedisCache", "django_redis.cache.RedisCache"], ids=["django", "own"]
)
def test_workers_share_a_redis_server_and_nothing_in_it(told_by, redis_url, backend):
    """On a real server workers neither see nor clear each other's keys, nor those of the parent."""
    if backend.startswith("django_redis"):
        pytest.importorskip("django_redis", reason="django-redis is not here: pip install django-redis")
    told_by.project.settings(
        f'CACHES = {{"default": {{"BACKEND": "{backend}", "LOCATION": "{redis_url}", "KEY_PREFIX": "s*op"}}}}'
    )
    told = told_by(
        """
        from django.core.cache import cache
        cache.set("k", "parent")
        def first():
            before = cache.get("k")
            cache.set("k", "first")
            return [before, cache.get("k")]
        def second():
            before = cache.get("k")
            cache.set_many({str(number): number for number in range(2500)})
            cleared = cache.clear()
            return [before, cache.get("7"), cleared]
        def third():
            return cache.get("k")
        tell(first=in_worker("1", first), second=in_worker("2", second), third=in_worker("1", third),
             parent=cache.get("k"), cleared=cache.clear(), after=cache.get("k"))
        """
    )
    assert told["first"] == [None, "first"]
    assert told["second"] == [None, None, told["cleared"]]
    assert told["third"] == "first"
    assert (told["parent"], told["after"]) == ("parent", None)
