"""Lists named by their FriendlyName, looked up: one reading of an account's lists for all of them.

find_sids   pure: names against what the API holds
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bulkipacl.twilio.contract import is_sid


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Why a name does not lead to one list."""

    reason: str
    suggestion: str


def find_sids(
    names: Mapping[int, str], lists: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, str], dict[int, Unnamed]]:
    """The sid for each list number, and why there is none for the others."""
    by_name: dict[str, list[str]] = {}
    for value in lists:
        sid = value.get("sid")
        if isinstance(sid, str) and is_sid(sid, "AL"):
            by_name.setdefault(str(value.get("friendly_name")), []).append(sid)
    sids: dict[int, str] = {}
    missing: dict[int, Unnamed] = {}
    for number, name in names.items():
        found = by_name.get(name, [])
        if len(found) == 1:
            sids[number] = found[0]
        elif found:
            missing[number] = Unnamed(
                "list_name_ambiguous", f"{len(found)} lists have this name: give the list's sid"
            )
        else:
            missing[number] = Unnamed(
                "list_name_not_found", "no list of the account has this name: give its sid"
            )
    return sids, missing
