"""What a row does next: each verdict of the contract, and each reading that settles it."""

from __future__ import annotations

import pytest
from engine_fakes import NO_ANSWER, NOT_SENT, FakeAccount, FakeList, answer, echo, no
from engine_tools import CREATE, DELETE, UPDATE, create, entry, remove, rename

from bulkipacl.engine.decide import Write
from bulkipacl.engine.row import RowWork
from bulkipacl.model import ApiError, Attempt, Entry, Evidence, Operation, Outcome, Row
from bulkipacl.twilio.contract import VerdictKind, judge

A, B = 0x14000001, 0x14000002
OLD, NEW = entry(1, A), entry(1, A, "new")
MADE = entry(9, A, "new")
OTHER = entry(8, B, "new")

WRITES: dict[Operation, tuple[Row, Write]] = {
    CREATE: (create(1, A), Write(CREATE, Entry("", A, 32, "new"))),
    UPDATE: (rename(1, A, "new"), Write(UPDATE, NEW, OLD)),
    DELETE: (remove(1, 1), Write(DELETE, OLD, OLD)),
}


def begun(operation: Operation, *, retries: int = 2) -> tuple[RowWork, FakeList, FakeAccount]:
    """A row of this operation that has been queued and is being sent."""
    account = FakeAccount(retries)
    of_list = FakeList(account, [] if operation is CREATE else [OLD])
    row, write = WRITES[operation]
    work = RowWork(row, [row], of_list)
    work.begin(write)
    assert work.may_send()
    assert work.is_in_flight
    account.log.clear()
    return work, of_list, account


GONE = no(404, 20404)
TAKEN = no(400, 21235)
SICK = no(503, 20503)
READ, READ_NOW = "read after 5", "read after 0"

