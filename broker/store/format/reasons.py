"""Turns facts about a job or a group into reasons, the worst first. Each function knows one status."""

from collections.abc import Callable, Iterator

from msgspec import UNSET, UnsetType

from broker.core.states import FINISHED
from broker.core.timestamps import milliseconds, rfc3339
from broker.core.words import counted
from broker.models.jobs import Job
from broker.models.why import Explanation, WhyReason
from broker.store.format.deadline_reasons import deadline_reasons
from broker.store.format.policies import policy_in
from broker.store.format.prose_times import clock, distance, span
from broker.store.format.rates import rate_in, rate_in_words
from broker.store.format.retry_reasons import not_retried
from broker.store.format.why_facts import Facts, time_or_unset
from broker.store.format.worker_reasons import worker_reasons

LATE_MS = 1000
"""A reaper that is later than this is late, ms."""
ALMOST_FULL = 0.8
"""From this share of a limit on a group says how full it is, as the header Titan-Group-Full does."""
_STOPPERS = {
    *("group_paused", "no_worker_asks", "no_worker_for_image", "out_of_sight", "workers_quiet", "not_in_ready")
}
"""With one of these reasons a job does not get on, so no time is estimated."""


def explanation_of(facts: Facts) -> Explanation:
    """All reasons, and a sentence of the first one."""
    job = facts.job
    status = job.status if job else "queued"
    kinds: dict[str, Callable[[Facts], Iterator[WhyReason]]] = {"delayed": _delayed, "running": _running}
    reasons = list((_finished if status in FINISHED else kinds.get(status, _queued))(facts))
    ahead, eta_s, rate = _estimate(facts, reasons)
    verdict = reasons[0].text
    reasons += _of_budget(facts)
    reasons += _of_batch(facts)
    if eta_s is not UNSET and eta_s > 0:
        verdict += f" About {span(eta_s)} at {rate:.2g} a second."
    if job:
        reasons += deadline_reasons(job, facts.now, is_of_group=facts.is_of_group)
    return Explanation(
        verdict=verdict,
        reasons=reasons,
        now=rfc3339(facts.now),
        job=job.id if job else "",
        ahead=ahead,
        out_per_s=rate,
        eta_s=eta_s,
    )


def _estimate(facts: Facts, reasons: list[WhyReason]) -> tuple[int | UnsetType, float | UnsetType, float | UnsetType]:
    ahead = facts.queued if facts.is_of_group else facts.place
    if ahead is None:
        return UNSET, UNSET, UNSET
    rate = UNSET if facts.out_per_s is None else round(facts.out_per_s, 3)
    is_stopped = not rate or any(reason.code in _STOPPERS for reason in reasons)
    return ahead, UNSET if is_stopped or rate is UNSET else round(ahead / rate, 1), rate


def _queued(facts: Facts) -> Iterator[WhyReason]:
    found = [*_of_group(facts), *worker_reasons(facts), *_of_place(facts)]
    if facts.job is None:
        text = f"No job of {facts.group} is queued: {facts.delayed:,} delayed, {facts.running:,} running."
        found.append(WhyReason(code="nothing_queued", text=text))
    elif not found:
        about = f"The next job of {facts.group}" if facts.is_of_group else "It is the next job, and"
        found.append(WhyReason(code="next_up", text=f"{about} may be taken at any moment."))
    yield from found


def _of_group(facts: Facts) -> Iterator[WhyReason]:
    """What the settings of the group forbid."""
    settings, limit, rate = facts.settings, facts.number("max_concurrency"), facts.settings.get("rate_limit")
    if "paused" in settings:
        since, by, note = facts.number("paused_at"), settings.get("paused_by", ""), settings.get("note", "")
        text = f"{facts.group} is paused{f' by {by}' if by else ''}{_ago(facts, since)}{f': {note}' if note else ''}."
        yield WhyReason(code="group_paused", text=text, since=time_or_unset(since), by=by, note=note)
    if limit is not None and facts.running >= limit and facts.job:
        text = f"{facts.group} runs {counted(facts.running, 'job')}, and may run {limit:,}."
        yield WhyReason(code="at_max_concurrency", text=text, n=facts.running, limit=limit, ids=facts.holders)
    if rate is not None and facts.rate_until is not None and facts.job:
        own = rate_in(rate)
        text = f"{facts.group} has reached its rate limit, {rate_in_words(own)}; the next job goes "
        text += f"{distance(facts.rate_until, facts.now)}."
        jobs = own if isinstance(own, int) else own.jobs
        yield WhyReason(code="rate_limited", text=text, limit=jobs, until=time_or_unset(facts.rate_until))


