from django.contrib.gis.geos import Point
from django.test import TestCase

from places.models import Cafe

MARKET = Point(11.5761, 48.1351, srid=4326)


class DistanceTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        for name, lon, lat in (
            ("Dallmayr", 11.5786, 48.1386),
            ("Airport", 11.7861, 48.3538),
            ("Corner", 11.5762, 48.1352),
        ):
            Cafe.objects.create(name=name, location=Point(lon, lat, srid=4326))

    def test_the_nearest_comes_first(self):
        """Distances are in metres on the globe."""
        near = Cafe.objects.within(1000, of=MARKET)
        self.assertEqual([cafe.name for cafe in near], ["Corner", "Dallmayr"])
        self.assertAlmostEqual(near[1].distance.m, 431, delta=5)

    def test_what_is_far_is_left_out(self):
        """A radius is a limit."""
        for metres, count in ((5, 0), (50, 1), (50_000, 3)):
            with self.subTest(metres=metres):
                self.assertEqual(Cafe.objects.within(metres, of=MARKET).count(), count)
