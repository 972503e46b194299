"""Cafés, and which of them are near."""

from __future__ import annotations

from django.contrib.gis.db import models
from django.contrib.gis.db.models.functions import Distance
from django.contrib.gis.geos import Point
from django.contrib.gis.measure import D


class CafeQuerySet(models.QuerySet):
    def within(self, metres: float, of: Point) -> CafeQuerySet:
        """Return the cafés at most so many metres away, the nearest first, each with its ``distance``."""
        near = self.filter(location__dwithin=(of, D(m=metres)))
        return near.annotate(distance=Distance("location", of)).order_by("distance")


class Cafe(models.Model):
    name = models.CharField(max_length=100)
    location = models.PointField(geography=True)

    objects = CafeQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
