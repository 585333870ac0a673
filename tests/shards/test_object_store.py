"""A store that is busy is asked again; one that refuses or is full is named at once."""

import errno
import threading
import time
from collections.abc import Iterator

import pytest

from mien.config import MienError
from mien.shards import object_store as module
from mien.shards.object_store import Ranges, opened, patiently
from tests.object_store import ObjectStore, object_store


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[ObjectStore, str]]:
    with object_store() as made:
        yield made


def length(address: str) -> int:
    files, path = opened(f"{address}/x.bin")
    return patiently(address, lambda: files.open_input_file(path).size())


def test_a_busy_store_is_asked_again_until_it_answers(bucket):
    store, address = bucket
    store.write("x.bin", b"0123456789")
    store.status = 503
    begun = time.monotonic()
    threading.Timer(1.5, lambda: setattr(store, "status", None)).start()
    assert length(address) == 10
    assert time.monotonic() - begun > 1.4


def test_a_store_that_stays_busy_or_is_gone_is_named(bucket, monkeypatch):
    store, address = bucket
    monkeypatch.setattr(module, "PATIENCE_S", 1.0)
    store.status = 503
    try:
        with pytest.raises(MienError, match=r"s3://faces has not answered for 1 s .* goes on"):
            length(address)
    finally:
        store.status = None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(MienError, match="s3://faces has not answered for 1 s"):
        length(address)


def test_a_store_that_refuses_is_not_asked_again(bucket):
    store, address = bucket
    store.status = 403
    begun = time.monotonic()
    try:
        with pytest.raises(MienError, match="s3://faces cannot be used"):
            length(address)
    finally:
        store.status = None
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_place_is_said_at_once(number):
    def full() -> None:
        raise OSError(number, "no room")

    with pytest.raises(MienError, match="/here has no room left"):
        patiently("/here", full)


def test_what_is_missing_is_the_callers_affair(bucket):
    _, address = bucket
    with pytest.raises(FileNotFoundError):
        Ranges(f"{address}/nothing.bin")


@pytest.mark.parametrize("address", ["ftp://x/y", "s3://", "file:///etc/passwd"])
def test_other_addresses_are_refused(address):
    with pytest.raises(MienError, match="give a path or s3://"):
        opened(address)


def test_ranges_are_read_in_any_order_through_an_outage(bucket):
    store, address = bucket
    store.write("y.bin", bytes(range(200)))
    file = Ranges(f"{address}/y.bin")
    assert file.length == 200
    file.seek(150)
    assert file.read(10) == bytes(range(150, 160))
    store.status = 503
    threading.Timer(0.7, lambda: setattr(store, "status", None)).start()
    file.seek(195)
    assert file.read(10) == bytes(range(195, 200))
    assert file.read(10) == b""
