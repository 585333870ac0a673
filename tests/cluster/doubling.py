"""Workers for tests of the map: they must lie in a module that Ray's own processes can import."""

import os
import time
from pathlib import Path

import pyarrow as pa

from mien.config import MienError

SCHEMA = pa.schema([pa.field("key", pa.string()), pa.field("value", pa.int64())])


class Doubling:
    """Doubles `value` and leaves a mark for each block; fails at one value while `marks/broken` exists."""

    def __init__(self, marks: str, fails_at: int = -1, sleeps_s: float = 0.0) -> None:
        self.marks, self.fails_at, self.sleeps_s = Path(marks), fails_at, sleeps_s

    def __call__(self, rows: pa.Table) -> pa.Table:
        values = rows.column("value").to_pylist()
        time.sleep(self.sleeps_s)
        if self.fails_at in values and (self.marks / "broken").exists():
            raise MienError("this block is broken; mend it.")
        (self.marks / f"{values[0]}-{os.getpid()}-{time.monotonic_ns()}").touch()
        return pa.table({"key": rows.column("key"), "value": [2 * v for v in values]}, schema=SCHEMA)
