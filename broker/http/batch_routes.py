"""Routes for batches: jobs of a group whose ends are counted."""

from broker.core.errors import (
    Duplicate,
    IdempotencyMismatch,
    LeaseLost,
    LimitReached,
    NotFound,
    StoreFull,
    WrongState,
)
from broker.http.handlers import batches
from broker.http.request import query_params
from broker.http.route import BATCH, BATCHES, Route
from broker.models.batches import BatchesWrapper, BatchWrapper, MembersWrapper, NewBatchWrapper, NewMembers
from broker.models.jobs import JobsWrapper

KEY = "Idempotency-Key"
TRACE = "traceparent", "tracestate"
REPLAYED = "Idempotency-Replayed"

BATCH_ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        BATCHES,
        batches.create_batch,
        NewBatchWrapper,
        BatchWrapper,
        201,
        (IdempotencyMismatch, LimitReached, Duplicate, StoreFull),
        headers=(KEY, *TRACE),
        answers=(REPLAYED,),
        scope="produce",
    ),
    Route("GET", BATCHES, batches.list_batches, None, BatchesWrapper, query=query_params.BatchesQuery, scope="read"),
    Route(
        "GET",
        BATCH,
        batches.show_batch,
        None,
        BatchWrapper,
        refuses=(NotFound,),
        query=query_params.ShowQuery,
        scope="read",
    ),
    Route(
        "GET",
        BATCH + "/jobs",
        batches.list_members,
        None,
        MembersWrapper,
        refuses=(NotFound,),
        query=query_params.MembersQuery,
        scope="read",
    ),
    Route(
        "POST",
        BATCH + "/jobs",
        batches.add_to_batch,
        NewMembers,
        JobsWrapper,
        201,
        (NotFound, WrongState, LeaseLost, IdempotencyMismatch, LimitReached, Duplicate, StoreFull),
        headers=(KEY, *TRACE),
        answers=(REPLAYED, "Titan-Group-Full"),
        scope="produce",
    ),
    Route("POST", BATCH + "/close", batches.close_batch, None, BatchWrapper, refuses=(NotFound,), scope="produce"),
    Route(
        "POST",
        BATCH + "/cancel",
        batches.cancel_batch,
        None,
        BatchWrapper,
        refuses=(NotFound, WrongState),
        scope="produce",
        act="cancel_batch",
    ),
    Route(
        "POST",
        BATCH + "/retry",
        batches.retry_batch,
        None,
        BatchWrapper,
        201,
        (NotFound, WrongState, LimitReached, StoreFull),
        headers=(KEY,),
        answers=(REPLAYED,),
        scope="produce",
        act="retry_batch",
    ),
)
