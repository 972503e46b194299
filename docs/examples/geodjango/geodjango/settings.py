"""Settings of a site on PostGIS, which is where libpq's own variables say."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "for-tests-only")
INSTALLED_APPS = ["django.contrib.gis", "places"]
ROOT_URLCONF = "geodjango.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.contrib.gis.db.backends.postgis",
        "NAME": os.environ.get("PGDATABASE", "postgres"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "HOST": os.environ.get("PGHOST", "localhost"),
        "PORT": os.environ.get("PGPORT", ""),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TEST_RUNNER = "testkit.runner.TestkitRunner"
