"""The vendor's own client, unchanged but for the host, as the independent witness."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client


class LocalHttpClient(TwilioHttpClient):  # type: ignore[misc]
    """The vendor's HTTP client, sending everything to another host."""

    def __init__(self, url: str) -> None:
        super().__init__(timeout=10)
        self.host = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """The same request to the sandbox."""
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return super().request(method, f"{self.host}{parts.path}{query}", *args, **kwargs)


def client_of(ready: dict[str, Any], user: str, password: str, ac: str) -> Any:
    """A vendor client for one account."""
    return Client(user, password, ac, http_client=LocalHttpClient(ready["url"]))


@pytest.fixture
def ac(ready: dict[str, Any]) -> str:
    """The parent account."""
    return str(next(iter(ready["accounts"])))


@pytest.fixture
def client(ready: dict[str, Any], ac: str) -> Iterator[Any]:
    """A vendor client with the parent's token."""
    client = client_of(ready, ac, ready["accounts"][ac], ac)
    yield client
    client.http_client.session.close()


@pytest.fixture
def acl(client: Any) -> Any:
    """A new, empty list, by the vendor's client."""
    return client.sip.ip_access_control_lists.create(friendly_name="scratch")


def test_five_operations(client: Any, acl: Any) -> None:
    """Create, fetch, read, update and delete of an entry go through the vendor's client."""
    addresses = client.sip.ip_access_control_lists(acl.sid).ip_addresses
    made = addresses.create(friendly_name="né w", ip_address="203.0.113.7", cidr_prefix_length=24)
    assert (made.ip_address, made.cidr_prefix_length) == ("203.0.113.7", 24)
    assert made.ip_access_control_list_sid == acl.sid
    assert addresses(made.sid).fetch().friendly_name == "né w"
    assert made.date_created.year >= 2024
    changed = addresses(made.sid).update(friendly_name="other")
    assert (changed.ip_address, changed.friendly_name) == ("203.0.113.7", "other")
    assert [entry.sid for entry in addresses.list()] == [made.sid]
    assert addresses(made.sid).delete() is True
    assert addresses.list() == []


def test_paging(client: Any, ready: dict[str, Any], ac: str) -> None:
    """`stream` and `list` with a small page size read every entry once, in order."""
    addresses = client.sip.ip_access_control_lists(ready["lists"][ac][0]).ip_addresses
    names = [f"entry {number}" for number in range(1, 8)]
    assert [entry.friendly_name for entry in addresses.list(page_size=2)] == names
    assert [entry.friendly_name for entry in addresses.stream(page_size=3)] == names
    assert len(addresses.list(limit=4, page_size=3)) == 4
    first = addresses.page(page_size=5)
    assert len(list(first.next_page())) == 2


def test_lists(client: Any, acl: Any) -> None:
    """A list is renamed, read and deleted."""
    lists = client.sip.ip_access_control_lists
    assert lists(acl.sid).update(friendly_name="renamed").friendly_name == "renamed"
    assert lists(acl.sid).fetch().friendly_name == "renamed"
    assert acl.sid in [one.sid for one in lists.stream(page_size=2)]
    assert lists(acl.sid).delete() is True
    assert acl.sid not in [one.sid for one in lists.list()]


def test_domains(client: Any, acl: Any) -> None:
    """A list is mapped to a domain, cannot be deleted while it is, and is unmapped."""
    (domain,) = client.sip.domains.list()
    mappings = client.sip.domains(domain.sid).auth.calls.ip_access_control_list_mappings
    before = len(mappings.list())
    assert mappings.create(ip_access_control_list_sid=acl.sid).sid == acl.sid
    assert len(mappings.list()) == before + 1
    assert mappings(acl.sid).fetch().friendly_name == "scratch"
    with pytest.raises(TwilioRestException) as caught:
        client.sip.ip_access_control_lists(acl.sid).delete()
    assert (caught.value.status, caught.value.code) == (400, 21236)
    assert mappings(acl.sid).delete() is True
    assert client.sip.ip_access_control_lists(acl.sid).delete() is True


def test_accounts(client: Any, ready: dict[str, Any], ac: str) -> None:
    """The parent sees its subaccounts, by name and by status too."""
    accounts = client.api.accounts
    assert {account.sid for account in accounts.list()} == set(ready["accounts"])
    (named,) = accounts.list(friendly_name="account 2")
    assert named.owner_account_sid == ac
    assert named.auth_token == ready["accounts"][named.sid]
    assert accounts.list(status="suspended") == []
    assert accounts(ac).fetch().status == "active"


def test_unknown_sid(client: Any, acl: Any) -> None:
    """A sid that is not there is 404 with code 20404, whatever the method."""
    address = client.sip.ip_access_control_lists(acl.sid).ip_addresses("IP" + "0" * 32)
    for operation in (address.fetch, address.update, address.delete):
        with pytest.raises(TwilioRestException) as caught:
            operation()
        assert (caught.value.status, caught.value.code) == (404, 20404)


def test_duplicate_and_full(client: Any, acl: Any) -> None:
    """A duplicate is refused with 21235, the entry over a hundred with 21237."""
    addresses = client.sip.ip_access_control_lists(acl.sid).ip_addresses
    for number in range(100):
        addresses.create(friendly_name=f"n{number}", ip_address=f"10.0.0.{number}")
        if number == 0:
            with pytest.raises(TwilioRestException) as caught:
                addresses.create(friendly_name="again", ip_address="10.0.0.0")
            assert (caught.value.status, caught.value.code) == (400, 21235)
    with pytest.raises(TwilioRestException) as caught:
        addresses.create(friendly_name="over", ip_address="10.0.1.1")
    assert (caught.value.status, caught.value.code) == (400, 21237)


def test_wrong_token(ready: dict[str, Any], ac: str) -> None:
    """A wrong pair is 401 with code 20003."""
    client = client_of(ready, ac, "0" * 32, ac)
    with pytest.raises(TwilioRestException) as caught:
        client.sip.ip_access_control_lists.create(friendly_name="a")
    assert (caught.value.status, caught.value.code) == (401, 20003)
    client.http_client.session.close()


def test_api_key(ready: dict[str, Any], ac: str) -> None:
    """An API key works with the vendor's client on its own account."""
    key, secret = ready["api_keys"][ac]
    client = client_of(ready, key, secret, ac)
    assert len(client.sip.ip_access_control_lists.list()) >= 3
    client.http_client.session.close()