def _of_budget(facts: Facts) -> Iterator[WhyReason]:
    """Whether the group is almost full by its own limits. That is no reason to wait: new jobs are refused."""
    if not facts.is_of_group:
        return
    unfinished = facts.delayed + facts.queued + facts.running
    for what, n, limit in (
        ("unfinished jobs", unfinished, facts.number("max_jobs")),
        ("bytes of unfinished jobs", facts.unfinished_bytes, facts.number("max_bytes")),
    ):
        if limit and n >= ALMOST_FULL * limit:
            text = f"{facts.group} has {n:,} of the {limit:,} {what} that it may have"
            more = "; more are refused (429)." if n >= limit else "."
            yield WhyReason(code="group_full", text=text + more, n=n, limit=limit)


def _of_place(facts: Facts) -> Iterator[WhyReason]:
    """Who is served before the job, and whether the indexes have it."""
    place, limit = facts.place or 0, facts.number("max_concurrency")
    if place:
        text = f"{counted(place, 'job')} of {facts.group} {'is' if place == 1 else 'are'} before it"
        text += ": its keys take turns." if facts.are_keys_fair else "."
        yield WhyReason(code="behind_in_group", text=text, n=place)
    if facts.is_fair and facts.has_rank and facts.job and (facts.groups_ahead or place >= facts.weight):
        yield _of_turns(facts, place)
    elif facts.groups_ahead and facts.job:
        text = f"{counted(facts.groups_ahead, 'group')} {'has' if facts.groups_ahead == 1 else 'have'} a job before it."
        yield WhyReason(code="behind_groups", text=text, n=facts.groups_ahead)
    if facts.waiting_requests:
        text = f"This broker is overloaded: {counted(facts.waiting_requests, 'request')} wait for their turn."
        yield WhyReason(code="broker_sheds", text=text, n=facts.waiting_requests)
    is_held_up = "paused" in facts.settings or facts.rate_until is not None
    has_room = not is_held_up and (limit is None or facts.running < limit)
    if facts.job and has_room and not facts.has_rank:
        text = f"{facts.group} may run it, but is not in the ready index: run titan check --repair."
        yield WhyReason(code="not_in_ready", text=text)


def _of_turns(facts: Facts, place: int) -> WhyReason:
    """Which turn of its group the job has to wait for, and who is served before that."""
    turn, ahead = place // facts.weight + 1, facts.groups_ahead
    text = f"Groups take turns: it has its group's {_ordinal(turn)} turn"
    if ahead:
        text += f", and {counted(ahead, 'group')} {'is' if ahead == 1 else 'are'} before {facts.group}"
    return WhyReason(code="behind_groups", text=f"{text}.", n=ahead)


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"


