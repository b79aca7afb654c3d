"""Requests for what stands around the lists: subaccounts, and the SIP domains that map lists.

    read_accounts   all accounts that a credential owns, itself included
    read_domains    an account's SIP domains;  read_mappings   the lists that one of them maps

All are paged and read only. Source: the vendor's pages on the Account and the SIP Domain resource.
"""

from __future__ import annotations

from bulkipacl.model import Request
from bulkipacl.settings import API_VERSION, PAGE_SIZE
from bulkipacl.twilio.contract import account_path, is_sid


def read_accounts(owner_sid: str) -> Request:
    """The first page of an account and its subaccounts.

    Its body carries their auth tokens: it is never logged, kept or shown. An API key may not read
    it.
    """
    account_path(owner_sid)  # Refuses what is no sid.
    return Request(owner_sid, "GET", f"/{API_VERSION}/Accounts.json?PageSize={PAGE_SIZE}")


def read_domains(account_sid: str) -> Request:
    """The first page of an account's SIP domains."""
    path = f"{account_path(account_sid)}/SIP/Domains.json?PageSize={PAGE_SIZE}"
    return Request(account_sid, "GET", path)


def read_mappings(account_sid: str, domain_sid: str) -> Request:
    """The first page of the lists that a domain maps.

    Raises:
        ValueError: `domain_sid` is none.
    """
    if not is_sid(domain_sid, "SD"):
        raise ValueError("not a domain sid")
    path = f"{account_path(account_sid)}/SIP/Domains/{domain_sid}/Auth/Calls"
    path += f"/IpAccessControlListMappings.json?PageSize={PAGE_SIZE}"
    return Request(account_sid, "GET", path)
