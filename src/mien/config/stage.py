"""How a pipeline script starts and how it fails: one sentence, not a traceback."""

import logging
import sys
from collections.abc import Callable

from mien.config.errors import MienError, out_of_room


def run_stage(main: Callable[..., None]) -> None:
    """Call `main` with the command line's words; a MienError or a full disk is one line and exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main(*sys.argv[1:])
    except MienError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        full = out_of_room(error)
        if full is None:
            raise
        sys.exit(f"error: {full}")
