import os

import dj_database_url

URL = os.environ.get("DATABASE_URL", "sqlite://:memory:")
SECRET_KEY = "of a test project"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shelf"]
DATABASES = {"default": dj_database_url.parse(URL), "other": dj_database_url.parse("sqlite://:memory:")}
ROOT_URLCONF = "shelf.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
