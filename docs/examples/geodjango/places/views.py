from django.contrib.gis.geos import Point
from django.http import HttpRequest, JsonResponse

from places.models import Cafe


def nearest(request: HttpRequest) -> JsonResponse:
    """Return the cafés within a kilometre of ``lat`` and ``lon``."""
    try:
        here = Point(float(request.GET["lon"]), float(request.GET["lat"]), srid=4326)
    except (KeyError, ValueError):
        return JsonResponse({"error": "give lat and lon in degrees"}, status=400)
    found = Cafe.objects.within(1000, of=here)
    return JsonResponse({"cafes": [{"name": cafe.name, "metres": round(cafe.distance.m)} for cafe in found]})
