"""The JSON of records, and pages of them.

    entry_json, list_json, ...   a record as the API shows it
    page                         one page of records, with the uris of its neighbours

A page token names the last record of the page before, so that neither a create nor a delete
between two pages repeats or skips a record.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from bulkipacl.sandbox.records import Account, AclList, Domain, DomainMapping, Entry, Refusal

_TOKEN = re.compile("PT([0-9a-f]{1,16})")
# Documented: 50 by default, 1000 at most.
_DEFAULT_SIZE = 50
_MAX_SIZE = 1000


class _Ordered(Protocol):
    order: int


_Record = TypeVar("_Record", bound=_Ordered)


@lru_cache(maxsize=4096)
def _date(at_s: int) -> str:
    return formatdate(at_s, usegmt=False).replace("-0000", "+0000")


def rfc2822(at_s: float) -> str:
    """Seconds since the epoch as `Mon, 20 Jul 2015 17:27:10 +0000`."""
    return _date(int(at_s))


def list_path(account_sid: str, list_sid: str) -> str:
    """The path of a list, without `.json`."""
    return f"/2010-04-01/Accounts/{account_sid}/SIP/IpAccessControlLists/{list_sid}"


def entry_json(account_sid: str, list_sid: str, entry: Entry) -> dict[str, Any]:
    """An IpAddress as the API shows it."""
    return {
        "account_sid": account_sid,
        "date_created": rfc2822(entry.created_s),
        "date_updated": rfc2822(entry.updated_s),
        "friendly_name": entry.name,
        "ip_access_control_list_sid": list_sid,
        "ip_address": entry.ip,
        "cidr_prefix_length": entry.prefix,
        "sid": entry.sid,
        "uri": f"{list_path(account_sid, list_sid)}/IpAddresses/{entry.sid}.json",
    }


def list_json(account_sid: str, acl: AclList) -> dict[str, Any]:
    """An IpAccessControlList as the API shows it."""
    path = list_path(account_sid, acl.sid)
    return {
        "account_sid": account_sid,
        "date_created": rfc2822(acl.created_s),
        "date_updated": rfc2822(acl.updated_s),
        "friendly_name": acl.name,
        "sid": acl.sid,
        "subresource_uris": {"ip_addresses": f"{path}/IpAddresses.json"},
        "uri": f"{path}.json",
    }


def domain_json(account_sid: str, domain: Domain) -> dict[str, Any]:
    """A SIP domain as the API shows it, the call handling left out."""
    path = f"/2010-04-01/Accounts/{account_sid}/SIP/Domains/{domain.sid}"
    return {
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "auth_type": "IP_ACL" if domain.mappings else "",
        "date_created": rfc2822(domain.created_s),
        "date_updated": rfc2822(domain.created_s),
        "domain_name": domain.name,
        "friendly_name": domain.name,
        "sid": domain.sid,
        "sip_registration": False,
        "secure": False,
        "subresource_uris": {
            "ip_access_control_list_mappings": f"{path}/IpAccessControlListMappings.json"
        },
        "uri": f"{path}.json",
    }


def mapping_json(account_sid: str, acl: AclList, mapping: DomainMapping) -> dict[str, Any]:
    """A mapping as the API shows it: the sid and name of the list, no uri."""
    return {
        "account_sid": account_sid,
        "date_created": rfc2822(mapping.created_s),
        "date_updated": rfc2822(mapping.created_s),
        "friendly_name": acl.name,
        "sid": mapping.sid,
    }


def account_json(account: Account) -> dict[str, Any]:
    """An account as the API shows it, its auth token included (documented, and a trap)."""
    path = f"/2010-04-01/Accounts/{account.sid}"
    return {
        "auth_token": account.auth_token,
        "date_created": rfc2822(account.created_s),
        "date_updated": rfc2822(account.updated_s),
        "friendly_name": account.name,
        "owner_account_sid": account.owner_sid,
        "sid": account.sid,
        "status": account.status,
        "subresource_uris": {},
        "type": "Full",
        "uri": f"{path}.json",
    }


def page(
    key: str,
    path: str,
    query: Sequence[tuple[str, str]],
    records: Iterable[_Record],
    show: Callable[[_Record], dict[str, Any]],
) -> dict[str, Any]:
    """One page as the API answers it; Refusal 400 for a bad PageSize, Page or PageToken.

    Args:
        key: the name of the array.
        path: the request's path, which the page's own uris repeat.
        query: the request's query; what is not about paging stays in the uris.
        records: all records, in order.
        show: makes a record's JSON.
    """
    asked = dict(query)
    size = _whole(asked, "PageSize", _DEFAULT_SIZE, least=1)
    if size > _MAX_SIZE:
        raise Refusal(400, 20007, f"Page size must not be above {_MAX_SIZE}")
    number = _whole(asked, "Page", 0, least=0)
    rows = list(records)
    if "PageToken" in asked:
        after = _token_order(asked["PageToken"])
        start = sum(1 for row in rows if row.order <= after)
    else:
        start = number * size
    shown = rows[start : start + size]
    filters = [pair for pair in query if pair[0] not in ("PageSize", "Page", "PageToken")]

    def uri(page_number: int, token: str | None = None) -> str:
        paging = [("PageSize", str(size)), ("Page", str(page_number))]
        if token:
            paging.append(("PageToken", token))
        return f"{path}?{urlencode(filters + paging)}"

    has_more = start + size < len(rows)
    return {
        key: [show(row) for row in shown],
        "end": start + max(len(shown) - 1, 0),
        "first_page_uri": uri(0),
        "next_page_uri": uri(number + 1, f"PT{shown[-1].order:x}") if has_more else None,
        "page": number,
        "page_size": size,
        "previous_page_uri": uri(number - 1) if number else None,
        "start": start,
        "uri": uri(number, asked.get("PageToken")),
    }


def _whole(asked: dict[str, str], name: str, default: int, *, least: int) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < least:
        raise Refusal(400, 20422, f"{name} is not a number of at least {least}")
    return int(text)


def _token_order(token: str) -> int:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise Refusal(400, 21481, "PageToken is not one that this API gave out")
    return int(match[1], 16)
