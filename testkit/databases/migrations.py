"""What is wrong with migrations: those that conflict, and those that are missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from typing import Any

from django.apps import apps


def conflicts() -> str:
    """Return why no database can be built, with the remedy, where apps have several last migrations; else nothing.

    It imports all migrations. Whatever is wrong with them besides is raised as Django raises it.
    """
    from django.db.migrations.loader import MigrationLoader

    found = MigrationLoader(None, ignore_no_migrations=True).detect_conflicts()
    if not found:
        return ""
    listed = "; ".join(f"{', '.join(sorted(names))} in {label}" for label, names in sorted(found.items()))
    return (
        f"no database can be built, as migrations conflict: there is more than one last migration ({listed}). "
        f"Join them: manage.py makemigrations --merge {' '.join(sorted(found))}"
    )


def import_all() -> None:
    """Import all migrations, as ``migrate`` does also where none is left to be run."""
    from django.db.migrations.loader import MigrationLoader

    MigrationLoader(None, ignore_no_migrations=True)


def missing_migrations(known: Collection[tuple[str, str]] | None = None) -> list[str]:
    """Return the labels of the project's apps whose models have changes that no migration makes.

    Apps whose migrations are an installed package's are left out: the project cannot mend them. No database is asked.

    Args:
        known: label and name of the project's models; others (that tests define) count if a migration makes them. All
            count when None.
    """
    from django.core.management import get_commands, load_command_class
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.questioner import MigrationQuestioner
    from django.db.migrations.state import ModelState, ProjectState
    from django.utils.translation import override

    command: Any = get_commands()["makemigrations"]
    if isinstance(command, str):
        command = load_command_class(command, "makemigrations")
    detector = getattr(command, "autodetector", MigrationAutodetector)
    with override(None):  # as makemigrations does: names of fields are compared untranslated
        loader = MigrationLoader(None, ignore_no_migrations=True)
        before, now = loader.project_state(), ProjectState()
        for model in apps.get_models(include_swapped=True):
            key = (model._meta.app_label, model._meta.model_name or "")
            if known is None or key in known or key in before.models:
                now.add_model(ModelState.from_model(model))
        # The base class neither asks nor exits.
        changes = detector(before, now, MigrationQuestioner(dry_run=True)).changes(graph=loader.graph)
    return sorted(label for label in changes if _is_own(loader.migrations_module(label)[0]))


def _is_own(module: str | None) -> bool:
    """Return whether the migrations in ``module`` are the project's rather than those of an installed package."""
    from testkit.endpoints.code import is_own_code

    paths = getattr(sys.modules.get(module or ""), "__path__", ())
    return all(is_own_code(os.path.join(path, "0001_initial.py")) for path in paths)


def describe_missing(known: Collection[tuple[str, str]] | None = None) -> str:
    """Return a line with the remedy if migrations are missing, or if that cannot be told; ``known`` as above."""
    try:
        labels = missing_migrations(known)
    except Exception as error:
        return f"whether migrations are missing cannot be told: {type(error).__name__}: {error}"
    return f"models have changes without a migration: manage.py makemigrations {' '.join(labels)}" if labels else ""
