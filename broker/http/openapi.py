"""The OpenAPI 3.1 document, made from the route table and the structs that check and encode the bodies."""

from functools import cache
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from broker.core.errors import (
    ERRORS,
    CrossSite,
    Forbidden,
    Invalid,
    Misdirected,
    Overloaded,
    StoreUnavailable,
    TitanError,
    TooLarge,
    TooSlow,
    Unauthorized,
    UnsupportedType,
)
from broker.http.error_responses import RETRY_AFTER_S, STATUS
from broker.http.openapi_examples import example
from broker.http.openapi_schemas import SCHEMAS, components
from broker.http.request.body import FORM, JSON
from broker.http.request.query_params import Query
from broker.http.routes import LOG_TYPES, ROUTES, Route
from broker.models.fields import GROUP_NAME, JOB_ID
from broker.models.results import ProblemWrapper
from broker.models.schedules import SCHEDULE_NAME
from broker.models.unique import UNIQUE_KEY
from broker.models.workers import WORKER_NAME

_HEADERS = {
    "Titan-Lease": "The token from the answer that delivered the job; only the holder of the lease may act on it.",
    "Idempotency-Key": "A repeat with the same key and body gets the first answer again, for a day.",
    "If-Match": "The ETag of an earlier answer: the group or schedule is changed only if it is still the same.",
    "If-None-Match": "`*`: the schedule is created, and refused if there is one with this name.",
    "ETag": "The tag of what it is set to, for If-Match; counts do not change it. That of a schedule is its revision.",
    "Titan-Expires-At": "When the lease ends, RFC 3339.",
    "Idempotency-Replayed": "`true` when the answer repeats the first answer to the Idempotency-Key.",
    "Titan-Group-Full": "From 0.8 on: how full the group is with the new jobs, by its limits of jobs and bytes.",
}
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "Needed where the broker has a file of tokens; the name next to it is the scope of the token.",
}
_PATH = {
    "group_name": ("Name of the group.", f"^{GROUP_NAME}$"),
    "id": ("The job's id.", f"^{JOB_ID}$"),
    "batch": ("The batch's id.", f"^{JOB_ID}$"),
    "bulk": ("The bulk's id.", f"^{JOB_ID}$"),
    "schedule": ("Name of the schedule.", f"^{SCHEDULE_NAME}$"),
    "unique_key": ("The unique key.", f"^{UNIQUE_KEY}$"),
    "worker": ("Name of the worker.", f"^{WORKER_NAME}$"),
}
_TAGS = {
    "jobs": "Enqueue, look, cancel, retry and delete jobs.",
    "batches": "Jobs whose ends are counted, and jobs that are created when they have ended.",
    "consume": "Take jobs, renew their leases and report them.",
    "logs": "Store and read the output of jobs.",
    "groups": "The settings and counts of groups.",
    "schedules": "When groups get new jobs.",
    "bulk": "Do one thing to many jobs.",
    "looking": "See what happens, and why.",
    "workers": "Heartbeats of workers, and orders for them.",
    "broker": "The broker itself: whether it is well, its metrics, its store and this description.",
}
_TAG_OF_MODULE = {
    "jobs": "jobs",
    "delivery": "consume",
    "bulk": "consume",
    "logs": "logs",
    "groups": "groups",
    "bulks": "bulk",
    "looking": "looking",
    "overview": "looking",
    "stats": "looking",
    "live": "looking",
    "schedules": "schedules",
    "unique_keys": "jobs",
    "lanes": "groups",
    "batches": "batches",
    "workers": "workers",
    "brokers": "broker",
    "health": "broker",
    "operators": "broker",
    "settings": "groups",
}
"""The tag of the operations in each module of handlers."""
_DESCRIPTION = """A job broker that any language can use over HTTP.

Every answer of 400 and above has the same body: `error.message` is a sentence for people, `error.fields` names the
invalid part of the request, and `error.code` is one of these words:

"""
_PROXIES = """
The headers `X-Forwarded-For` and `X-Forwarded-Proto` count only when they come from a proxy that the broker trusts
(`--trust-proxy`). Their values never make a request fail."""


