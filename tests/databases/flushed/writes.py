"""What tests write: each function is one kind of it, for a database and with random numbers of its own."""

import datetime
import threading

from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.contrib.sites.models import Site
from django.db import connections, models, transaction
from orders.models import Line, Order

from library.models import Author, Book, Comic, Elsewhere, Reader, Room, Shelved, Tag

A_DAY = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def nothing(db, random):
    pass


def books(db, random):
    room = Room.objects.using(db).create(name="a room")
    for number in range(random.randint(1, 30)):
        book = Book.objects.using(db).create(title=f"book {number}", room=room, notes={"pages": [number]})
        book.authors.add(Author.objects.using(db).create(name="somebody"))
    Comic.objects.using(db).create(title="comic", room=room)
    return book.pk


def friends(db, random):
    some = [Author.objects.using(db).create(name=str(number)) for number in range(4)]
    some[0].friends.add(*some[1:])
    some[1].teacher = some[2]
    some[1].save()


def orders(db, random):
    first = Order.objects.using(db).create(book=Book.objects.using(db).create(title="ordered"))
    second = Order.objects.using(db).create(book=first.book, after=first)
    first.after = second
    first.save()
    return Line.objects.using(db).create(order=second, number=random.randint(0, 9)).pk


def tags(db, random):
    comic = Comic.objects.using(db).create(title="tagged")
    types = ContentType.objects.db_manager(db)
    Tag.objects.using(db).create(content_type=types.get_for_model(Comic), object_id=comic.pk)
    Tag.objects.using(db).create(content_type=types.get_for_model(Shelved, for_concrete_model=False), object_id=1)


def sessions(db, random):
    Session.objects.using(db).create(session_key=str(random.random()), session_data="x", expire_date=A_DAY)


def rolled_back(db, random):
    with transaction.atomic(db):
        Book.objects.using(db).create(title="never")
        transaction.set_rollback(True, db)


def many(db, random):
    Room.objects.using(db).bulk_create([Room(name="x" * 90) for _ in range(3000)])


def raw(db, random):
    with connections[db].cursor() as cursor:
        cursor.execute("INSERT INTO library_room (name) VALUES ('raw')")


def elsewhere(db, random):
    Elsewhere.objects.using(db).create(id=random.randint(0, 10**6))


def from_a_thread(db, random):
    def write():
        with connections[db].cursor() as cursor:
            cursor.execute("INSERT INTO library_room (name) VALUES ('from a thread')")
        connections[db].close()

    # One in memory belongs to its thread.
    if connections[db].vendor != "sqlite" or not connections[db].is_in_memory_db():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()


def more_content_types(db, random):
    ContentType.objects.using(db).create(app_label="gone", model=f"model{random.randint(0, 99)}")


def fewer_content_types(db, random):
    # Not by the ORM, which would delete what refers to it, too.
    Tag.objects.using(db).all().delete()
    with connections[db].cursor() as cursor:
        cursor.execute("SELECT id FROM django_content_type WHERE model = 'book'")
        (id,) = cursor.fetchone()
        cursor.execute("DELETE FROM auth_permission WHERE content_type_id = %s", [id])
        cursor.execute("DELETE FROM django_content_type WHERE id = %s", [id])


def other_caches(db, random):
    ContentType.objects.db_manager(db).get_for_models(Room, Author, Line)
    ContentType.objects.db_manager(db).get_for_model(Order).model = "changed in the cache alone"
    if db == "default":
        Site.objects.get_current()


def cleared_caches(db, random):
    ContentType.objects.clear_cache()
    Site.objects.clear_cache()


def a_new_model(db, random):
    name = f"Passing{random.randint(0, 10**6)}"
    type(
        name,
        (models.Model,),
        {"__module__": "library.models", "Meta": type("Meta", (), {"app_label": "library", "managed": False})},
    )


ANYWHERE = [
    *(nothing, books, friends, orders, tags, rolled_back, many, raw, elsewhere, from_a_thread),
    *(more_content_types, fewer_content_types, other_caches, cleared_caches, a_new_model),
]


def users(db, random):
    user = User.objects.create_user(f"user{random.randint(0, 99)}")
    user.groups.add(Group.objects.create(name="readers"))
    user.user_permissions.add(*Permission.objects.all()[: random.randint(0, 5)])
    Reader.objects.create(user=user)
    # Of the app "admin", whose table may not be emptied: of content types it would keep the ids.
    LogEntry.objects.create(user=user, action_time=A_DAY, object_id=user.pk, action_flag=ADDITION)
    return user.pk


def other_permissions(db, random):
    permission = Permission.objects.order_by("codename")[random.randint(0, 9)]
    permission.name = "changed"
    permission.save()


def more_permissions(db, random):
    type_ = ContentType.objects.get_for_model(Book)
    Group.objects.create(name="lenders").permissions.add(
        Permission.objects.create(content_type=type_, codename=f"burn{random.randint(0, 99)}", name="Can burn")
    )


def no_permissions(db, random):
    Permission.objects.all().delete()


def more_sites(db, random):
    return Site.objects.create(domain=f"example{random.randint(0, 99)}.org", name="another").pk


def a_passing_site(db, random):
    site = Site.objects.create(domain="passing.org", name="passing")
    pk = site.pk
    site.delete()
    return pk


def another_site(db, random):
    Site.objects.update(domain="changed.org")


IN_DEFAULT = [
    users,
    sessions,
    other_permissions,
    more_permissions,
    no_permissions,
    more_sites,
    a_passing_site,
    another_site,
]
