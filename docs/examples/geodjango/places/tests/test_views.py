from django.contrib.gis.geos import Point
from django.test import TestCase

from places.models import Cafe


class NearestTests(TestCase):
    def test_the_answer_has_names_and_metres(self):
        """A café on the spot is no metre away."""
        Cafe.objects.create(name="Here", location=Point(11.5, 48.1, srid=4326))
        response = self.client.get("/cafes/", {"lat": "48.1", "lon": "11.5"})
        self.assertEqual(response.json(), {"cafes": [{"name": "Here", "metres": 0}]})

    def test_what_is_no_place_is_refused(self):
        """Without numbers there is nothing to look for."""
        for query in ({}, {"lat": "x", "lon": "1"}):
            with self.subTest(query=query):
                self.assertEqual(self.client.get("/cafes/", query).status_code, 400)
