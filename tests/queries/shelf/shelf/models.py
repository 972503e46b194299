from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)


class Tag(models.Model):
    name = models.CharField(max_length=100, db_index=True)


class Book(models.Model):
    title = models.CharField(max_length=100)
    status = models.CharField(max_length=10, default="in", db_index=True)
    note = models.CharField(max_length=100, default="")
    pages = models.IntegerField(default=1)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books", null=True)
    tags = models.ManyToManyField(Tag, related_name="books")


class Review(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    text = models.CharField(max_length=100)
