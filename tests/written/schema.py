"""docs/schema.md: every table, view and function as the database itself describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncpg

SCHEMA: Final = "docs/schema.md"

_HEAD: Final = """\
# The schema

What the database says of itself, written by `make docs`. [Tables](tables.md) explains it, and
[queries](queries.md) asks it.
"""

_RELATIONS: Final = """
SELECT oid, relname AS name, relkind = 'v' AS is_view, obj_description(oid, 'pg_class') AS comment
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
    AND relname <> 'alembic_version'
ORDER BY relkind, relname
"""

_COLUMNS: Final = """
SELECT
    attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS required,
    pg_get_expr(adbin, adrelid) AS standard, col_description(attrelid, attnum) AS comment
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
"""

# Since PostgreSQL 18 a NOT NULL is a constraint as well.
_CONSTRAINTS: Final = """
SELECT conname AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint WHERE conrelid = $1 AND contype IN ('p', 'f', 'u', 'c') ORDER BY contype DESC, 1
"""

_INDEXES: Final = """
SELECT relname AS name, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '') AS definition
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = $1
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
ORDER BY 1
"""

_FUNCTIONS: Final = """
SELECT
    proname AS name, pg_get_function_arguments(oid) AS arguments,
    pg_get_function_result(oid) AS result, obj_description(oid, 'pg_proc') AS comment
FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype
ORDER BY 1
"""


async def describe(connection: asyncpg.Connection) -> str:
    """Write the page from the comments and the catalogue of a migrated database."""
    parts = [_HEAD]
    for relation in await connection.fetch(_RELATIONS):
        kind = "view" if relation["is_view"] else "table"
        parts.append(f"## {relation['name']}\n\nA {kind}. {relation['comment']}.\n")
        parts.append(await _columns(connection, relation["oid"], is_view=relation["is_view"]))
        keys = await connection.fetch(_CONSTRAINTS, relation["oid"])
        indexes = await connection.fetch(_INDEXES, relation["oid"])
        rules = [f"- `{rule['name']}`: `{rule['definition']}`\n" for rule in [*keys, *indexes]]
        if rules:
            parts.append("".join(rules))
    parts.append("## Functions\n")
    parts += [
        f"`{function['name']}({function['arguments']})` gives {function['result']}."
        f" {function['comment']}.\n"
        for function in await connection.fetch(_FUNCTIONS)
    ]
    return "\n".join(parts)


async def _columns(connection: asyncpg.Connection, relation: int, *, is_view: bool) -> str:
    lines = ["| column | type | | |" if not is_view else "| column | type | |"]
    lines.append("| --- | --- | --- | --- |" if not is_view else "| --- | --- | --- |")
    for column in await connection.fetch(_COLUMNS, relation):
        rules = "not null" if column["required"] else ""
        if column["standard"]:
            rules += f", default `{column['standard']}`"
        cells = [f"`{column['name']}`", column["type"], *([] if is_view else [rules])]
        lines.append(f"| {' | '.join([*cells, column['comment']])} |")
    return "".join(f"{line}\n" for line in lines)
