"""The same rounds with the vendor's own async client, for comparison.

A plain script as its documentation shows it: read each list once to know the sids, then send the
rows, those on one entry one after the other, with the client's own retries. Only the host is
rewritten. A call that returns counts as done, a call that raises as failed; after that, the later
rows on the same entry are not sent. Nothing is stopped or resumed.

    VendorClient      the vendor's HTTP client, sending to the sandbox
    run_vendor_round  a round, judged like any other
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from campaign_faults import (
    END_AFTER_S,
    change_of,
    draw_rows,
    draw_weather,
    in_virtual_time,
    scenes_of,
    state_of,
)
from campaign_judge import Answer, Case
from campaign_plan import Held, PlanRow, Scene
from campaign_tally import Tally
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client
from world import World

AT_ONCE = 20
"""Calls in flight per account: what bulkipacl sends by default."""
MAX_RETRIES = 3


class VendorClient(AsyncTwilioHttpClient):  # type: ignore[misc]
    """The vendor's HTTP client, sending everything to another host."""

    def __init__(self, url: str) -> None:
        super().__init__(max_retries=MAX_RETRIES)
        self._url = url

    async def request(self, method: str, url: str, *args: Any, **keywords: Any) -> Any:
        """The same request to the sandbox."""
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return await super().request(method, f"{self._url}{parts.path}{query}", *args, **keywords)


class _Account:
    """The script, for one account: `sids` is what it knows of the lists, by list and place."""

    def __init__(self, client: Any) -> None:
        self._lists = client.sip.ip_access_control_lists
        self._permits = asyncio.Semaphore(AT_ONCE)
        self._sids: dict[str, dict[tuple[str, int], tuple[str, str]]] = {}

    async def read(self, scenes: Iterable[Scene]) -> None:
        """Learn which entries there are; a reading that fails is asked for again."""
        for scene in scenes:
            addresses = self._lists(scene.list_sid).ip_addresses
            while scene.list_sid not in self._sids:
                try:
                    entries = await addresses.list_async(page_size=1000)
                except Exception:  # noqa: S112 - the script wants its list
                    continue
                self._sids[scene.list_sid] = {
                    (e.ip_address, e.cidr_prefix_length): (e.sid, e.friendly_name) for e in entries
                }

    async def send(self, row: PlanRow) -> Answer:
        """One row."""
        try:
            async with self._permits:
                return await self._send(row)
        except Exception as exc:
            return Answer("failed", reason=type(exc).__name__)

    async def _send(self, row: PlanRow) -> Answer:
        sids = self._sids[row.scene.list_sid]
        addresses = self._lists(row.scene.list_sid).ip_addresses
        place = row.match or row.address
        key = next((k for k, (s, _) in sids.items() if s == row.sid), None)
        if not row.sid and place is not None and place[:2] in sids:
            key = place[:2]
        if key is None:
            return await self._send_new(row, addresses, sids)
        sid, name = sids[key]
        if row.operation == "create":
            return Answer("unchanged", sid, name, "" if name == row.name else "other_name")
        if row.operation == "delete":
            await addresses(sid).delete_async()
            del sids[key]
            return Answer("deleted", sid, name)
        target = row.address if (row.sid or row.match) and row.address else Held(*key, "")
        if (target[:2], row.name or name) == (key, name):
            return Answer("unchanged", sid, name)
        fields: dict[str, object] = {} if row.name is None else {"friendly_name": row.name}
        if target[:2] != key:
            fields |= {"ip_address": target.ip, "cidr_prefix_length": target.prefix}
        made = await addresses(sid).update_async(**fields)
        del sids[key]
        sids[target[:2]] = (sid, made.friendly_name)
        return Answer("updated", sid, made.friendly_name)

    async def _send_new(self, row: PlanRow, addresses: Any, sids: dict[Any, Any]) -> Answer:
        if row.operation == "delete":
            return Answer("already_gone")
        if row.operation == "update" or row.address is None:
            return Answer("failed", reason="no such entry")
        made = await addresses.create_async(
            friendly_name=row.name,
            ip_address=row.address.ip,
            cidr_prefix_length=row.address.prefix,
        )
        sids[row.address[:2]] = (made.sid, made.friendly_name)
        return Answer("created", made.sid, made.friendly_name)


def _lanes(rows: Sequence[PlanRow]) -> list[list[int]]:
    """The numbers of the rows, by chain."""
    lanes: dict[tuple[str, int], list[int]] = {}
    for number, row in enumerate(rows, start=1):
        lanes.setdefault(row.chain, []).append(number)
    return list(lanes.values())


async def _send_all(
    world: World, scenes: Sequence[Scene], rows: Sequence[PlanRow]
) -> dict[int, list[Answer]]:
    ready, parent = world.sandbox.ready(), world.account()
    http = VendorClient(world.sandbox.url)
    token = ready["accounts"][parent]
    answers: dict[int, list[Answer]] = {}
    accounts = {
        sid: _Account(Client(parent, token, sid, http_client=http))
        for sid in dict.fromkeys(scene.account_sid for scene in scenes)
    }

    async def send(numbers: list[int]) -> None:
        has_failed = False
        for number in numbers:
            row = rows[number - 1]
            # What the script knows of an entry is worth nothing any more once a call failed.
            skipped = Answer("not_attempted", reason="an earlier row failed")
            answer = skipped if has_failed else await accounts[row.scene.account_sid].send(row)
            answers[number] = [answer]
            has_failed = has_failed or answer.outcome == "failed"

    try:
        for sid, account in accounts.items():
            await account.read(scene for scene in scenes if scene.account_sid == sid)
        await asyncio.gather(*(send(numbers) for numbers in _lanes(rows)))
    finally:
        await http.close()
    return answers


async def _play(seed: int, number: int, place: Path) -> Tally:
    weather, tally = draw_weather(seed, number), Tally()
    world = World(place)
    async with world.serving(**weather.switches) as sandbox, asyncio.timeout(END_AFTER_S):
        scenes = scenes_of(sandbox)
        rows = draw_rows(seed, number, weather, scenes)
        answers = await _send_all(world, scenes, rows)
        await sandbox.flush()
        changes = [change_of(e) for e in sandbox.ledger.effects if e.resource == "entry"]
        after = state_of(scenes_of(sandbox))
        tally.judged(Case(rows, answers, state_of(scenes), after, changes), weather.name)
        tally.faults.update(sandbox.stats.faults)
        tally.requests = sandbox.stats.total
    return tally


def run_vendor_round(seed: int, number: int) -> Tally:
    """One round with the vendor's client, judged."""
    with tempfile.TemporaryDirectory() as folder:
        return in_virtual_time(lambda: _play(seed, number, Path(folder)))
