import django.contrib.gis.db.models.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """PostGIS itself needs no migration: Django adds the extension to a database before the first one."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Cafe",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("location", django.contrib.gis.db.models.fields.PointField(geography=True, srid=4326)),
            ],
        ),
    ]