@cache
def document(routes: tuple[Route, ...] = ROUTES) -> dict[str, Any]:
    """The whole document of these rows. Each call returns the same object: do not change it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Titan", "version": _version(), "description": _DESCRIPTION + _codes() + _PROXIES},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": {
            path: {route.method.lower(): _operation(route) for route in rows}
            for path, rows in groupby(sorted(routes, key=lambda route: route.path), key=lambda route: route.path)
        },
        "components": {"schemas": _components(routes), "securitySchemes": {"token": _BEARER}},
    }


def _version() -> str:
    try:
        return version("titan-broker")
    except PackageNotFoundError:
        return "0"


def _codes() -> str:
    return "\n".join(f"- {STATUS[error]} `{error.word.lower()}`: {error.sentence}" for error in ERRORS)


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation or route.verb,
        "tags": [_tag(route)],
        "summary": route.summary,
        **_scope(route),
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "security": [{}, {"token": [route.scope]}] if route.scope else [],
        "responses": {**_answers(route), **_refusals(route)},
    }
    if route.takes is not None:
        operation["requestBody"] = _request_body(route)
    return operation


def _tag(route: Route) -> str:
    """The part of the API that the operation belongs to, by the module of its handler."""
    return _TAG_OF_MODULE[route.handler.__module__.rpartition(".")[2]]


def _scope(route: Route) -> dict[str, str]:
    if route.scope is None:
        return {"description": "Needs no token."}
    return {"description": f"Where the broker has a file of tokens, this needs a token with the scope `{route.scope}`."}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "string", "pattern": pattern},
        }
        for name, (text, pattern) in _PATH.items()
        if f"{{{name}}}" in route.path
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    _, schemas = msgspec.json.schema_components((route.query,), ref_template=SCHEMAS)
    return [
        _query_parameter(name, schema) for name, schema in schemas[route.query.__name__].get("properties", {}).items()
    ]


def _query_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """One parameter. It is given or left out, never null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    schema = {key: value for key, value in (choices[0] if choices else schema).items() if value is not None}
    # The description is given twice, since some generators read it in the one place and some in the other.
    return {"name": name, "in": "query", "description": schema.get("description", ""), "schema": schema}


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": _HEADERS[name], "schema": {"type": "string"}}
        for name in route.headers
    ]


def _request_body(route: Route) -> dict[str, Any]:
    upload = {"type": "object", "properties": {"log": {"type": "string", "format": "binary"}}, "required": ["log"]}
    schemas: dict[str, dict[str, Any]] = {
        LOG_TYPES[0]: upload,
        LOG_TYPES[1]: {"type": "string"},
        JSON: _schema(route.takes),
        FORM: _schema(route.takes),
    }
    content: dict[str, dict[str, Any]] = {kind: {"schema": schemas[kind]} for kind in route.types}
    if JSON in content:
        content[JSON] = _with_example(route.takes, is_given=False)
    is_required = route.takes is bytes or _has_required(route.takes)
    return {"required": is_required, "content": content}


@cache
def _with_example(kind: Any, *, is_given: bool) -> dict[str, Any]:
    """The content of a JSON body, of an answer if `is_given`."""
    kinds = (kind,) if _is_struct(kind) else ()
    schema = _schema(kind)
    return {"schema": schema, "example": example(schema, components(*(((), kinds) if is_given else (kinds, ()))))}


def _has_required(kind: Any) -> bool:
    return any(field.required for field in msgspec.structs.fields(kind))


def _answers(route: Route) -> dict[str, Any]:
    statuses = sorted(status for status in (route.status, route.or_status) if status)
    return {str(status): _answer(route, status) for status in statuses}


def _answer(route: Route, status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if route.answers:
        answer["headers"] = {
            name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in route.answers
        }
    if route.gives is str:
        answer["content"] = {route.text_type: {"schema": {"type": "string"}}}
    elif route.status != HTTPStatus.NO_CONTENT:
        answer["content"] = {JSON: _with_example(route.gives, is_given=True)}
    return answer


def _schema(kind: Any) -> dict[str, Any]:
    return {"$ref": SCHEMAS.format(name=kind.__name__)} if _is_struct(kind) else {"type": "object"}


def _refusals(route: Route) -> dict[str, Any]:
    kinds = sorted({*route.refuses, *_common(route)}, key=lambda error: (STATUS[error], error.word))
    return {str(status): _refusal(list(errors)) for status, errors in groupby(kinds, key=lambda error: STATUS[error])}


def _common(route: Route) -> list[type[TitanError]]:
    """The errors that follow from the form of a route, and those that every route can raise."""
    access: list[type[TitanError]] = [Misdirected, *([Unauthorized, Forbidden] if route.scope else [])]
    if route.is_changing:
        access.append(CrossSite)
    if not route.path.startswith("/v1/") or route.verb == "openapi":
        return [TitanError, *access]
    body = [Invalid, UnsupportedType, TooLarge, TooSlow] if route.takes is not None else []
    names = [Invalid] if "{" in route.path or route.query is not Query else []
    return [Overloaded, StoreUnavailable, TitanError, *access, *body, *names]


def _refusal(errors: list[type[TitanError]]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": " ".join(f"`{error.word.lower()}`: {error.sentence}" for error in errors),
        "content": {JSON: {"schema": _schema(ProblemWrapper), "example": _problem(errors[0])}},
    }
    if any(error in RETRY_AFTER_S for error in errors):
        text = "When to try again, in s."
        answer["headers"] = {"Retry-After": {"description": text, "schema": {"type": "integer"}}}
    return answer


def _problem(error: type[TitanError]) -> dict[str, Any]:
    return {"error": {"message": error.sentence, "code": error.word.lower()}}


def _components(routes: tuple[Route, ...]) -> dict[str, Any]:
    taken = [route.takes for route in routes if _is_struct(route.takes)]
    given = [route.gives for route in routes if _is_struct(route.gives)]
    return components(dict.fromkeys(taken), dict.fromkeys([*given, ProblemWrapper]))


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)
