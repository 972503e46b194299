"""What would do at once what a repeated query does row by row: told from its SQL and the models alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import django
from django.apps import apps
from django.db.models import Field, Model

from testkit.queries.recorder import Query

if TYPE_CHECKING:
    from testkit.queries.groups import Group

# With sqlparse this would take a thousand times as long, and the shape of what Django writes is known.
_NAME = r"""(?:"[^"]+"|`[^`]+`|[^\W\d]\w*)"""
_DOTTED = rf"{_NAME}(?:\.{_NAME})?"
_NESTED = r"(?:[^()]++|\((?:[^()]++|\((?:[^()]++|\((?:[^()]++|\([^()]*\))*\))*\))*\))*"
_SUBSELECT = re.compile(rf"\( ?SELECT\b{_NESTED}\)", re.IGNORECASE)
_EXCLUDED = re.compile(rf"\bNOT ?\({_NESTED}\)", re.IGNORECASE)
_SELECT = re.compile(
    r"SELECT (?:DISTINCT )?(?P<columns>.*?) FROM (?P<tables>.*?)"
    r"(?: WHERE (?P<where>.*?))?(?P<end> (?:GROUP BY|ORDER BY|LIMIT|OFFSET|FOR UPDATE|LOCK IN)\b.*)?",
    re.IGNORECASE | re.DOTALL,
)
_WRITE = re.compile(
    rf"(?P<verb>INSERT|UPDATE|DELETE)(?: OR \w+| IGNORE)?(?: INTO| FROM)? (?P<table>{_DOTTED})"
    r"(?:.*? WHERE (?P<where>.*)|.*)",
    re.IGNORECASE | re.DOTALL,
)
_TABLE = re.compile(
    rf"(?:^|\bJOIN |, )({_DOTTED})(?: (?:AS )?(?!(?:ON|INNER|LEFT|RIGHT|CROSS|JOIN|USING)\b)({_NAME}))?", re.IGNORECASE
)
_COLUMN = re.compile(rf"(?:({_DOTTED})\.)?({_NAME}|\*)")
_CONDITION = re.compile(rf"(?:({_DOTTED})\.)?({_NAME})\)? ?(= ?%s|IN \(…\))", re.IGNORECASE)
_AGGREGATE = re.compile(rf"(COUNT|SUM|AVG|MIN|MAX)\((?:DISTINCT )?(?:\*|(?:{_DOTTED}\.)?({_NAME}))\)", re.IGNORECASE)
_EXISTS = re.compile(r"""(?:1|%s) AS ["`]a["`]""")

_PEERS = "fetch_mode(FETCH_PEERS)" + ("" if django.VERSION >= (6, 1) else ", from Django 6.1")


class _Condition(NamedTuple):
    """``table.column = %s``, or ``IN (…)``."""

    table: str
    column: str
    is_list: bool


class _Select(NamedTuple):
    """What is known of a SELECT: enough to tell which relation it follows."""

    head: str
    tables: tuple[str, ...]
    columns: frozenset[tuple[str, str]]
    conditions: tuple[_Condition, ...]
    is_narrowed: bool
    """Whether it has more conditions than one, or asks for the first rows only."""

    @property
    def computes(self) -> bool:
        """Whether it asks for a number or for whether there are rows, rather than for rows."""
        return (_AGGREGATE.match(self.head) or _EXISTS.match(self.head)) is not None

    def reads(self, table: str, column: str | None) -> bool:
        """Return whether the column is among those that it selects."""
        return (table, column) in self.columns or (table, "*") in self.columns


class _Models:
    """The models by table, and the many-to-many fields by the table that joins their sides."""

    def __init__(self) -> None:
        self._by_table: defaultdict[str, list[type[Model]]] = defaultdict(list)
        self.many_to_many: list[Any] = []
        for model in apps.get_models(include_auto_created=True):
            if not model._meta.proxy:
                self._by_table[_table_of(model)].append(model)
                self.many_to_many += model._meta.local_many_to_many

    def of_table(self, table: str) -> list[type[Model]]:
        return self._by_table.get(table, [])


def hint_of(group: Group, queries: Sequence[Query]) -> str:
    """Return what would do at once what the queries of the group do one by one, or "" if that cannot be told.

    ``queries`` are all that ran, in order: those before the group's tell whose relation it follows. Each candidate has
    a line of its own. Never raises: a hint is the last part of a failure, and must not hide it.
    """
    if group.count < 2:
        return ""
    try:
        candidates = list(dict.fromkeys(_candidates_for(group, queries)))
    except Exception:  # SQL that was read wrongly, fields of an unknown kind: no hint then
        return ""
    return "\n".join(f"{'  or ' if number else 'N+1: '}{text}" for number, text in enumerate(candidates))


