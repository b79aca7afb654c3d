"""Every switch of the sandbox, in one frozen value.

It checks ranges and combinations, and reads no command line itself: the parsers of single
switches are `parse_limit`, `parse_limit_steps`, `parse_latency` and `parse_fault`.

    SandboxConfig   the value

What the API does is not documented everywhere. Each doubtful answer is a switch here, so that a
client can be shown right under both: see the comment beside each.
"""

from dataclasses import dataclass, field
from typing import Literal

from bulkipacl.sandbox.faults import Fault, check_faults
from bulkipacl.sandbox.limits import Latency, Limit, LimitSteps


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """The switches; ValueError on construction where one is out of range."""

    # What is there at the start. One parent account, the others its subaccounts.
    accounts: int = 1
    lists: int = 1
    entries: int = 0
    domains: int = 1
    """SIP domains per account; domain n is mapped to list n (to none where there is no such)."""
    hide_domains: bool = False
    """No credential may see SIP domains, as a restricted key may not."""
    suspended: int = 0
    """So many of the last accounts are suspended."""
    seed: int = 0

    # Documented ceilings: 100 addresses a list (an older page says 25), 1000 lists an account.
    max_entries: int = 100
    max_lists: int = 1000

    # Unknown: what a duplicate answers, and whether the prefix counts.
    duplicates: Literal["refuse", "accept"] = "refuse"
    unique: Literal["ip", "ip+prefix"] = "ip+prefix"
    # Unknown: whether a friendly name must be unique in its list.
    unique_names: bool = False
    # Unknown: whether an update with IpAddress alone puts the prefix back to 32.
    update_resets_prefix: bool = False

    # Classic bodies are documented; newer endpoints answer with RFC 9457 ones.
    errors: Literal["classic", "rfc9457"] = "classic"
    # Likely 401 for a wrong pair, perhaps 403.
    auth_status: Literal[401, 403] = 401
    # 20003 is third-party evidence; 20005, 20006 and 20403 are in the dictionary as well.
    suspended_code: int = 20003
    # Assumed: the code for a missing or invalid field.
    invalid_code: int = 21235
    headers: bool = True

    limits: tuple[Limit, ...] = ()
    limit_steps: tuple[LimitSteps, ...] = ()
    others: int = 0
    retry_after_s: float | None = None
    # Unknown: which account a parent's credential is charged to on a subaccount's path.
    charge: Literal["path", "credential"] = "path"
    latency: Latency = field(default_factory=Latency)

    faults: tuple[Fault, ...] = ()
    fault_methods: frozenset[str] | None = None
    late_s: float = 1.0
    hang_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("lists", "entries", "domains", "suspended", "others"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is below 0")
        if self.accounts < 1:
            raise ValueError(f"accounts: {self.accounts} is below 1")
        if self.lists > self.max_lists:
            raise ValueError(f"lists: {self.lists} is above {self.max_lists} per account")
        if self.entries > self.max_entries:
            raise ValueError(f"entries: {self.entries} is above {self.max_entries} per list")
        if self.suspended > self.accounts:
            raise ValueError(f"suspended: {self.suspended} is more than the accounts")
        for name in ("late_s", "hang_s", "retry_after_s"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name}: {value} is not 0 or more")
        self._check_words()
        check_faults(self.faults)

    def _check_words(self) -> None:
        words: dict[str, tuple[object, ...]] = {
            "duplicates": ("refuse", "accept"),
            "unique": ("ip", "ip+prefix"),
            "errors": ("classic", "rfc9457"),
            "auth_status": (401, 403),
            "charge": ("path", "credential"),
        }
        for name, allowed in words.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}: {getattr(self, name)!r} is not {' or '.join(map(str, allowed))}"
                )
        methods = {"GET", "POST", "DELETE"}
        if self.fault_methods is not None and not self.fault_methods <= methods:
            raise ValueError(f"fault methods: {','.join(sorted(self.fault_methods - methods))}?")
