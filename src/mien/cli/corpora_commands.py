"""`mien corpora fetch` as typed."""

from pathlib import Path
from typing import Annotated

import typer


def fetch(
    kind: Annotated[str, typer.Argument(help="A corpus of the papers; `ferplus` has a public part.")],
    into: Annotated[Path, typer.Argument(help="The folder in which the gated parts lie.")],
) -> None:
    """Fetch what is public of a corpus, by its pinned digest; what is gated is never fetched.

    A download that broke off goes on. Then `mien corpora add NAME FOLDER` takes both parts.
    Example: `mien corpora fetch ferplus ~/downloads/fer2013`
    """
    from mien.config.progress import Progress
    from mien.corpora.fetching import fetch_public

    for path in fetch_public(kind, into, Progress(f"fetch {kind}, bytes")):
        print(f"{path} is there, as its owner gives it out")