def _candidates_for(group: Group, queries: Sequence[Query]) -> Iterator[str]:
    models = _Models()
    if written := _WRITE.fullmatch(group.fingerprint):
        yield from _of_write(written, models)
    elif select := _read_select(group.fingerprint):
        earlier = _selects_before(group, queries)
        for condition in select.conditions:
            through = list(_of_many_to_many(select, condition, models))
            yield from through
            for model in models.of_table(condition.table) if not through else ():
                if condition.table == select.tables[0]:
                    yield from _of_rows(model, select, condition, earlier, models)
                yield from _of_reverse(model, select, condition)


def _selects_before(group: Group, queries: Sequence[Query]) -> list[_Select]:
    first = group.queries[0]
    position = next((number for number, query in enumerate(queries) if query is first), len(queries))
    texts = dict.fromkeys(query.fingerprint for query in queries[:position])
    return [select for text in texts if text != group.fingerprint and (select := _read_select(text))]


@lru_cache(maxsize=256)
def _read_select(sql: str) -> _Select | None:
    match = _SELECT.fullmatch(_SUBSELECT.sub("(subselect)", sql))
    if match is None:
        return None
    tables = {_unquote(alias or name): _unquote(name) for name, alias in _TABLE.findall(match["tables"])}
    if not tables:
        return None
    main = next(iter(tables.values()))
    columns = {(tables.get(_unquote(q), main), _unquote(c)) for q, c in _COLUMN.findall(match["columns"])}
    where, end = match["where"] or "", (match["end"] or "").upper()
    plain = _EXCLUDED.sub("", where)
    found = [] if " OR " in plain.upper() else _CONDITION.findall(plain)
    conditions = tuple(
        _Condition(tables.get(_unquote(q), _unquote(q) if q else main), _unquote(c), "IN" in how.upper())
        for q, c, how in found
    )
    others = _CONDITION.sub("", where).strip(" ()")
    narrowed = len(conditions) > 1 or bool(others) or ("ORDER BY" in end and "LIMIT" in end)
    return _Select(match["columns"], tuple(tables.values()), frozenset(columns), conditions, narrowed)


def _of_rows(
    model: type[Model], select: _Select, condition: _Condition, earlier: Sequence[_Select], models: _Models
) -> Iterator[str]:
    """Yield what loads rows of the model that are asked for one by one, each by what a foreign key may point to."""
    if select.is_narrowed or select.computes:
        return
    is_key = condition.column == model._meta.pk.column
    if is_key and not condition.is_list and (deferred := _deferred_fields(model, select, earlier)):
        names = " and ".join(f'"{name}"' for name in deferred)
        yield f"only() or defer() on {model.__name__} leaves out {names}: load it with the rest (or {_PEERS})"
        return
    relations = list(_of_foreign_keys(condition, earlier, models))
    yield from relations
    if is_key and not relations and not condition.is_list:
        yield f"{_manager_of(model)}.in_bulk(keys) loads these in one query"


def _deferred_fields(model: type[Model], select: _Select, earlier: Sequence[_Select]) -> list[str]:
    """Return the names of the fields that are read now, if an earlier query read these objects without them."""
    table, fields = _table_of(model), model._meta.concrete_fields
    read = [field for field in fields if select.reads(table, field.column)]
    late = [field for field in read if not field.primary_key]
    if len(read) == len(fields) or not late:
        return []
    key = model._meta.pk.column
    lacking = (e.reads(table, key) and not any(e.reads(table, field.column) for field in late) for e in earlier)
    return [field.name for field in late] if any(lacking) else []


def _of_foreign_keys(condition: _Condition, earlier: Sequence[_Select], models: _Models) -> Iterator[str]:
    """Yield the foreign keys to these rows that earlier queries read."""
    for select in earlier:
        for table in select.tables:
            for model in models.of_table(table):
                for field in model._meta.local_fields:
                    if _points_to(field, condition) and select.reads(table, field.column) and not select.computes:
                        yield _say_to_one(field, model, select, condition, models)


def _points_to(field: Field[Any, Any], condition: _Condition) -> bool:
    if not (field.many_to_one or field.one_to_one) or field.remote_field is None:
        return False
    relation: Any = field.remote_field
    target = relation.get_related_field()
    return bool(_table_of(target.model) == condition.table and target.column == condition.column)


