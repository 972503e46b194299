"""The migrations, run on a database that has rows."""

import io

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import TestCase, TransactionTestCase, tag

BEFORE = [("library", "0002_search_fields")]
AFTER = [("library", "0003_fill_search_fields")]


def migrate(targets):
    """Migrate to the targets and return the models as they were there."""
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return MigrationExecutor(connection).loader.project_state(targets).apps


class MissingMigrationsTests(TestCase):
    def test_the_models_have_all_their_migrations(self):
        call_command("makemigrations", "--check", "--dry-run", stdout=io.StringIO())


@tag("slow")
class FillSearchFieldsTests(TransactionTestCase):
    def setUp(self):
        self.addCleanup(migrate, AFTER)
        apps = migrate(BEFORE)
        fields = {"genre": "novel", "published_year": 1862, "page_count": 10, "added_on": "2024-01-01"}
        books = apps.get_model("library", "Book").objects
        books.create(title="Les Misérables", language="fr", isbn="9780306406157", **fields)
        books.create(title="The Time Machine", language="en", isbn="9780000000019", **fields)
        apps.get_model("library", "Author").objects.create(name="Charlotte Brontë", sort_name="Brontë, Charlotte")

    def test_rows_from_before_are_filled_and_can_be_cleared_again(self):
        apps = migrate(AFTER)
        books = apps.get_model("library", "Book").objects.order_by("isbn")
        filled = list(books.values_list("sort_title", "search_text"))
        self.assertEqual(filled, [("time machine", "the time machine"), ("miserables", "les miserables")])
        self.assertEqual(apps.get_model("library", "Author").objects.get().search_text, "charlotte bronte")

        apps = migrate(BEFORE)
        cleared = list(apps.get_model("library", "Book").objects.values_list("sort_title", "search_text"))
        self.assertEqual(cleared, [("", ""), ("", "")])
        self.assertEqual(apps.get_model("library", "Author").objects.get().name, "Charlotte Brontë")
