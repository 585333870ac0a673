"""The error that a user sees as one sentence."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""How the system says that a disk, a quota or a file is full."""


class MienError(Exception):
    """Something the user can mend: one sentence that names the key or file and says what to do."""


def out_of_room(error: OSError) -> str | None:
    """The sentence for a disk of this machine that is full; None when something else went wrong."""
    if error.errno not in FULL:
        return None
    places = (Path.cwd(), Path(tempfile.gettempdir()))  # few errors tell the file that was being written
    where = error.filename or min(places, key=lambda place: shutil.disk_usage(place).free)
    return (
        f"{where} has no room left ({os.strerror(error.errno)}); make room and run again, which goes on from "
        "what is kept."
    )
