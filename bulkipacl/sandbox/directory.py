"""Accounts, domains and mappings: how they are filled in at the start, and their few writes.

It holds no state of its own: each function works on a `State`.

    fill             accounts, lists, entries and domains as the switches say
    create_account   a subaccount
    update_account   another name or status
    map_list         maps a list to a domain
    unmap_list       and the reverse
"""

from hashlib import blake2b
from ipaddress import IPv4Address

from bulkipacl.sandbox.ledger import Origin, Values
from bulkipacl.sandbox.records import Account, Domain, DomainMapping, Refusal, not_found
from bulkipacl.sandbox.state import Params, State

#: Benchmarking (RFC 2544) and documentation (RFC 5737) addresses: nobody's traffic.
_POOLS = (("198.18.0.0", 1 << 17), ("203.0.113.0", 256), ("198.51.100.0", 256), ("192.0.2.0", 256))
_POOL_SIZE = sum(size for _, size in _POOLS)

#: Every secret here starts with this, so that nobody takes one for real.
_FAKE = "fa4efa4e"

_STATUSES = ("active", "suspended", "closed")


def address(index: int) -> str:
    """The `index`-th address of the pools, going round at their end (131,840 addresses)."""
    index %= _POOL_SIZE
    for first, size in _POOLS:
        if index < size:
            return str(IPv4Address(first) + index)
        index -= size
    raise AssertionError("the index was reduced to the pools' size")


def fill(state: State) -> None:
    """One parent account and its subaccounts, with lists, entries and domains; no ledger line."""
    config = state.config
    parent: Account | None = None
    running = 0
    for number in range(1, config.accounts + 1):
        account = add_account(state, f"account {number}", parent)
        parent = parent or account
        if number > config.accounts - config.suspended:
            account.status = "suspended"
        for list_number in range(1, config.lists + 1):
            acl = state.add_list(account, f"list {list_number}")
            for entry_number in range(1, config.entries + 1):
                state.add_entry(acl, f"entry {entry_number}", address(running))
                running += 1
        list_sids = list(account.lists)
        for domain_number in range(1, config.domains + 1):
            domain = _add_domain(state, account, domain_number)
            for list_sid in list_sids[domain_number - 1 : domain_number]:
                domain.mappings[list_sid] = _mapping(state, list_sid)


def add_account(state: State, name: str, parent: Account | None) -> Account:
    """Add an account, with an auth token and one API key that are made up; no ledger line."""
    sid = state.new_sid("AC", name)
    now_s = state.wall_s()
    account = Account(
        sid=sid,
        order=state.next_order(),
        name=name,
        owner_sid=parent.sid if parent else sid,
        auth_token=_secret(sid, "token"),
        key_sid=state.new_sid("SK", sid),
        key_secret=_secret(sid, "key"),
        created_s=now_s,
        updated_s=now_s,
    )
    state.accounts[sid] = account
    return account


def create_account(state: State, owner_sid: str, params: Params, origin: Origin) -> Account:
    """Add a subaccount; the name is optional here."""
    name = params.get("FriendlyName") or "SubAccount"
    account = add_account(state, name, state.account(owner_sid))
    state.ledger.record(
        ("create", "account"), (account.sid, None, account.sid), origin, after=Values(name)
    )
    return account


def update_account(state: State, account_sid: str, params: Params, origin: Origin) -> Account:
    """Change an account's FriendlyName or Status (active, suspended, closed)."""
    account = state.account(account_sid)
    status = params.get("Status", account.status)
    if status not in _STATUSES:
        raise Refusal(400, 20422, "Status must be active, suspended or closed")
    before = Values(account.name)
    account.status = status
    account.name = params.get("FriendlyName") or account.name
    account.updated_s = state.wall_s()
    state.ledger.record(
        ("update", "account"),
        (account_sid, None, account_sid),
        origin,
        before=before,
        after=Values(account.name),
    )
    return account


def map_list(
    state: State, account_sid: str, domain_sid: str, params: Params, origin: Origin
) -> DomainMapping:
    """Map the list that `IpAccessControlListSid` names to a domain; Refusal 404 or 400."""
    domain = state.domain(account_sid, domain_sid)
    list_sid = params.get("IpAccessControlListSid")
    if not list_sid:
        raise Refusal(400, 20422, "IpAccessControlListSid is required")
    acl = state.acl(account_sid, list_sid)
    if list_sid in domain.mappings:
        # Assumed: mapping twice is an invalid request.
        raise Refusal(400, 20422, "The IP access control list is mapped to this domain already")
    mapping = domain.mappings[list_sid] = _mapping(state, list_sid)
    where = (account_sid, list_sid, domain_sid)
    state.ledger.record(("create", "mapping"), where, origin, after=Values(acl.name))
    return mapping


def unmap_list(
    state: State, account_sid: str, domain_sid: str, list_sid: str, origin: Origin
) -> None:
    """Take a list off a domain; Refusal 404."""
    domain = state.domain(account_sid, domain_sid)
    if domain.mappings.pop(list_sid, None) is None:
        raise not_found(f"/SIP/Domains/{domain_sid}/IpAccessControlListMappings/{list_sid}")
    name = state.acl(account_sid, list_sid).name
    where = (account_sid, list_sid, domain_sid)
    state.ledger.record(("delete", "mapping"), where, origin, before=Values(name))


def _add_domain(state: State, account: Account, number: int) -> Domain:
    name = f"d{number}-{account.sid[2:10]}.sip.example.com"
    sid = state.new_sid("SD", account.sid, name)
    domain = account.domains[sid] = Domain(sid, state.next_order(), name, state.wall_s())
    return domain


def _mapping(state: State, list_sid: str) -> DomainMapping:
    return DomainMapping(list_sid, state.next_order(), state.wall_s())


def _secret(sid: str, use: str) -> str:
    # The sid comes from the seed, so the secret does too.
    return _FAKE + blake2b(f"{use} {sid}".encode(), digest_size=12).hexdigest()
