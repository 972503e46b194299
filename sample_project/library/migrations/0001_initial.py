"""The catalogue and the loans."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import library.isbn


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Author",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("name", models.CharField(help_text="As printed on a title page.", max_length=120)),
                ("sort_name", models.CharField(help_text="As filed: family name first.", max_length=120)),
                ("born", models.SmallIntegerField(blank=True, null=True)),
                ("died", models.SmallIntegerField(blank=True, null=True)),
                ("biography", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["sort_name", "pk"],
                "indexes": [models.Index(fields=["sort_name"], name="author_sort_name_idx")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("born__isnull", True),
                            ("died__isnull", True),
                            ("died__gte", models.F("born")),
                            _connector="OR",
                        ),
                        name="author_died_after_birth",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Book",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("title", models.CharField(max_length=200)),
                (
                    "isbn",
                    models.CharField(
                        max_length=13,
                        unique=True,
                        validators=[library.isbn.validate_isbn],
                        verbose_name="ISBN",
                    ),
                ),
                (
                    "genre",
                    models.CharField(
                        choices=[
                            ("novel", "Novel"),
                            ("gothic", "Gothic"),
                            ("scifi", "Science fiction"),
                            ("adventure", "Adventure"),
                            ("poetry", "Poetry"),
                            ("folklore", "Folklore"),
                            ("travel", "Travel"),
                        ],
                        max_length=12,
                    ),
                ),
                ("published_year", models.SmallIntegerField()),
                (
                    "language",
                    models.CharField(
                        choices=[("en", "English"), ("fr", "French"), ("de", "German")],
                        default="en",
                        max_length=2,
                    ),
                ),
                (
                    "page_count",
                    models.PositiveSmallIntegerField(validators=[django.core.validators.MinValueValidator(1)]),
                ),
                ("description", models.TextField(blank=True)),
                ("added_on", models.DateField(default=django.utils.timezone.localdate)),
                ("authors", models.ManyToManyField(related_name="books", to="library.author")),
            ],
            options={
                "ordering": ["title", "pk"],
            },
        ),
        migrations.CreateModel(
            name="Copy",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("barcode", models.CharField(max_length=20, unique=True)),
                (
                    "condition",
                    models.CharField(
                        choices=[("new", "New"), ("good", "Good"), ("worn", "Worn"), ("damaged", "Damaged")],
                        default="good",
                        max_length=8,
                    ),
                ),
                ("location", models.CharField(max_length=40)),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="copies", to="library.book"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "copies",
                "ordering": ["barcode"],
            },
        ),
        migrations.CreateModel(
            name="Loan",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("borrowed_on", models.DateField()),
                ("due_on", models.DateField()),
                ("returned_on", models.DateField(blank=True, null=True)),
                (
                    "borrower",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="loans",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "copy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="loans", to="library.copy"
                    ),
                ),
            ],
            options={
                "ordering": ["-borrowed_on", "-pk"],
            },
        ),
        migrations.AddIndex(
            model_name="book",
            index=models.Index(fields=["-added_on"], name="book_added_on_idx"),
        ),
        migrations.AddConstraint(
            model_name="book",
            constraint=models.CheckConstraint(condition=models.Q(("page_count__gte", 1)), name="book_has_pages"),
        ),
        migrations.AddIndex(
            model_name="loan",
            index=models.Index(fields=["borrower", "returned_on"], name="loan_borrower_returned_idx"),
        ),
        migrations.AddIndex(
            model_name="loan",
            index=models.Index(fields=["borrowed_on"], name="loan_borrowed_on_idx"),
        ),
        migrations.AddIndex(
            model_name="loan",
            index=models.Index(fields=["returned_on", "due_on"], name="loan_returned_due_idx"),
        ),
        migrations.AddConstraint(
            model_name="loan",
            constraint=models.UniqueConstraint(
                condition=models.Q(("returned_on__isnull", True)),
                fields=("copy",),
                name="loan_one_open_per_copy",
            ),
        ),
        migrations.AddConstraint(
            model_name="loan",
            constraint=models.CheckConstraint(
                condition=models.Q(("due_on__gte", models.F("borrowed_on"))), name="loan_due_after_borrowed"
            ),
        ),
        migrations.AddConstraint(
            model_name="loan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("returned_on__isnull", True),
                    ("returned_on__gte", models.F("borrowed_on")),
                    _connector="OR",
                ),
                name="loan_returned_after_borrowed",
            ),
        ),
    ]
