"""Which trace a run belongs to, from whoever began it to the worker that takes it and to its actions.

It is left in Valkey under the run's id, and only where spans are sent at all. Whoever does not find it begins a trace
of their own: it is for those who look on, and nothing depends on it.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from redis.exceptions import RedisError

from core import tracing, valkey
from core.tracing import Span

KEPT_SECONDS = 86_400  # that a run may wait for people and still go on in its trace


def leave(run_id: UUID) -> None:
    """Name the span at hand to whoever takes the run; before it is stored, or they would be there first."""
    if found := tracing.current().traceparent:
        _store({run_id: found})


def begin(runs: Mapping[UUID, Mapping[str, tracing.Value]]) -> dict[UUID, Span]:
    """A span for each run that was taken, with what is said of it, and left there for its actions."""
    if not tracing.on() or not runs:
        return {}
    parents = _find(list(runs))
    spans = {
        run_id: tracing.span("invoke_agent", parent=parents.get(run_id, ""), attributes=said)
        for run_id, said in runs.items()
    }
    _store({run_id: span.traceparent for run_id, span in spans.items()})
    return spans


def acting(run_id: UUID | None, tool: str, said: Mapping[str, tracing.Value]) -> Span:
    """A span for a call of a tool, below its run."""
    if not tracing.on():
        return tracing.NOTHING
    parent = _find([run_id]).get(run_id, "") if run_id else ""
    return tracing.span(f"execute_tool {tool}", parent=parent, attributes=said)


def _key(run_id: UUID) -> str:
    return f"trace:{run_id}"


def _find(run_ids: Sequence[UUID]) -> dict[UUID, str]:
    try:
        found: list[bytes | None] = valkey.quick().mget([_key(one) for one in run_ids])  # type: ignore[assignment]
    except (RedisError, OSError):
        return {}
    return {run_id: value.decode() for run_id, value in zip(run_ids, found, strict=True) if value}


def _store(named: Mapping[UUID, str]) -> None:
    try:
        pipeline = valkey.quick().pipeline(transaction=False)
        for run_id, traceparent in named.items():
            pipeline.set(_key(run_id), traceparent, ex=KEPT_SECONDS)
        pipeline.execute()
    except (RedisError, OSError):
        return  # the trace ends here; the run does not
