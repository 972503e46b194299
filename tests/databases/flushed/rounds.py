"""Writes at random, flushes, and tells what is left, round by round: for one way to flush, named by the first argument.

Both ways write the same in a round as long as they leave the same, sequences included, so that what they tell is equal.
"""

import json
import random
import sys
from contextlib import nullcontext

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.contrib.sites import models as sites  # noqa: E402
from django.db import IntegrityError, connections, transaction  # noqa: E402
from django.test import TransactionTestCase  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from writes import ANYWHERE, IN_DEFAULT  # noqa: E402

from library.apps import calls  # noqa: E402
from testkit.databases.flush import selective, teardown  # noqa: E402

DATABASES = ["default", "other"] if "other" in connections else ["default"]


class Tests(TransactionTestCase):
    databases = frozenset(DATABASES)

    def runTest(self):
        pass


class PartTests(Tests):
    available_apps = ("library", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sites")


class RestoringTests(Tests):
    serialized_rollback = True


class ResettingTests(Tests):
    reset_sequences = True


def write(seed):
    """Write what the seed says, and return what it was, with the ids that rows were given."""
    numbers, done = random.Random(seed), []
    for db in DATABASES:
        for _ in range(numbers.randint(0, 4)):
            function = numbers.choice(ANYWHERE + IN_DEFAULT if db == "default" else ANYWHERE)
            try:
                with transaction.atomic(db):
                    made = function(db, numbers)
            except (IntegrityError, ContentType.DoesNotExist, TypeError, IndexError) as error:
                made = type(error).__name__  # names meet, or what is changed is there no more
            done.append([db, function.__name__, made])
    return done


def flush(kind):
    """Do what Django does after a test of this kind, apart from closing connections."""
    if kind.available_apps is None:
        kind()._fixture_teardown()
        return
    apps.set_available_apps(kind.available_apps)
    try:
        kind()._fixture_teardown()
    finally:
        apps.unset_available_apps()


def restore(kind):
    """Bring back what a test that follows needs: what set-up does for a class that restores rows, or has parts only."""
    for db in DATABASES:
        if kind is RestoringTests:
            connections[db].creation.deserialize_db_from_string(connections[db]._test_serialized_contents)
        elif kind is PartTests:
            flush(Tests)


def rows(db):
    """Return all rows of all tables, in an order of their own; content types and permissions without their ids."""
    found = {}
    with connections[db].cursor() as cursor:
        for table in sorted(connections[db].introspection.table_names(cursor)):
            query = f"SELECT * FROM {table}"
            if table == "django_content_type":
                query = "SELECT app_label, model FROM django_content_type"
            elif table == "auth_permission":  # with what they are for
                query = (
                    "SELECT t.app_label, t.model, p.codename, p.name FROM auth_permission p "
                    "LEFT JOIN django_content_type t ON t.id = p.content_type_id"
                )
            elif table == "django_migrations":
                query = "SELECT app, name FROM django_migrations"
            cursor.execute(query)
            found[table] = sorted(map(repr, cursor.fetchall()))
    return found


def caches():
    """Return what the process has cached, and how many queries it takes to find each content type."""
    types = [
        [db, sorted(str(key) for key in entries if isinstance(key, tuple)), len(entries)]
        for db, entries in sorted(ContentType.objects._cache.items())
    ]
    stale = [
        [db, type_.model]
        for db, entries in ContentType.objects._cache.items()
        for type_ in entries.values()
        if not ContentType.objects.using(db).filter(pk=type_.pk, model=type_.model, app_label=type_.app_label).exists()
    ]
    return {"types": types, "stale": stale, "sites": sorted(map(str, sites.SITE_CACHE))}


def queries():
    counts = {}
    for db in DATABASES:
        for model in apps.get_models():
            with CaptureQueriesContext(connections[db]) as captured:
                try:
                    ContentType.objects.db_manager(db).get_for_model(model)
                except Exception as error:
                    counts[f"{db} {model.__name__}"] = type(error).__name__
                    continue
            counts[f"{db} {model.__name__}"] = len(captured)
    return counts


def tell(seed, kind):
    if kind.reset_sequences:
        for db in DATABASES:
            kind._reset_sequences(db)
    written = write(seed)
    calls.clear()
    flush(kind)
    told = {"round": [seed, kind.__name__], "written": written, "calls": list(calls), "caches": caches()}
    told["rows"] = {db: rows(db) for db in DATABASES}
    told["states"] = [[connections[db].get_autocommit(), connections[db].in_atomic_block] for db in DATABASES]
    restore(kind)
    if seed % 3 == 0:
        told["queries"] = queries()
        flush(Tests)  # for that has written content types
    return told


def count_flushes():
    """Count by which way each flush of the selective one went, so that a comparison cannot be one of equals."""
    counts = {"selective": 0, "stock": 0, "kept": 0}
    empty, emit = teardown._Flushes._empty, teardown.emit

    def counted(self, *args, **kwargs):
        is_done = empty(self, *args, **kwargs)
        counts["selective" if is_done else "stock"] += 1
        counts["kept"] += is_done and kwargs["emits"]
        return is_done

    def counted_emit(alias):
        counts["kept"] -= 1
        return emit(alias)

    teardown._Flushes._empty, teardown.emit = counted, counted_emit
    return counts


def main():
    way, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    runner = DiscoverRunner(verbosity=0, interactive=False)
    old = runner.setup_databases(serialized_aliases=set(DATABASES))
    counts = count_flushes()
    try:
        with selective("1", {"lock_timeout": 5}) if way == "selective" else nullcontext():
            kinds = random.Random(first)
            told = [
                tell(seed, kinds.choices([Tests, PartTests, RestoringTests, ResettingTests], [8, 1, 1, 1])[0])
                for seed in range(first, last)
            ]
    finally:
        runner.teardown_databases(old)
    print(json.dumps({"rounds": told, "counts": counts}))


main()
