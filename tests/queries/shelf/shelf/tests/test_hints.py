"""Hints name the relation that a loop follows, and what loads it at once, from the SQL of this database."""

from unittest import mock

import django
from django.contrib.auth import models as auth
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import prefetch_related_objects

from shelf.models import Author, Book, Review, Tag
from shelf.tests import test_groups as patterns
from testkit.queries.groups import Group, duplicates_of
from testkit.queries.hints import hint_of
from testkit.queries.recorder import Query

PEERS = "fetch_mode(FETCH_PEERS)" + ("" if django.VERSION >= (6, 1) else ", from Django 6.1")


def made_up(*texts):
    """Return queries with this SQL, as if one line had asked for all of them."""
    return [Query(sql, (), "default", connection.vendor, 0.0, "x.py", 1, "f") for sql in texts]


class HintTests(patterns.LibraryTestCase):
    def assert_hint(self, work, hint):
        queries = self.record(work)
        [group] = duplicates_of(queries, writes=True)
        self.assertEqual(hint_of(group, queries), hint)

    def test_foreign_key(self):
        hint = f'N+1: select_related("author") on Book loads these in the same query (or {PEERS})'
        self.assert_hint(patterns.foreign_key, hint)
        self.assert_hint(patterns.raw_cursor, hint)
        self.assert_hint(patterns.raw_cursor_with_values, hint)

    def test_foreign_key_of_what_was_joined(self):
        """The path begins at the model whose query is to be changed."""

        def read():
            for review in Review.objects.select_related("book"):
                str(review.book.author.name)

        self.assert_hint(
            read, f'N+1: select_related("book__author") on Review loads these in the same query (or {PEERS})'
        )

    def test_foreign_keys_of_two_models(self):
        """All that may be meant are named."""
        user = User.objects.create(username="user")
        permission = Permission.objects.first()
        for number in range(5):
            group = auth.Group.objects.create(name=f"group {number}")
            user.groups.add(group)
            group.permissions.add(permission)

        def read():
            users = list(User.groups.through.objects.all())
            list(auth.Group.permissions.through.objects.all())
            for row in users:
                str(row.group.name)

        self.assert_hint(
            read,
            f'N+1: select_related("group") on User_groups loads these in the same query (or {PEERS})\n'
            f'  or select_related("group") on Group_permissions loads these in the same query (or {PEERS})',
        )

    def test_reverse_foreign_key(self):
        self.assert_hint(
            patterns.reverse_foreign_key, 'N+1: prefetch_related("books") on Author loads these in one query'
        )

    def test_reverse_foreign_key_without_related_name(self):
        def read():
            for book in Book.objects.all():
                list(book.review_set.all())

        self.assert_hint(read, 'N+1: prefetch_related("review_set") on Book loads these in one query')

    def test_some_of_the_related(self):
        hint = 'N+1: prefetch_related(Prefetch("books", queryset=…)) on Author loads these in one query'
        self.assert_hint(patterns.filter_in_a_loop, hint)
        self.assert_hint(patterns.first_of_related, hint)

    def test_many_to_many(self):
        self.assert_hint(patterns.many_to_many, 'N+1: prefetch_related("tags") on Book loads these in one query')

    def test_many_to_many_from_the_other_side(self):
        def read():
            for tag in [*Tag.objects.all(), Tag.objects.create(name="third")]:
                list(tag.books.all())

        self.assert_hint(read, 'N+1: prefetch_related("books") on Tag loads these in one query')

    def test_filter_on_prefetched(self):
        self.assert_hint(
            patterns.filter_on_prefetched,
            'N+1: prefetch_related(Prefetch("tags", queryset=…)) on Book loads these in one query',
        )

    def test_get_by_key(self):
        self.assert_hint(patterns.get_by_key, "N+1: Author.objects.in_bulk(keys) loads these in one query")

    def test_deferred_field(self):
        hint = f'N+1: only() or defer() on Book leaves out "title": load it with the rest (or {PEERS})'
        self.assert_hint(patterns.deferred_field, hint)

        def read():
            for book in Book.objects.defer("title", "note"):
                str(book.title)

        self.assert_hint(read, hint)

    def test_count(self):
        self.assert_hint(
            patterns.count_of_related, 'N+1: annotate(Count("books")) on Author asks this in the same query'
        )

    def test_count_with_a_condition(self):
        def read():
            for author in Author.objects.all():
                author.books.filter(status="in").count()

        self.assert_hint(read, 'N+1: annotate(Count("books", filter=Q(…))) on Author asks this in the same query')

    def test_count_uses_the_name_for_queries(self):
        """A relation without related_name is called otherwise in queries; the annotation that is proposed works."""

        def read():
            for book in Book.objects.all():
                book.review_set.count()

        self.assert_hint(read, 'N+1: annotate(Count("review")) on Book asks this in the same query')

    def test_count_of_many_to_many(self):
        def read():
            for book in Book.objects.all():
                book.tags.count()

        self.assert_hint(read, 'N+1: annotate(Count("tags")) on Book asks this in the same query')

    def test_exists(self):
        exists = 'Exists(Book.objects.filter(author=OuterRef("pk")))'
        self.assert_hint(
            patterns.exists_of_related, f"N+1: annotate(has_books={exists}) on Author asks this in the same query"
        )

    def test_aggregate(self):
        self.assert_hint(
            patterns.aggregate_in_a_loop, 'N+1: annotate(Max("books__pages")) on Author asks this in the same query'
        )

    def test_prefetch_one_by_one(self):
        self.assert_hint(
            patterns.prefetch_one_by_one,
            'N+1: prefetch_related("books") on all objects of Author at once loads these in one query',
        )

        def read_authors():
            books = list(Book.objects.order_by("pk"))
            for number in range(3):
                prefetch_related_objects(books[number : number + 2], "author")
                for book in books:
                    book._state.fields_cache.clear()

        self.assert_hint(
            read_authors, 'N+1: prefetch_related("author") on all objects of Book at once loads these in one query'
        )

    def test_writes(self):
        self.assert_hint(patterns.create_in_a_loop, "N+1: Tag.objects.bulk_create(objects) writes these in one query")
        self.assert_hint(
            patterns.update_in_a_loop,
            "N+1: Book.objects.bulk_update(objects, fields), or update() of a query, writes these in one query",
        )

        def delete():
            for review in Review.objects.all():
                review.delete()

        self.assert_hint(delete, "N+1: Review.objects.filter(pk__in=keys).delete() deletes these in one query")

    def test_what_is_no_relation(self):
        """No hint is better than a wrong one."""

        def read():
            for number in range(5):
                list(Book.objects.filter(title=f"book {number}"))
                list(Book.objects.exclude(author=number))

        queries = self.record(read)
        groups = duplicates_of(queries)
        self.assertEqual(len(groups), 2)
        self.assertEqual([hint_of(group, queries) for group in groups], ["", ""])

    def test_a_single_query(self):
        queries = self.record(lambda: list(Author.objects.filter(pk=1)))
        self.assertEqual(hint_of(Group(queries[0].fingerprint, tuple(queries)), queries), "")

    def test_any_sql(self):
        """Whatever the SQL, there is an answer, even if other queries are missing."""
        for sql in (
            "", "(", "SELECT", "SELECT FROM WHERE", "SELECT * FROM", "SELECT x FROM (SELECT y", "UPDATE", "INSERT INTO",
            "VALUES (1)", "WITH a AS (SELECT 1) SELECT * FROM a WHERE x = %s", "SELECT \" FROM ' WHERE `",
            "SELECT x FROM unknown WHERE unknown.id = %s", "SELECT x FROM shelf_book WHERE unknown.id = %s",
            "SELECT x FROM shelf_book WHERE nothing = %s", "DELETE FROM unknown WHERE id = %s", "é\0\n;",
        ):  # fmt: skip
            with self.subTest(sql=sql):
                queries = made_up(sql, sql, sql)
                group = Group(queries[0].fingerprint, tuple(queries))
                self.assertEqual(hint_of(group, queries), "")
                self.assertEqual(hint_of(group, []), "")

    def test_an_error_within_is_no_error_of_the_test(self):
        queries = self.record(patterns.foreign_key)
        [group] = duplicates_of(queries)
        with mock.patch("testkit.queries.hints.apps.get_models", side_effect=LookupError("not ready")):
            self.assertEqual(hint_of(group, queries), "")
