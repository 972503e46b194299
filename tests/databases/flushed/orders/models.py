from django.contrib.auth.models import Group
from django.db import models

from library.models import Book


class Order(models.Model):
    book = models.ForeignKey(Book, models.PROTECT)
    after = models.OneToOneField("self", models.CASCADE, null=True)


class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
    number = models.IntegerField()
    groups = models.ManyToManyField(Group)

    class Meta:
        unique_together = [("order", "number")]
