"""Room for the sorted and searched forms of titles and names, and for a choice of featured books."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("library", "0001_initial"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="book",
            options={"ordering": ["sort_title", "pk"]},
        ),
        migrations.AddField(
            model_name="author",
            name="search_text",
            field=models.CharField(blank=True, default="", editable=False, max_length=160),
        ),
        migrations.AddField(
            model_name="book",
            name="featured",
            field=models.BooleanField(default=False, help_text="Shown at the top of the home page."),
        ),
        migrations.AddField(
            model_name="book",
            name="search_text",
            field=models.CharField(blank=True, default="", editable=False, max_length=250),
        ),
        migrations.AddField(
            model_name="book",
            name="sort_title",
            field=models.CharField(blank=True, default="", editable=False, max_length=250),
        ),
        migrations.AddIndex(
            model_name="book",
            index=models.Index(fields=["sort_title"], name="book_sort_title_idx"),
        ),
        migrations.AddIndex(
            model_name="book",
            index=models.Index(fields=["genre", "sort_title"], name="book_genre_title_idx"),
        ),
    ]
