"""Settings of the project whose databases are flushed; the databases are in the environment, as JSON."""

import json
import os

SECRET_KEY = "no secret"
INSTALLED_APPS = [
    "library",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sites",
    "django.contrib.admin",
    "django.contrib.sessions",
    "django.contrib.messages",
    "orders",
    *os.environ.get("FLUSHED_APPS", "").split(),
]
SITE_ID = 1
DATABASES = json.loads(os.environ["FLUSHED_DATABASES"])
DATABASE_ROUTERS = ["library.routers.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SILENCED_SYSTEM_CHECKS = ["admin.E403", "admin.E408", "admin.E409", "admin.E410"]
