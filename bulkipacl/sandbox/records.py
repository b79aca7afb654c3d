"""The records that the API holds, and the answer of a rule that says no.

They carry no behaviour: `state` has the rules, `api` the JSON.

    Refusal                                               a refused request
    Entry, AclList, DomainMapping, Domain, Account        the records

`order` is a record's place among all records ever made; pages go by it.
"""

from collections import Counter
from dataclasses import dataclass, field

from bulkipacl.sandbox.ledger import Values


class Refusal(Exception):  # noqa: N818 - an answer of the API, not an error of the sandbox
    """A rule says no: HTTP `status`, the API's `code`, and a message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_found(what: str) -> Refusal:
    """404 with code 20404, as for every sid that is not there."""
    return Refusal(404, 20404, f"The requested resource {what} was not found")


@dataclass(slots=True)
class Entry:
    """An IpAddress."""

    sid: str
    order: int
    ip: str
    prefix: int
    name: str
    created_s: float
    updated_s: float

    @property
    def values(self) -> Values:
        """The values, as the ledger keeps them."""
        return Values(self.name, self.ip, self.prefix)


@dataclass(slots=True)
class AclList:
    """An IpAccessControlList."""

    sid: str
    order: int
    name: str
    created_s: float
    updated_s: float
    entries: dict[str, Entry] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)
    """How many entries hold each address, by the key that uniqueness goes by."""


@dataclass(slots=True)
class DomainMapping:
    """A list mapped to a domain; its sid is the list's."""

    sid: str
    order: int
    created_s: float


@dataclass(slots=True)
class Domain:
    """A SIP domain, read-only here but for its mappings."""

    sid: str
    order: int
    name: str
    created_s: float
    mappings: dict[str, DomainMapping] = field(default_factory=dict)


@dataclass(slots=True)
class Account:
    """An account with its credentials, which are made up."""

    sid: str
    order: int
    name: str
    owner_sid: str
    auth_token: str
    key_sid: str
    key_secret: str
    created_s: float
    updated_s: float
    status: str = "active"
    lists: dict[str, AclList] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
