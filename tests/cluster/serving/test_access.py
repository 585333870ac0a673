import pytest

from mien.cluster.serving.access import Door, check_token, is_loopback
from mien.config import MienError

TOKEN = "correct horse battery"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    check_token(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", ""])
def test_any_other_host_does(host: str) -> None:
    with pytest.raises(MienError, match="put a token of 16 characters or more into MIEN_SERVE_TOKEN"):
        check_token(host, None)
    with pytest.raises(MienError, match="shorter than 16"):
        check_token(host, "123456789012345")
    check_token(host, TOKEN)


def cookie_of(door: Door) -> str:
    return door.cookie(secure=False).partition(";")[0]


def test_the_token_opens_by_header() -> None:
    door = Door(TOKEN, 1)
    assert door.lets_in(f"Bearer {TOKEN}", "")
    assert door.lets_in(f"bearer {TOKEN}", "")
    for wrong in ("", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ünïcode"):
        assert not door.lets_in(wrong, "")
    assert Door(None, 1).lets_in("", "")
    assert not Door(None, 1).is_token("")


def test_a_cookie_opens_until_it_ends_and_holds_no_token() -> None:
    now = [1e9]
    door = Door(TOKEN, 2, clock=lambda: now[0])
    cookie = cookie_of(door)
    assert TOKEN not in cookie
    assert door.lets_in("", f"a=b; {cookie}; c=d")
    now[0] += 2 * 3600 + 1
    assert not door.lets_in("", cookie)


@pytest.mark.parametrize(
    "forged",
    ["", "mien=", "mien=9999999999-", "mien=9999999999-" + "0" * 64, "mien=nan-x", 'mien="', "mien=²-x"],
)
def test_forged_cookies_do_not(forged: str) -> None:
    assert not Door(TOKEN, 1).lets_in("", forged)


def test_a_cookie_is_for_its_own_end_and_server() -> None:
    door = Door(TOKEN, 1)
    name, _, value = cookie_of(door).partition("=")
    end, _, seal = value.partition("-")
    assert not door.lets_in("", f"{name}={int(end) + 1}-{seal}")
    assert not Door(TOKEN, 1).lets_in("", f"{name}={end}-{seal}")


def test_no_script_reads_the_cookie_and_no_other_site_sends_it() -> None:
    told = Door(TOKEN, 1).cookie(secure=False)
    assert told.endswith("; Max-Age=3600; Path=/; HttpOnly; SameSite=Strict")
    assert Door(TOKEN, 1).cookie(secure=True).endswith("; Secure")
