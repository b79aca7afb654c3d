"""Plans: what would happen, kept in a run directory, and carried out from there.

    plan, plan_drafts   take rows in, read every list, send nothing -> Summary
    apply_plan          carry out exactly what was planned -> Summary
    view                what a plan would do -> PlanView
    changes             each row that would change something, or be refused

`plan_drafts` is for rows that a job made; all else is the same for them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest
from pathlib import Path

import orjson

from bulkipacl.engine.admission import note_overrides
from bulkipacl.engine.apply import (
    INVALID_INPUT,
    carry_on,
    run_stage,
    take_in_made,
    take_in_whole,
)
from bulkipacl.engine.beginning import (
    check_host,
    check_inputs,
    check_reports,
    describe_run,
    resolve_credentials,
)
from bulkipacl.engine.decide import Settled
from bulkipacl.engine.job import Inputs, Job, Observer, resume_command
from bulkipacl.engine.planning import APPLIED, MADE, MAKING, read_lists
from bulkipacl.engine.planview import Forecast, JudgedList, judged_lists
from bulkipacl.engine.preview import Step
from bulkipacl.engine.session import Stage
from bulkipacl.errors import UsageError
from bulkipacl.model import Draft, Outcome, SourceInfo, Summary, cidr_text
from bulkipacl.report.plan import SHOWN_LISTS, Change, ListPlan, PlanView
from bulkipacl.settings import Settings
from bulkipacl.store import views
from bulkipacl.store.rundir import RunDirectory


def plan(job: Job, inputs: Inputs, observer: Observer) -> Summary:
    """Take inputs in, read every list that they name, and send nothing else.

    Raises:
        BulkError: it could not begin, or the run directory failed under it.
    """
    check_reports(job)
    check_inputs(inputs)
    with RunDirectory.create(job.run_path) as run:
        describe_run(run, job, "plan", facts={"plan": MAKING})
        return run_stage(run, job, observer, lambda stage: _plan_whole(stage, inputs))


def plan_drafts(
    job: Job,
    sources: Sequence[SourceInfo],
    drafts: Iterable[tuple[int, Draft]],
    observer: Observer,
    *,
    command: str,
    is_generated: bool = True,
) -> Summary:
    """The same for rows that something else than an input made.

    Args:
        drafts: (source number, draft), those of one source together.
        command: the verb that made them.
        is_generated: no person asked for the deletes one by one, so that their caps hold.

    Raises:
        BulkError: it could not begin, or the run directory failed under it.
    """
    check_reports(job)
    facts = {"plan": MAKING, "is_generated": "yes" if is_generated else "no"}
    with RunDirectory.create(job.run_path) as run:
        describe_run(run, job, command, facts=facts)
        return run_stage(run, job, observer, lambda stage: _plan_made(stage, sources, drafts))


def apply_plan(job: Job, observer: Observer) -> Summary:
    """Carry out the plan of a run directory, once: what its lists have become meanwhile decides.

    Raises:
        UsageError: it is no plan, or was applied already, or was made for another host.
        LockedError: another process is at it.
    """
    check_reports(job)
    with RunDirectory.open(job.run_path, is_writable=True) as run:
        _check_appliable(run, job)
        check_host(run, job)
        resolve_credentials(job, run)
        return run_stage(run, job, observer, _carry_out_plan)


def _plan_whole(stage: Stage, inputs: Inputs) -> str:
    rows = take_in_whole(stage, inputs, is_linted=True)
    return INVALID_INPUT if rows is None else read_lists(stage)


def _plan_made(
    stage: Stage, sources: Sequence[SourceInfo], drafts: Iterable[tuple[int, Draft]]
) -> str:
    take_in_made(stage, sources, drafts)
    return read_lists(stage)


def _carry_out_plan(stage: Stage) -> str:
    settings = stage.job.settings
    note_overrides(stage.run, settings)
    kept = orjson.dumps(settings.as_dict()).decode()
    # From here on it was applied: whatever happens now, a resume is what goes on.
    views.set_meta(stage.run, {"plan": APPLIED, "settings": kept})
    return carry_on(stage)


def _check_appliable(run: RunDirectory, job: Job) -> None:
    state = views.get_meta(run, "plan")
    if state == MADE:
        return
    if state == MAKING:
        raise UsageError(
            f"the plan in {run.path} was not finished; nothing of it was sent",
            hint="plan the input again",
        )
    left = views.summary(run).outcomes
    is_open = bool(left.get(Outcome.UNKNOWN) or left.get(Outcome.NOT_ATTEMPTED))
    hint = resume_command(job) if is_open else "`bulkipacl plan` the input again, and apply that"
    if state == APPLIED:
        raise UsageError(f"the plan in {run.path} was applied already", hint=hint)
    raise UsageError(f"{run.path} is a run and not a plan", hint=hint)


def view(path: Path, *, settings: Settings | None = None, job: Job | None = None) -> PlanView:
    """What a plan would do, in figures. Constant memory but for the lists, about 8 us a row.

    Args:
        settings: those to judge by; None: those that it was made with.
        job: whose memory of limits the forecast goes by.

    Raises:
        UsageError: there is no run at `path`.
    """
    with RunDirectory.open(path, is_writable=False) as run, run.reading():
        chosen = settings or _settings_of(run)
        learnt = {}
        if job is not None and job.memory is not None:
            learnt = job.memory.of_host(job.base.origin, time.time())
        outcomes: Counter[Outcome] = Counter()
        outcomes.update(views.settled_rows(run))
        lists: list[ListPlan] = []
        forecast = Forecast(chosen, learnt)
        for judged in judged_lists(run, chosen):
            forecast.add(judged)
            figures = judged.figures()
            outcomes.update(figures.outcomes)
            lists.append(figures)
        seconds = forecast.seconds()
        return PlanView(
            run_dir=str(path),
            rows=views.row_count(run),
            outcomes={outcome: outcomes[outcome] for outcome in Outcome},
            lists=tuple(lists),
            shown=tuple(nlargest(SHOWN_LISTS, lists, key=ListPlan.interest)),
            requests=forecast.requests,
            seconds=seconds,
            unknown_accounts=forecast.unknown,
        )


def changes(path: Path, *, settings: Settings | None = None) -> Iterator[Change]:
    """Each row that would do something or end badly, list by list, in row order."""
    with RunDirectory.open(path, is_writable=False) as run, run.reading():
        for judged in judged_lists(run, settings or _settings_of(run)):
            for step in judged.steps:
                change = _change(judged, step)
                if change is not None:
                    yield change


def _change(judged: JudgedList, step: Step) -> Change | None:
    how = step.decision
    old = new = ""
    if isinstance(how, Settled):
        if how.outcome in (Outcome.UNCHANGED, Outcome.ALREADY_GONE):
            return None
        reason, suggestion = how.reason, how.suggestion
    else:
        reason = suggestion = ""
        old = "" if how.old is None else f"{cidr_text(*how.old.key)} {how.old.name}"
        if step.outcome is not Outcome.DELETED:
            new = f"{cidr_text(*how.wanted.key)} {how.wanted.name}"
    read = judged.read
    return Change(
        row=step.row.number,
        account_sid=read.account_sid,
        list_sid=read.list_sid or read.list_name,
        outcome=step.outcome,
        before=old,
        after=new,
        reason=reason,
        suggestion=suggestion,
    )


def _settings_of(run: RunDirectory) -> Settings:
    return Settings(**orjson.loads(views.get_meta(run, "settings", "{}")))
