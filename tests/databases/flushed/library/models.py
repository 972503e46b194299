from django.contrib.auth.models import User
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Room(models.Model):
    name = models.CharField(max_length=100)


class Author(models.Model):
    name = models.CharField(max_length=100)
    friends = models.ManyToManyField("self")
    teacher = models.ForeignKey("self", models.SET_NULL, null=True)


class Book(models.Model):
    title = models.CharField(max_length=100)
    authors = models.ManyToManyField(Author)
    notes = models.JSONField(default=dict)
    room = models.ForeignKey(Room, models.CASCADE, null=True)

    class Meta:
        permissions = [("lend_book", "Can lend")]


class Comic(Book):
    colours = models.IntegerField(default=4)


class Shelved(Book):
    class Meta:
        proxy = True


class Tag(models.Model):
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.BigIntegerField()
    tagged = GenericForeignKey()


class Reader(models.Model):
    user = models.OneToOneField(User, models.CASCADE)

    class Meta:
        default_permissions = ("add",)


class Elsewhere(models.Model):
    class Meta:
        managed = False
        db_table = "library_elsewhere"
