"""Turns in a registry that several machines share: one promotion at a time moves an alias.

MLflow has neither locks nor compare-and-set, but the number of a new model version is unique and rises, and
that is a queue: who wants a turn makes a version of TURNS, who holds the lowest number has the turn, and who
is done deletes it. A process that dies holding one is noticed by the others, by their own clocks: a turn
takes milliseconds, and a number that stays the lowest for LEASE_S is taken out of the queue.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mien.config import MienError

TURNS = "mien-turns"
"""The registered model whose versions are the queue; it has none while nobody waits."""
LEASE_S = 60.0
PATIENCE_S = 900.0  # until a call gives up
_POLL_S = 0.1
_TRIES = 40  # at a database that is busy with others
_ABOUT = "The queue of promotions and rollbacks; no model. A version here is one that waits or is under way."


@dataclass(frozen=True)
class Turn:
    """The right to move aliases, for a while."""

    client: MlflowClient
    number: int  # rises from turn to turn, whoever takes them
    since: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """MienError when the turn has lasted so long that it may have been given to another."""
        if time.monotonic() - self.since > LEASE_S / 2 or self.number not in _waiting(self.client):
            raise MienError("the registry was too slow, and nothing was changed; run the command again.")


@contextmanager
def turn(client: MlflowClient) -> Iterator[Turn]:
    """Wait for a turn and end it. Raises what the client raises; MienError: none came in PATIENCE_S."""
    _ensure_queue(client)
    # a server takes no source in its own store that no run has made
    version = _insist(lambda: client.create_model_version(TURNS, "mien:///turns", await_creation_for=0))
    number = int(version.version)
    try:
        _wait(client, number)
        yield Turn(client, number)
    finally:
        _leave(client, number)


def _wait(client: MlflowClient, number: int) -> None:
    """Until `number` is the lowest; a lowest one that does not move is taken out."""
    until, first, since = time.monotonic() + PATIENCE_S, -1, 0.0
    while time.monotonic() < until:
        ahead = {other for other in _waiting(client) if other < number}
        if not ahead:
            return
        lowest = min(ahead)
        if lowest != first:
            first, since = lowest, time.monotonic()
        elif time.monotonic() - since > LEASE_S:
            _leave(client, lowest)
        time.sleep(_POLL_S * len(ahead) * (0.5 + random.random()))  # a long queue asks seldom
    raise MienError(f"promotions before this one did not end in {PATIENCE_S:.0f} s; run the command again.")


def _waiting(client: MlflowClient) -> set[int]:
    found = _insist(lambda: client.search_model_versions(f"name = '{TURNS}'"))
    return {int(version.version) for version in found}


def _leave(client: MlflowClient, number: int) -> None:
    try:
        _insist(lambda: client.delete_model_version(TURNS, str(number)))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another has taken it out
            raise


def _ensure_queue(client: MlflowClient) -> None:
    try:
        client.get_registered_model(TURNS)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        try:
            _insist(lambda: client.create_registered_model(TURNS, {"made_by": "mien"}, _ABOUT))
        except MlflowException as made:
            if made.error_code != "RESOURCE_ALREADY_EXISTS":  # by another in the meantime
                raise


def _insist(call: Callable[[], Any]) -> Any:
    """Call again when many ask at once: SQLite is locked, or MLflow gives up on a number in three tries."""
    for left in reversed(range(_TRIES)):
        try:
            return call()
        except MlflowException as error:
            busy = "locked" in str(error) or "Giving up after" in str(error)
            if not busy or left == 0:
                raise
        time.sleep(_POLL_S * random.random())
    raise AssertionError
