"""The rules under which the API's records change.

Pure: no I/O, no HTTP; the clocks come in with the ledger. Parameters arrive as the API names
them (`FriendlyName`, `IpAddress`, ...), text as sent. A rule that says no raises `Refusal`.

    State   the records of all accounts, and every write to entries and lists; the rarer writes
            to accounts and mappings are in `directory`
"""

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b

from bulkipacl.sandbox.config import SandboxConfig
from bulkipacl.sandbox.ledger import Ledger, Origin, Values
from bulkipacl.sandbox.records import Account, AclList, Domain, Entry, Refusal, not_found

#: IPv4 in dotted decimal (documented); no leading zeros, which some tools read as octal.
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_DOTTED_DECIMAL = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_PREFIX = re.compile("[0-9]{1,2}")

Params = Mapping[str, str]


class State:
    """All accounts. Every write goes through here, late ones and another client's too."""

    def __init__(self, config: SandboxConfig, ledger: Ledger, wall_s: Callable[[], float]) -> None:
        self.config = config
        self.ledger = ledger
        self.wall_s = wall_s
        self.accounts: dict[str, Account] = {}
        self._used_sids: set[str] = set()
        self._order = 0

    # -- finding ---------------------------------------------------------------------------

    def account(self, account_sid: str) -> Account:
        """The account, or a 404."""
        account = self.accounts.get(account_sid)
        if account is None:
            raise not_found(f"/Accounts/{account_sid}")
        return account

    def acl(self, account_sid: str, list_sid: str) -> AclList:
        """The list, or a 404."""
        acl = self.account(account_sid).lists.get(list_sid)
        if acl is None:
            raise not_found(f"/SIP/IpAccessControlLists/{list_sid}")
        return acl

    def entry(self, account_sid: str, list_sid: str, sid: str) -> Entry:
        """The entry, or a 404."""
        entry = self.acl(account_sid, list_sid).entries.get(sid)
        if entry is None:
            raise not_found(f"/SIP/IpAccessControlLists/{list_sid}/IpAddresses/{sid}")
        return entry

    def domain(self, account_sid: str, domain_sid: str) -> Domain:
        """The domain, or a 404."""
        domain = self.account(account_sid).domains.get(domain_sid)
        if domain is None:
            raise not_found(f"/SIP/Domains/{domain_sid}")
        return domain

    # -- making ----------------------------------------------------------------------------

    def new_sid(self, kind: str, *key: str) -> str:
        """A fresh sid, `kind` and 32 hex digits.

        It hashes the seed and what the record is, not a running number, so concurrent creates
        get the same sids in whatever order they arrive.
        """
        nth = 0
        while True:
            text = "\0".join((str(self.config.seed), kind, *key, str(nth)))
            sid = kind + blake2b(text.encode(), digest_size=16).hexdigest()
            if sid not in self._used_sids:
                self._used_sids.add(sid)
                return sid
            nth += 1

    def next_order(self) -> int:
        """The place of the next record."""
        self._order += 1
        return self._order

    # -- entries ---------------------------------------------------------------------------

    def create_entry(
        self, account_sid: str, list_sid: str, params: Params, origin: Origin
    ) -> Entry:
        """Add an entry to a list; Refusal 404 or 400."""
        acl = self.acl(account_sid, list_sid)
        name = self._required(self._name(params), "FriendlyName")
        ip = self._required(self._ip(params), "IpAddress")
        prefix = self._prefix(params) or 32
        if len(acl.entries) >= self.config.max_entries:
            raise Refusal(
                400, 21237, f"An IP access control list holds {self.config.max_entries} addresses"
            )
        values = Values(name, ip, prefix)
        self._check_unique(acl, None, values)
        entry = self.add_entry(acl, name, ip, prefix)
        where = (account_sid, list_sid, entry.sid)
        self.ledger.record(("create", "entry"), where, origin, after=values)
        return entry

    def add_entry(self, acl: AclList, name: str, ip: str, prefix: int = 32) -> Entry:
        """Add an entry without any check or ledger line: what filling uses."""
        now_s = self.wall_s()
        sid = self.new_sid("IP", acl.sid, ip, str(prefix), name)
        entry = acl.entries[sid] = Entry(sid, self.next_order(), ip, prefix, name, now_s, now_s)
        acl.taken[self._key(ip, prefix)] += 1
        return entry

    def update_entry(self, where: tuple[str, str, str], params: Params, origin: Origin) -> Entry:
        """Change what `params` names of an entry, and nothing else; Refusal 404 or 400."""
        account_sid, list_sid, sid = where
        entry = self.entry(account_sid, list_sid, sid)
        name = self._name(params)
        ip = self._ip(params)
        prefix = self._prefix(params)
        if prefix is None and ip is not None and self.config.update_resets_prefix:
            prefix = 32
        before = entry.values
        after = Values(
            before.name if name is None else name,
            before.ip if ip is None else ip,
            before.prefix if prefix is None else prefix,
        )
        acl = self.acl(account_sid, list_sid)
        self._check_unique(acl, entry, after)
        acl.taken[self._key(entry.ip, entry.prefix)] -= 1
        entry.name = after.name
        entry.ip = after.ip or entry.ip
        entry.prefix = after.prefix or entry.prefix
        acl.taken[self._key(entry.ip, entry.prefix)] += 1
        entry.updated_s = self.wall_s()
        self.ledger.record(("update", "entry"), where, origin, before=before, after=after)
        return entry

    def delete_entry(self, where: tuple[str, str, str], origin: Origin) -> None:
        """Remove an entry; Refusal 404. A list's last address goes like any other."""
        entry = self.entry(*where)
        acl = self.acl(where[0], where[1])
        del acl.entries[entry.sid]
        acl.taken[self._key(entry.ip, entry.prefix)] -= 1
        self.ledger.record(("delete", "entry"), where, origin, before=entry.values)

    # -- lists -----------------------------------------------------------------------------

    def create_list(self, account_sid: str, params: Params, origin: Origin) -> AclList:
        """Add a list to an account; Refusal 400."""
        account = self.account(account_sid)
        name = self._required(self._name(params), "FriendlyName")
        if len(account.lists) >= self.config.max_lists:
            raise Refusal(400, 21255, f"An account holds {self.config.max_lists} lists")
        acl = self.add_list(account, name)
        where = (account_sid, acl.sid, acl.sid)
        self.ledger.record(("create", "list"), where, origin, after=Values(name))
        return acl

    def add_list(self, account: Account, name: str) -> AclList:
        """Add a list without any check or ledger line: what filling uses."""
        now_s = self.wall_s()
        sid = self.new_sid("AL", account.sid, name)
        acl = account.lists[sid] = AclList(sid, self.next_order(), name, now_s, now_s)
        return acl

    def rename_list(
        self, account_sid: str, list_sid: str, params: Params, origin: Origin
    ) -> AclList:
        """Give a list another name; Refusal 404 or 400."""
        acl = self.acl(account_sid, list_sid)
        name = self._required(self._name(params), "FriendlyName")
        before, acl.name, acl.updated_s = acl.name, name, self.wall_s()
        where = (account_sid, list_sid, list_sid)
        self.ledger.record(
            ("update", "list"), where, origin, before=Values(before), after=Values(name)
        )
        return acl

    def delete_list(self, account_sid: str, list_sid: str, origin: Origin) -> None:
        """Remove a list with its entries; Refusal 404, or 400 while a domain maps it."""
        acl = self.acl(account_sid, list_sid)
        account = self.accounts[account_sid]
        if any(list_sid in domain.mappings for domain in account.domains.values()):
            raise Refusal(400, 21236, "The IP access control list is mapped to a SIP domain")
        del account.lists[list_sid]
        where = (account_sid, list_sid, list_sid)
        self.ledger.record(("delete", "list"), where, origin, before=Values(acl.name))

    # -- checks ----------------------------------------------------------------------------

    def _invalid(self, message: str) -> Refusal:
        return Refusal(400, self.config.invalid_code, message)

    def _required(self, value: str | None, name: str) -> str:
        if value is None:
            raise self._invalid(f"{name} is required")
        return value

    def _name(self, params: Params) -> str | None:
        name = params.get("FriendlyName")
        # Documented: up to 255 characters. Assumed: an empty one is no name.
        if name is not None and not 0 < len(name) <= 255:
            raise self._invalid("FriendlyName must have 1 to 255 characters")
        return name

    def _ip(self, params: Params) -> str | None:
        ip = params.get("IpAddress")
        # Host bits and private addresses are stored as sent (third-party evidence).
        if ip is not None and not _DOTTED_DECIMAL.fullmatch(ip):
            raise self._invalid("IpAddress is not an IPv4 address in dotted decimal notation")
        return ip

    def _prefix(self, params: Params) -> int | None:
        text = params.get("CidrPrefixLength")
        if text is None:
            return None
        if not _PREFIX.fullmatch(text) or int(text) > 32:
            raise self._invalid("CidrPrefixLength is not a number from 1 to 32")
        # One report says that 0 is stored as 32, without a word.
        return int(text) or 32

    def _key(self, ip: str, prefix: int) -> str:
        return ip if self.config.unique == "ip" else f"{ip}/{prefix}"

    def _check_unique(self, acl: AclList, entry: Entry | None, values: Values) -> None:
        config = self.config
        key = self._key(values.ip or "", values.prefix or 32)
        others = acl.taken[key]
        if entry is not None and self._key(entry.ip, entry.prefix) == key:
            others -= 1
        if others and config.duplicates == "refuse":
            raise Refusal(400, 21235, "The IP access control list already has this IpAddress")
        if config.unique_names and any(
            other.name == values.name for other in acl.entries.values() if other is not entry
        ):
            raise Refusal(400, 21235, "The IP access control list already has this FriendlyName")
