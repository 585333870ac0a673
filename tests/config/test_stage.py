"""How a stage fails: a sentence for what the user can mend, a traceback for what is ours."""

import errno
import os
import sys
import tempfile
from pathlib import Path

import pytest

from mien.config import MienError, run_stage


def failing(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MienError("train.workers is 0; raise it."), "error: train.workers is 0; raise it."),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/part.parquet"),
            "error: /data/part.parquet has no room left (No space left on device); make room and run again, "
            "which goes on from what is kept.",
        ),
    ],
)
def test_what_the_user_can_mend_is_a_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str):
    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(SystemExit) as ended:
        run_stage(lambda: failing(error))
    assert ended.value.code == said


def test_a_full_disk_without_a_name_is_one_of_those_that_are_written_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(SystemExit) as ended:
        run_stage(lambda: failing(OSError(errno.ENOSPC, "full")))
    place = str(ended.value.code).removeprefix("error: ").split(" has no room left")[0]
    assert place in (str(Path.cwd()), tempfile.gettempdir())


def test_anything_else_is_not_swallowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(PermissionError):
        run_stage(lambda: failing(PermissionError(errno.EACCES, "no")))
