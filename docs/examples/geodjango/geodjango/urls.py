from django.urls import path

from places.views import nearest

urlpatterns = [path("cafes/", nearest, name="nearest")]
