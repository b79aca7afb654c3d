"""What a row without an outcome means. It is derived here and nowhere else; see `schema.py`."""

from __future__ import annotations

import orjson

from bulkipacl.model import Outcome, RowResult
from bulkipacl.store.facts import get_meta, sound
from bulkipacl.store.rundir import RunDirectory

_RESUME = "`bulkipacl resume` the run to settle it"
_CARRY_ON = "`bulkipacl resume` the run to carry it out"
_PLAN_AGAIN = "the plan was not finished, and nothing was sent: plan the input again"
_WHY_NOT_ATTEMPTED = {
    "invalid_input": "mend the invalid rows and apply the file again, or use --skip-invalid",
    "planned": "`bulkipacl apply` this run to carry the plan out",
}


class Missing:
    """What rows without an outcome mean in this run, as it stands now."""

    def __init__(self, run: RunDirectory) -> None:
        # The lock first: a run that ends between the two has then said how.
        is_held = run.is_held()
        with sound(run):
            self._ending = get_meta(run, "ending") or ("running" if is_held else "killed")
            self._carry_on = _PLAN_AGAIN if get_meta(run, "plan") == "making" else _CARRY_ON
            self._open: dict[int, int] = dict(
                run.reader.execute("SELECT list_id, last_row FROM snapshot WHERE is_open = 1")
            )
            self._stopped: dict[str, dict[str, object]] = {
                sid: orjson.loads(reason)
                for sid, reason in run.reader.execute(
                    "SELECT sid, stopped FROM account WHERE stopped IS NOT NULL"
                )
            }

    @property
    def ending(self) -> str:
        """How the run ended; `running` or `killed` where it did not say."""
        return self._ending

    def result(self, number: int, list_id: int | None, account_sid: str) -> RowResult:
        """The outcome of a row that has none in the store."""
        if list_id is not None and number <= self._open.get(list_id, 0):
            return RowResult(number, Outcome.UNKNOWN, reason=self._ending, suggestion=_RESUME)
        stop = self._stopped.get(account_sid)
        if stop is not None:
            return RowResult(
                number,
                Outcome.NOT_ATTEMPTED,
                reason=str(stop["reason"]),
                status=int(str(stop["status"])),
                code=int(str(stop["code"])),
                message=str(stop["message"]),
                more_info=str(stop["more_info"]),
                suggestion=str(stop["suggestion"]),
            )
        why = _WHY_NOT_ATTEMPTED.get(self._ending, self._carry_on)
        return RowResult(number, Outcome.NOT_ATTEMPTED, reason=self._ending, suggestion=why)