# Each line: a word | operation | what came back, one attempt after the other | what the row asked
# of its list and of its account, in order.
TABLE: list[tuple[str, Operation, list[Attempt], list[str], list[str]]] = [
    ("done", CREATE, [echo(MADE, 201)], ["created"], []),
    ("done", UPDATE, [echo(NEW)], ["updated"], []),
    ("done", DELETE, [answer(204)], ["deleted"], []),
    ("not sent", CREATE, [NOT_SENT], [], ["again 0"]),
    ("not sent", UPDATE, [NOT_SENT], [], ["again 0"]),
    ("not sent", DELETE, [NOT_SENT], [], ["again 0"]),
    ("never sent", CREATE, [NOT_SENT] * 3, ["failed"], ["again 0", "again 1"]),
    ("never sent", UPDATE, [NOT_SENT] * 3, ["failed"], ["again 0", "again 1"]),
    ("never sent", DELETE, [NOT_SENT] * 3, ["failed"], ["again 0", "again 1"]),
    ("throttled", CREATE, [no(429)] * 5, [], ["throttled"] * 5),
    ("throttled", UPDATE, [no(429)] * 5, [], ["throttled"] * 5),
    ("throttled", DELETE, [no(429)] * 5, [], ["throttled"] * 5),
    ("throttled, then done", CREATE, [no(429), echo(MADE, 201)], ["created"], ["throttled"]),
    ("lost", CREATE, [NO_ANSWER], ["maybe landed", READ], []),
    ("lost", UPDATE, [NO_ANSWER], ["maybe landed"], ["again 0"]),
    ("lost", DELETE, [NO_ANSWER], ["maybe landed"], ["again 0"]),
    ("server error", CREATE, [SICK], ["maybe landed", READ], []),
    ("server error", UPDATE, [SICK], ["maybe landed"], ["again 0"]),
    ("server error", DELETE, [SICK], ["maybe landed"], ["again 0"]),
    ("lost to the end", UPDATE, [NO_ANSWER] * 3, ["maybe landed"] * 3 + [READ],
     ["again 0", "again 1"]),
    ("lost to the end", DELETE, [NO_ANSWER] * 3, ["maybe landed"] * 3 + [READ],
     ["again 0", "again 1"]),
    ("lost, then done", UPDATE, [NO_ANSWER, echo(NEW)], ["maybe landed", "updated"], ["again 0"]),
    ("lost, then not there", DELETE, [NO_ANSWER, GONE], ["maybe landed", "deleted"], ["again 0"]),
    ("lost, then not there", UPDATE, [NO_ANSWER, GONE], ["maybe landed", READ], ["again 0"]),
    ("lost, then refused", UPDATE, [NO_ANSWER, no(400)], ["maybe landed", READ], ["again 0"]),
    ("lost, then not sent", DELETE, [NO_ANSWER, NOT_SENT, NOT_SENT], ["maybe landed", READ],
     ["again 0", "again 1"]),
    ("not there", CREATE, [GONE], ["maybe landed", "doubt"], []),
    ("not there", UPDATE, [GONE], ["failed"], []),
    ("not there", DELETE, [GONE], ["already_gone"], []),
    ("taken", CREATE, [TAKEN], [READ_NOW], []),
    ("taken", UPDATE, [TAKEN], ["failed"], []),
    ("taken", DELETE, [TAKEN], ["failed"], []),
    ("refused", CREATE, [no(400, 21237)], ["failed"], []),
    ("refused", UPDATE, [no(400)], ["failed"], []),
    ("refused", DELETE, [no(405)], ["failed"], []),
    ("conflict", CREATE, [no(409)] * 3, ["failed"], ["again 0", "again 1"]),
    ("conflict", UPDATE, [no(409)], [], ["again 0"]),
    ("conflict", DELETE, [no(409)], [], ["again 0"]),
    ("redirect", CREATE, [answer(303)], ["maybe landed", READ], []),
    ("redirect", UPDATE, [answer(302)], ["maybe landed", READ], []),
    ("redirect", DELETE, [answer(307)], ["maybe landed", READ], []),
    ("credential", CREATE, [no(401)], [], ["refused 401"]),
    ("credential", UPDATE, [no(403)], [], ["refused 403"]),
    ("credential", DELETE, [no(401)], [], ["refused 401"]),
    ("another echo", CREATE, [echo(OTHER, 201)], [READ_NOW], []),
    ("another echo", UPDATE, [echo(OLD)], [READ_NOW], []),
    ("a body without a meaning", CREATE, [answer(201, b"{")], ["maybe landed", READ], []),
    ("a body without a meaning", UPDATE, [answer(200, b"{")], ["maybe landed"], ["again 0"]),
    ("a body", DELETE, [answer(200, b"{}")], ["maybe landed"], ["again 0"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "attempts", "of_list", "of_account"),
    [case[1:] for case in TABLE],
    ids=[f"{case[1].word} {case[0]}" for case in TABLE],
)
def test_what_comes_next(
    operation: Operation, attempts: list[Attempt], of_list: list[str], of_account: list[str]
) -> None:
    """After each answer a row ends, is sent again, or waits for its list: one of these, once."""
    work, its_list, account = begun(operation)
    for attempt in attempts:
        work.answered(attempt)
        assert not work.is_in_flight
    assert its_list.log == of_list
    assert account.log == of_account
    assert work.sends == sum(attempt.status != 429 for attempt in attempts)


def test_every_verdict_is_in_the_table() -> None:
    """No verdict is left out of what the table shows to come next."""
    seen = {
        judge(operation, attempt, WRITES[operation][1].wanted, FakeList.sid, landed).kind
        for _, operation, attempts, _, _ in TABLE
        for attempt in attempts
        for landed in (0, 1)
    }
    assert seen == set(VerdictKind)


FOUND, ELSE = [MADE], [MADE._replace(name="theirs")]

# Each line: a word | operation | what came back before | the reading | how it ends, with what
# evidence and reason; or what it asks of its account instead.
READINGS: list[
    tuple[str, Operation, list[Attempt], list[Entry], tuple[Outcome, Evidence | None, str] | str]
] = [
    ("found", CREATE, [NO_ANSWER], FOUND, (Outcome.CREATED, Evidence.READ_BACK, "")),
    ("not found", CREATE, [NO_ANSWER], [], "again 0"),
    ("somebody else's", CREATE, [NO_ANSWER], ELSE, (Outcome.UNCHANGED, None, "other_name")),
    ("taken by itself", CREATE, [NO_ANSWER, TAKEN], FOUND,
     (Outcome.CREATED, Evidence.READ_BACK, "")),
    ("taken by another", CREATE, [TAKEN], FOUND, (Outcome.UNCHANGED, None, "")),
    ("taken by another name", CREATE, [TAKEN], ELSE, (Outcome.UNCHANGED, None, "other_name")),
    ("taken by nobody", CREATE, [TAKEN], [], (Outcome.FAILED, None, "validation_failed")),
    ("echo, and it is so", CREATE, [echo(OTHER, 201)], [OTHER],
     (Outcome.FAILED, None, "echo_mismatch")),
    ("echo, and it is as asked", CREATE, [echo(OTHER, 201)], [MADE._replace(sid=OTHER.sid)],
     (Outcome.FAILED, None, "echo_mismatch")),
    ("echo, and it is gone", CREATE, [echo(OTHER, 201)], [],
     (Outcome.FAILED, None, "echo_mismatch")),
    ("not there, and it is", CREATE, [GONE], FOUND, (Outcome.CREATED, Evidence.READ_BACK, "")),
    ("not there, and the list is", CREATE, [GONE], [], "again 0"),
    ("not there again and again", CREATE, [GONE] * 3, [], "again 0"),
    ("redirected, and it is there", CREATE, [answer(303)], FOUND,
     (Outcome.CREATED, Evidence.READ_BACK, "")),
    ("redirected, and it is not", CREATE, [answer(303)], [], (Outcome.FAILED, None, "redirected")),
    ("redirected, and it is so", UPDATE, [answer(302)], [NEW],
     (Outcome.UPDATED, Evidence.READ_BACK, "")),
    ("redirected, and it is not", UPDATE, [answer(302)], [OLD],
     (Outcome.FAILED, None, "redirected")),
    ("redirected, and it is gone", DELETE, [answer(308)], [],
     (Outcome.DELETED, Evidence.READ_BACK, "")),
    ("as asked", UPDATE, [NO_ANSWER] * 3, [NEW], (Outcome.UPDATED, Evidence.READ_BACK, "")),
    ("as before", UPDATE, [NO_ANSWER] * 3, [OLD], (Outcome.FAILED, None, "no_answer")),
    ("gone", UPDATE, [NO_ANSWER] * 3, [], (Outcome.FAILED, None, "no_answer")),
    ("gone", DELETE, [NO_ANSWER] * 3, [], (Outcome.DELETED, Evidence.READ_BACK, "")),
    ("still there", DELETE, [SICK] * 3, [OLD], (Outcome.FAILED, None, "server_error")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "attempts", "now", "end"),
    [case[1:] for case in READINGS],
    ids=[f"{case[1].word} {case[0]}" for case in READINGS],
)
def test_what_a_reading_settles(
    operation: Operation,
    attempts: list[Attempt],
    now: list[Entry],
    end: tuple[Outcome, Evidence | None, str] | str,
) -> None:
    """Read back, a row ends by what its list holds; a create that is not there is sent again."""
    work, of_list, account = begun(operation)
    for attempt in attempts:
        work.answered(attempt)
    account.log.clear()
    work.settle(now)
    if isinstance(end, str):
        assert (account.log, of_list.results) == ([end], [])
        return
    (result,) = of_list.results
    assert (result.outcome, result.evidence, result.reason) == end
    assert result.attempts == len(attempts)


@pytest.mark.parametrize(
    ("operation", "now", "is_done"),
    [
        (CREATE, FOUND, True),
        (CREATE, ELSE, False),
        (CREATE, [], False),
        (UPDATE, [NEW], True),
        (UPDATE, [OLD], False),
        (DELETE, [], True),
        (DELETE, [OLD], False),
    ],
)
def test_stopped_on_its_way(operation: Operation, now: list[Entry], is_done: bool) -> None:
    """A row that is not sent any more ends only where its effect can be seen."""
    work, of_list, _ = begun(operation)
    work.answered(NO_ANSWER)
    assert work.recognise(now) is is_done
    assert [r.evidence for r in of_list.results] == [Evidence.READ_BACK] * is_done


def test_a_good_end_forgets_what_was_said_on_the_way() -> None:
    """The status is that of the last answer; earlier errors are no part of the outcome."""
    work, of_list, _ = begun(UPDATE)
    work.answered(SICK._replace(duration_s=0.25, request_id="RQ1"))
    work.answered(echo(NEW)._replace(duration_s=0.5, finished_at=7.0))
    (result,) = of_list.results
    assert (result.status, result.code, result.message, result.reason) == (200, 0, "", "")
    assert (result.attempts, result.duration_ms, result.finished_at) == (2, 750.0, 7.0)
    assert result.request_id == "RQ1"
    assert of_list.state.at((A, 32)) == [NEW]


@pytest.mark.parametrize(
    ("attempts", "reason", "word"),
    [
        ([NOT_SENT] * 3, "not_sent", "could not be reached"),
        ([no(409)] * 3, "conflict", "retry"),
        ([no(400, 21237)], "rejected", "full"),
    ],
)
def test_a_failure_says_what_to_do(attempts: list[Attempt], reason: str, word: str) -> None:
    """What was said is kept as received, beside what to do about it."""
    work, of_list, _ = begun(CREATE)
    for attempt in attempts:
        work.answered(attempt)
    (result,) = of_list.results
    assert result.outcome is Outcome.FAILED
    assert (result.reason, result.status) == (reason, attempts[-1].status)
    assert word in result.suggestion


@pytest.mark.parametrize(
    ("now", "word"),
    [
        ([OTHER], f"holds 20.0.0.2/32 'new' as {OTHER.sid}: it is not what was asked for"),
        ([MADE._replace(sid=OTHER.sid)], "which is what was asked for: only the answer said other"),
        ([], f"holds no entry {OTHER.sid}"),
    ],
)
def test_a_lying_echo_says_what_the_list_holds(now: list[Entry], word: str) -> None:
    """It failed whatever a reading shows, and the suggestion says what that was."""
    work, of_list, _ = begun(CREATE)
    work.answered(echo(OTHER, 201))
    work.settle(now)
    (result,) = of_list.results
    assert (result.outcome, result.reason) == (Outcome.FAILED, "echo_mismatch")
    assert word in result.suggestion


def test_a_404_that_the_list_belies() -> None:
    """It is sent again after each reading, and fails in the end, with what the API said."""
    work, of_list, account = begun(CREATE, retries=1)
    for _ in range(3):
        work.answered(GONE)
        work.settle([])
    assert (account.log, of_list.log[-1]) == (["again 0"], "failed")
    (result,) = of_list.results
    assert (result.reason, result.status, result.code) == ("contradicted", 404, 20404)
    assert "the list can be read" in result.suggestion


@pytest.mark.parametrize("attempts", [[no(429)], [NOT_SENT], [no(409)], [no(401)], [no(403)]])
@pytest.mark.parametrize("operation", WRITES)
def test_what_was_surely_not_processed_is_not_sent(
    operation: Operation, attempts: list[Attempt]
) -> None:
    """It counts as unsent, unless an earlier send of the row may have had its effect."""
    work, of_list, _ = begun(operation)
    for attempt in attempts:
        work.answered(attempt)
    assert of_list.unsent == {1}
    work, of_list, _ = begun(operation)
    for attempt in (NO_ANSWER, *attempts):
        work.answered(attempt)
    assert of_list.unsent == set()


def test_trouble_of_the_account_costs_no_attempt() -> None:
    """While an account as a whole is in trouble its patience decides, and not a row's retries."""
    work, of_list, account = begun(UPDATE)
    account.is_in_trouble = True
    for _ in range(10):
        work.answered(SICK)
    assert account.log == ["again 0"] * 10
    assert not of_list.results


def test_unknown_is_not_certain() -> None:
    """Where the list cannot be read either, what follows on the entry must not be sent."""
    work, of_list, _ = begun(CREATE)
    work.answered(NO_ANSWER)
    work.unknown("unreadable", ApiError(503, 20503, "no"))
    assert of_list.log[-1] == "unknown?"
    assert of_list.results[0].status == 503
    assert "resume" in of_list.results[0].suggestion


def test_a_halted_list_takes_its_rows_back() -> None:
    """A row asks before it is sent, and is not in flight where the answer is no."""
    work, of_list, _ = begun(CREATE)
    of_list.may_send = False
    assert not work.may_send()
    assert not work.is_in_flight
    work.dropped("blocked", ApiError(0))
    assert of_list.log == ["taken back"]