def _say_to_one(
    field: Field[Any, Any], model: type[Model], select: _Select, condition: _Condition, models: _Models
) -> str:
    path, owner = field.name, model
    if select.tables[0] != _table_of(model):
        # Books that a query of reviews has joined: the path begins at the reviews.
        for root in models.of_table(select.tables[0]):
            for step in root._meta.local_fields:
                if step.related_model is model:
                    path, owner = f"{step.name}__{field.name}", root
    if condition.is_list:
        return _say_objects_at_once(path, owner)
    return f'select_related("{path}") on {owner.__name__} loads these in the same query (or {_PEERS})'


def _of_reverse(model: type[Model], select: _Select, condition: _Condition) -> Iterator[str]:
    """Yield what loads the rows that have a foreign key to an object, object by object."""
    for field in model._meta.local_fields:
        if field.column != condition.column or not (field.many_to_one or field.one_to_one):
            continue
        relation: Any = field.remote_field
        accessor = relation.get_accessor_name()
        if accessor is None or relation.hidden:
            continue
        if field.one_to_one and not select.is_narrowed and not select.computes:
            owner = relation.model.__name__
            yield f'select_related("{accessor}") on {owner} loads these in the same query (or {_PEERS})'
        else:
            yield _say_to_many(relation.model, accessor, relation.name, model, field.name, select, condition)


def _of_many_to_many(select: _Select, condition: _Condition, models: _Models) -> Iterator[str]:
    """Yield the many-to-many relations that the condition follows, from either side."""
    for field in models.many_to_many:
        through, other = field.remote_field.through, field.related_model
        if _table_of(through) != condition.table:
            continue
        near, far = field.model, other
        if condition.column == field.m2m_column_name():
            back = field.related_query_name()
            yield _say_to_many(near, field.name, field.name, far, back, select, condition)
        elif condition.column == field.m2m_reverse_name():
            accessor = field.remote_field.get_accessor_name()
            if accessor is not None and not field.remote_field.hidden:
                name = field.related_query_name()
                yield _say_to_many(far, accessor, name, near, field.name, select, condition)


def _say_to_many(
    owner: type[Model],
    accessor: str,
    query_name: str,
    related: type[Model],
    back: str,
    select: _Select,
    condition: _Condition,
) -> str:
    """Return what loads the related objects of all owners, or what is asked about them.

    ``accessor`` is what Python calls the relation and ``query_name`` what queries call it; ``back`` leads to the owner.
    """
    on = f"on {owner.__name__}"
    if _EXISTS.match(select.head):
        exists = f'Exists({_manager_of(related)}.filter({back}=OuterRef("pk")))'
        return f"annotate(has_{query_name}={exists}) {on} asks this in the same query"
    if aggregate := _AGGREGATE.match(select.head):
        function, column = aggregate[1].capitalize(), _unquote(aggregate[2] or "")
        fields = [f.name for f in related._meta.concrete_fields if f.column == column and not f.primary_key]
        path = "__".join([query_name, *fields])
        narrowed = ", filter=Q(…)" if select.is_narrowed else ""
        return f'annotate({function}("{path}"{narrowed})) {on} asks this in the same query'
    if condition.is_list:
        return _say_objects_at_once(accessor, owner)
    if select.is_narrowed:
        return f'prefetch_related(Prefetch("{accessor}", queryset=…)) {on} loads these in one query'
    return f'prefetch_related("{accessor}") {on} loads these in one query'


def _say_objects_at_once(path: str, owner: type[Model]) -> str:
    return f'prefetch_related("{path}") on all objects of {owner.__name__} at once loads these in one query'


def _of_write(written: re.Match[str], models: _Models) -> Iterator[str]:
    """Yield what writes many rows at once."""
    verb, table = written["verb"].upper(), _unquote(written["table"])
    for model in models.of_table(table):
        manager = _manager_of(model)
        if verb == "INSERT":
            if model._meta.auto_created:
                names = [field.name for field in models.many_to_many if field.remote_field.through is model]
                yield from (f"{name}.add() with all objects writes these in one query" for name in names)
            elif not model._meta.parents:
                yield f"{manager}.bulk_create(objects) writes these in one query"
        elif [_unquote(c) for _, c, _ in _CONDITION.findall(written["where"] or "")] == [model._meta.pk.column]:
            if verb == "UPDATE":
                yield f"{manager}.bulk_update(objects, fields), or update() of a query, writes these in one query"
            else:
                yield f"{manager}.filter(pk__in=keys).delete() deletes these in one query"


def _table_of(model: type[Model]) -> str:
    # "schema"."table" is written as schema"."table in Meta.
    return model._meta.db_table.replace('"', "")


def _manager_of(model: type[Model]) -> str:
    return f"{model.__name__}.{model._default_manager.name}"


def _unquote(name: str) -> str:
    return name.replace('"', "").replace("`", "")
