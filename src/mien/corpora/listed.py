"""The rows that an adapter lists, in little place: as Python's objects a row with points takes 5 kB."""

from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from mien.corpora.rows import AT_ONCE, Row
from mien.manifest.tables import MANIFEST

_FOUND_LATER = ("key", "corpus", "sha256", "offset", "size")


def _loose(column: pa.Field) -> pa.Field:
    """A list of fixed length takes its whole place even where it is null."""
    if pa.types.is_fixed_size_list(column.type):
        return pa.field(column.name, pa.list_(column.type.value_type))
    return column


LISTED = pa.schema(
    [pa.field("name", pa.string())]
    + [_loose(MANIFEST.field(name)) for name in MANIFEST.names if name not in _FOUND_LATER]
)


class Listed:
    """Rows as `Listing` describes them; what is not a column of LISTED is refused."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._tables: list[pa.Table] = []
        self._held: list[Row] = []
        for row in rows:
            self.append(row)

    def append(self, row: Row) -> None:
        """One more row. ValueError: it has a column that nobody would read."""
        if unknown := row.keys() - set(LISTED.names):
            raise ValueError(f"not a column of the manifest: {sorted(unknown)[0]}")
        self._held.append({"name": row["path"]} | row)
        if len(self._held) == AT_ONCE:
            self._pack()

    def extend(self, rows: Iterable[Row]) -> None:
        """Some more rows."""
        for row in rows:
            self.append(row)

    def __len__(self) -> int:
        return sum(map(len, self._tables)) + len(self._held)

    def __iter__(self) -> Iterator[Row]:
        for part in self.table().to_batches(AT_ONCE):
            yield from part.to_pylist()

    def table(self) -> pa.Table:
        """All rows, in the order in which they came."""
        if self._held:
            self._pack()
        self._tables = [pa.concat_tables([LISTED.empty_table(), *self._tables]).combine_chunks()]
        return self._tables[0]

    def paths(self) -> set[str]:
        """The pictures that are listed."""
        return set(self.table()["path"].to_pylist())

    def has(self, column: str) -> bool:
        """Whether any row has a value there."""
        return bool(self.table()[column].null_count < len(self))

    def without(self, paths: Collection[str]) -> "Listed":
        """The rows of other pictures."""
        left, table = Listed(), self.table()
        given = pc.is_in(table["path"], value_set=pa.array(sorted(paths), pa.string()))
        left._tables.append(table.filter(pc.invert(given)))
        return left

    def _pack(self) -> None:
        self._tables.append(pa.Table.from_pylist(self._held, schema=LISTED))
        self._held = []
