"""Write an export as typed Parquet; pyarrow comes with the extra `acsync[parquet]`."""

from collections.abc import Callable
from typing import IO, Any

from acsync.errors import AcsyncError
from acsync.store.export import Column, Export, read_batches, read_digits

MAX_DIGITS = 38  # of the largest decimal that all readers support


def write_parquet(export: Export, file: IO[bytes], advance: Callable[[int], object]) -> None:
    """Write all rows in groups of 2,000; raise AcsyncError without pyarrow.

    Lists stay lists and JSON is written as text. Numbers keep all their digits: a column becomes
    text if it has a number that no decimal can hold.
    """
    arrow, parquet = _import_arrow()
    digits = read_digits(export)
    schema = arrow.schema(
        [(column.name, _type_of(arrow, column, digits)) for column in export.columns]
    )
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in read_batches(export):
            columns = [
                arrow.array(_as_text(values) if str(kind) == "string" else values, kind)
                for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
            advance(len(rows))


def _as_text(values: tuple[Any, ...]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


def _import_arrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: PLC0415  # an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise AcsyncError(
            "Parquet needs pyarrow, which is not installed.", "Run: pip install 'acsync[parquet]'"
        ) from None
    return pyarrow, parquet


def _type_of(arrow: Any, column: Column, digits: dict[str, tuple[int, int]]) -> Any:
    if column.type == "numeric":
        before, behind = digits[column.name]
        fits = before + behind <= MAX_DIGITS
        return arrow.decimal128(MAX_DIGITS, behind) if fits else arrow.string()
    return {
        "bigint": arrow.int64(),
        "integer": arrow.int32(),
        "boolean": arrow.bool_(),
        "date": arrow.date32(),
        "timestamp without time zone": arrow.timestamp("us"),
        "timestamp with time zone": arrow.timestamp("us", tz="UTC"),
        "text[]": arrow.list_(arrow.string()),
    }.get(column.type, arrow.string())
