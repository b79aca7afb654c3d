"""Which fault a request meets: kinds, aliases, and a choice that a seed reproduces.

Pure: nothing here does I/O, and acting a fault out on a connection is `inject`'s job.

    Fault        one switch, KIND=P
    Choice       what one request was dealt: a kind, and how late a late effect lands
    FaultPlan    deals a Choice, or none, to each request

A kind ends in the moment of its effect: `_before` (none at all), `_after` (done, then
the trouble), `_late` (the trouble now, the effect lands seconds later: a cut connection
does not mean that the API has finished).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

#: Kinds that share a name take one of these at random, in equal parts.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "500": ("500_before", "500_after", "500_late"),
    "502": ("502_before", "502_after"),
    "503": ("503_before", "503_after", "503_late"),
    "504": ("504_before", "504_after"),
    "reset": ("reset_before", "reset_after", "reset_late"),
    "hang": ("hang_before", "hang_after", "hang_late"),
    "garbage": ("garbage_before", "garbage_after"),
}

KINDS: tuple[str, ...] = (
    "429",
    *(kind for kinds in ALIASES.values() for kind in kinds),
    "truncated_after",
    "html_503_before",
    "echo_mismatch_after",
    "redirect",
    "slow_after",
    "close_after",
)

_KNOWN = frozenset(KINDS) | frozenset(ALIASES)
_TWO_TO_64 = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Fault:
    """One switch: `probability` (0 to 1) that a request meets `kind` (or one kind of an alias)."""

    kind: str
    probability: float

    def __post_init__(self) -> None:
        if self.kind not in _KNOWN:
            raise ValueError(f"unknown fault {self.kind!r}: one of {', '.join(sorted(_KNOWN))}")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"fault {self.kind}: probability {self.probability} is not in 0..1")


@dataclass(frozen=True, slots=True)
class Choice:
    """The fault dealt to one request; `late_s` matters to `_late` kinds alone."""

    kind: str
    late_s: float

    @property
    def is_late(self) -> bool:
        """Whether the effect lands after the trouble."""
        return self.kind.endswith("_late")

    @property
    def is_after(self) -> bool:
        """Whether the effect lands before the trouble."""
        return self.kind.endswith("_after")

    @property
    def base(self) -> str:
        """The kind without the moment of its effect."""
        return self.kind.removesuffix("_before").removesuffix("_after").removesuffix("_late")


def parse_fault(text: str) -> Fault:
    """Read `KIND=P`, P a probability from 0 to 1; ValueError says what is wrong."""
    kind, sign, number = text.partition("=")
    if not sign:
        raise ValueError(f"fault {text!r}: expected KIND=P, as in 500=0.1")
    try:
        probability = float(number)
    except ValueError:
        raise ValueError(f"fault {text!r}: {number!r} is not a number") from None
    return Fault(kind.strip(), probability)


def check_faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """The faults as a tuple; ValueError where their probabilities add up to more than 1."""
    known = tuple(faults)
    total = sum(fault.probability for fault in known)
    if total > 1.0 + 1e-9:
        raise ValueError(f"fault probabilities add up to {total:g}, more than 1")
    return known


class FaultPlan:
    """Deals faults to requests, the same ones for the same seed.

    The draw hashes (seed, method, path, body, how often that very request came before), so that
    the order in which concurrent requests arrive does not change who is hit.
    """

    def __init__(
        self,
        faults: Iterable[Fault],
        *,
        seed: int = 0,
        methods: Iterable[str] | None = None,
        late_s: float = 1.0,
    ) -> None:
        self.faults = check_faults(faults)
        self.methods = None if methods is None else frozenset(methods)
        self.seed = seed
        self.late_s = late_s
        self._seen: Counter[bytes] = Counter()

    def replace(self, faults: Iterable[Fault]) -> None:
        """Use other faults from the next request on; ValueError as `check_faults`."""
        self.faults = check_faults(faults)

    def choose(self, method: str, path: str, body: bytes) -> Choice | None:
        """The fault that this request meets, if any. `path` includes the query."""
        if not self.faults or (self.methods is not None and method not in self.methods):
            return None
        key = blake2b(f"{self.seed} {method} {path}\n".encode() + body, digest_size=16).digest()
        nth = self._seen[key]
        self._seen[key] = nth + 1
        draw = blake2b(key + nth.to_bytes(8, "big"), digest_size=24).digest()
        hit, which, late = (
            int.from_bytes(draw[start : start + 8], "big") / _TWO_TO_64 for start in (0, 8, 16)
        )
        kind = self._kind_at(hit, which)
        if kind is None or not _applies(kind, method, path):
            return None
        # Never at once: a client that reads back without settling must be caught out.
        return Choice(kind, (0.2 + 0.8 * late) * self.late_s)

    def _kind_at(self, hit: float, which: float) -> str | None:
        for fault in self.faults:
            if hit < fault.probability:
                kinds = ALIASES.get(fault.kind, (fault.kind,))
                return kinds[int(which * len(kinds))]
            hit -= fault.probability
        return None


def _applies(kind: str, method: str, path: str) -> bool:
    """An echo can only differ where an address is echoed: creates and updates of entries."""
    return kind != "echo_mismatch_after" or (method == "POST" and "/IpAddresses" in path)
