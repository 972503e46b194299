"""What migrations put in, and a table that Django does not manage."""

from django.db import migrations


def add_room(apps, schema_editor):
    apps.get_model("library", "Room").objects.using(schema_editor.connection.alias).create(name="of a migration")


class Migration(migrations.Migration):
    dependencies = [("library", "0001_initial")]
    operations = [
        migrations.RunPython(add_room),
        migrations.RunSQL("CREATE TABLE library_elsewhere (id INTEGER PRIMARY KEY)"),
    ]
