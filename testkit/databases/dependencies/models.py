"""What models, routers and receivers of signals put into a test database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from inspect import unwrap
from typing import Any, NamedTuple
from weakref import ReferenceType

from django.apps import apps
from django.db import router
from django.db.models import Model
from django.db.models.signals import post_migrate, pre_migrate

from testkit.databases.dependencies.imports import WITHOUT_EFFECT, is_of_a_project


class Described(NamedTuple):
    """Something that a database depends on."""

    name: str
    details: Any
    modules: set[str]
    """The modules whose source says what it does."""


def description_of_model(model: type[Model], *, with_table: bool) -> list[Any]:
    """Return what receivers of ``post_migrate`` make of ``model``: content types, permissions, and what projects add.

    Args:
        model: any, also proxies, and those that are swapped.
        with_table: add what its table is made from, as no migration says it.
    """
    meta: Any = model._meta
    details = [
        meta.label,
        meta.verbose_name,
        meta.permissions,
        meta.default_permissions,
        meta.proxy,
        meta.managed,
        meta.swapped,
        bool(meta.auto_created),
    ]
    return details + _table(meta) if with_table else details


def _table(meta: Any) -> list[Any]:
    return [
        meta.db_table,
        meta.db_tablespace,
        meta.db_table_comment,
        meta.unique_together,
        meta.order_with_respect_to and meta.order_with_respect_to.name,
        meta.required_db_features,
        meta.required_db_vendor,
        [index.deconstruct() for index in meta.indexes],
        [constraint.deconstruct() for constraint in meta.constraints],
        [_column(field) for field in (*meta.local_fields, *meta.local_many_to_many)],
    ]


def _column(field: Any) -> tuple[Any, ...]:
    """Return what makes the column; its type is that of its class, whose source counts (to ask may open a connection)."""
    name, path, arguments, keywords = field.deconstruct()
    kept = {key: value for key, value in keywords.items() if key not in WITHOUT_EFFECT}
    return name, path, arguments, kept, field.column, field.get_internal_type()


def classes_of_models() -> set[str]:
    """Return the modules of classes of fields, indexes and constraints that are not Django's, with those they derive from."""
    kinds: set[type] = set()
    for model in apps.get_models(include_auto_created=True, include_swapped=True):
        meta: Any = model._meta
        for parts in (meta.local_fields, meta.local_many_to_many, meta.indexes, meta.constraints):
            kinds.update(map(type, parts))
    return {module for kind in kinds for module in _modules(kind)}


def routers() -> Iterator[Described]:
    """Yield the routers in their order."""
    for place, found in enumerate(router.routers):
        kind = type(found)
        yield Described(f"router {_name(kind)}", place, _modules(kind))


def receivers() -> Iterator[Described]:
    """Yield the receivers of the signals that ``migrate`` sends, and the order in which they are called."""
    # A sender that is no app's configuration is never the sender of these signals.
    senders = {id(config): config.label for config in apps.get_app_configs()}
    for signal_name, signal in (("pre_migrate", pre_migrate), ("post_migrate", post_migrate)):
        names: list[str] = []
        for entry in signal.receivers:
            (uid, sender), found = entry[0], entry[1]
            receiver = found() if isinstance(found, ReferenceType) else found
            if receiver is not None:
                code = _code_of(receiver)
                again = sum(name.startswith(f"{signal_name} receiver {_name(code)}") for name in names)
                names.append(f"{signal_name} receiver {_name(code)}{f' ({again + 1})' if again else ''}")
                details = (senders.get(sender, ""), uid if isinstance(uid, str) else "")
                yield Described(names[-1], details, _modules(code) | _modules(unwrap(code)))
        yield Described(f"the order of {signal_name} receivers", names, set())


def _code_of(receiver: Any) -> Any:
    """Return the function or class behind a callable."""
    while isinstance(receiver, partial):
        receiver = receiver.func
    receiver = getattr(receiver, "__func__", receiver)
    return receiver if hasattr(receiver, "__qualname__") else type(receiver)


def _modules(code: Any) -> set[str]:
    """Return the modules of a function, or of a class and of those it derives from, without Django's and Python's."""
    modules = {kind.__module__ for kind in code.__mro__} if isinstance(code, type) else {code.__module__}
    return set(filter(is_of_a_project, modules))


def _name(code: Any) -> str:
    return f"{code.__module__}.{code.__qualname__}"
