import os

from django.apps import AppConfig
from django.db.models.signals import post_migrate

calls = []


def note_call(sender, using, verbosity, interactive, app_config, **kwargs):
    calls.append((app_config.label, using, verbosity, interactive, sorted(kwargs)))


def make_room(sender, using, **kwargs):
    """Write one more row each time, and one that depends on the permissions that are there so far."""
    from django.contrib.auth.models import Permission

    from library.models import Room

    if using == "default":
        Room.objects.using(using).create(name=f"{sender.label} {Permission.objects.using(using).count()}")


class LibraryConfig(AppConfig):
    name = "library"

    def ready(self):
        for receiver in filter(None, os.environ.get("FLUSHED_RECEIVERS", "").split()):
            post_migrate.connect(globals()[receiver])