def _delayed(facts: Facts) -> Iterator[WhyReason]:
    job, due_at = facts.job, facts.due_at
    if job is None or due_at is None:
        return
    if job.waits_for:
        yield _of_key(facts, job.waits_for.key) if job.waits_for.key else _of_ties(job, facts.leader)
        return
    late_ms = facts.now - due_at
    if late_ms > LATE_MS:
        text = f"Its delay ended {span(late_ms / 1000)} ago, but no broker has queued it: is a reaper running?"
        yield WhyReason(code="reaper_late", text=text, since=time_or_unset(due_at), n=late_ms // 1000)
    due = f"{'is' if late_ms < 0 else 'was'} due {distance(due_at, facts.now)}"
    if facts.is_released:
        yield WhyReason(
            code="released_until", text=f"It was released with a delay, and {due}.", until=time_or_unset(due_at)
        )
    elif job.attempts:
        text = f"It failed {counted(job.attempts, 'time')}{f', last with {job.reason}' if job.reason else ''}, and "
        text += f"is tried again {distance(due_at, facts.now)}." if late_ms < 0 else f"{due}."
        limit = job.retry.max if job.retry else facts.retry_max
        yield WhyReason(
            code="retry_delay",
            text=text,
            until=time_or_unset(due_at),
            n=job.attempts,
            limit=UNSET if limit is None else limit,
            reason=job.reason or "",
        )
    elif job.retry_of:
        text = f"It retries {job.retry_of}, and {due}."
        yield WhyReason(code="retry_delay", text=text, until=time_or_unset(due_at), job=job.retry_of)
    else:
        yield WhyReason(code="delayed_until", text=f"It is delayed, and {due}.", until=time_or_unset(due_at))


def _of_ties(job: Job, leader: str) -> WhyReason:
    """For which jobs a held job waits; `leader` holds its unique key."""
    n = (job.waits_for.jobs or 0) if job.waits_for else 0
    text = f"It waits for {counted(n, 'job')}"
    if leader:
        text += f", among them {leader}, which has its unique key" if n > 1 else f": {leader}, which has its unique key"
    return WhyReason(code="waits_for_jobs", text=f"{text}.", n=n, ids=(job.after or [])[-10:], job=leader)


def _of_key(facts: Facts, key: str) -> WhyReason:
    """Which jobs have the places of the key for which a held job waits."""
    n, limit, ids = facts.places, facts.most_places, list(facts.place_holders)
    most = "any number" if limit is None else f"{limit:,}"
    text = f"It waits for a place of its key {key}: {counted(n, 'job')} of {most} are queued or run."
    return WhyReason(code="waits_for_key", text=text, n=n, limit=UNSET if limit is None else limit, ids=ids)


def _of_batch(facts: Facts) -> Iterator[WhyReason]:
    """The batch of the job that was asked for. It is no reason to wait, so it comes last."""
    batch = facts.job.batch if facts.job and not facts.is_of_group else UNSET
    if not batch:
        return
    text = f"It is a member of the batch {batch.id}."
    if batch.callback:
        text = f"It is {batch.callback} of the batch {batch.id}, which created it."
    yield WhyReason(code="in_batch", text=text, batch=batch.id)


def _running(facts: Facts) -> Iterator[WhyReason]:
    job = facts.job
    if job is None or not job.expires_at:
        return
    ends_at = milliseconds(job.expires_at)
    late_ms = facts.now - ends_at
    if late_ms > LATE_MS:
        text = f"Its lease ended {span(late_ms / 1000)} ago, but no broker has queued it: is a reaper running?"
        yield WhyReason(code="lease_over", text=text, since=job.expires_at, n=late_ms // 1000)
    worker = next((worker.name for worker in facts.workers if job.id in worker.running), "")
    limit = facts.delivery_limit
    began = f" for {_since(facts, milliseconds(job.started_at))}" if job.started_at else ""
    text = f"It runs{f' on {worker}' if worker else ''}{began}, delivery {job.deliveries} of {limit}; "
    yield WhyReason(
        code="held",
        text=f"{text}its lease {'ends' if late_ms < 0 else 'ended'} {distance(ends_at, facts.now)}.",
        since=job.started_at,
        until=job.expires_at,
        n=job.deliveries,
        limit=limit,
        worker=worker,
    )


def _finished(facts: Facts) -> Iterator[WhyReason]:
    job = facts.job
    if job is None:
        return
    kept_until = facts.kept_until
    text = f"It {'was cancelled' if job.status == 'cancelled' else job.status}"
    text += f" {distance(milliseconds(job.completed_at), facts.now)}" if job.completed_at else ""
    text += f", reason {job.reason}" if job.reason else ""
    text += f", after {counted(job.attempts, 'failure')}" if job.attempts else ""
    text += f"; retried as {job.retry_at}" if job.retry_at else ""
    text += f"; its dead letter is {job.dead_letter.id} in {job.dead_letter.group_name}" if job.dead_letter else ""
    yield WhyReason(
        code="finished",
        text=f"{text}." if kept_until is None else f"{text}; kept until {clock(kept_until, facts.now)}.",
        since=job.completed_at,
        until=time_or_unset(kept_until),
        job=job.retry_at or "",
        status=job.status,
        reason=job.reason or "",
    )
    yield from not_retried(job, policy_in(facts.settings.get("retry", "")))


def _ago(facts: Facts, since: int | None) -> str:
    return "" if since is None else f" for {_since(facts, since)}"


def _since(facts: Facts, since: int) -> str:
    return f"{span((facts.now - since) / 1000)} (since {clock(since, facts.now)})"
