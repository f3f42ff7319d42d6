"""The control plane as an OpenAPI document, served at ``/openapi.json``: what it takes and answers.

Only what this gateway serves is in it; E2B's own document has more.
"""

from __future__ import annotations

from typing import Any

__all__ = ["document"]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "pattern": "^[a-z0-9]{1,64}$"}
FLAG: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9][a-z0-9.-]{0,60}$"}
SECONDS: Schema = {"type": "integer", "minimum": 0, "maximum": 3600}
PAIRS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def _object(*required: str, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = [*required]
    return schema


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


NEW = _object(
    "templateID",
    templateID={"type": "string", "minLength": 1},
    timeout={"type": "integer", "minimum": 1, "maximum": 3600},
    autoPause=FLAG,
    autoResume=_object(enabled=FLAG),
    allow_internet_access=FLAG,
    metadata=PAIRS,
    envVars=PAIRS,
)
_LISTED = {
    "templateID": TEXT,
    "alias": TEXT,
    "sandboxID": TEXT,
    "clientID": TEXT,
    "startedAt": {"type": "string", "format": "date-time"},
    "endAt": {"type": "string", "format": "date-time"},
    "cpuCount": {"type": "number"},
    "memoryMB": {"type": "number"},
    "diskSizeMB": {"type": "number"},
    "state": {"enum": ["running", "paused"]},
    "envdVersion": TEXT,
    "metadata": PAIRS,
}
SCHEMAS: Schema = {
    "Error": _object("code", "message", code={"type": "integer"}, message=TEXT),
    "NewSandbox": NEW,
    "Sandbox": _object(
        *("templateID", "sandboxID", "envdVersion", "envdAccessToken", "domain"),
        **dict.fromkeys(("templateID", "alias", "sandboxID", "clientID", "envdVersion"), TEXT),
        **dict.fromkeys(("envdAccessToken", "trafficAccessToken", "domain"), TEXT),
    ),
    "Listed": _object("sandboxID", "state", "startedAt", "endAt", "metadata", **_LISTED),
    "Snapshot": _object(
        "snapshotID", "names", snapshotID=TEXT, names={"type": "array", "items": TEXT}
    ),
    "Metrics": _object(
        *("timestamp", "timestampUnix", "cpuCount", "cpuUsedPct", "memUsed", "memTotal"),
        timestamp={"type": "string", "format": "date-time"},
        **{key: {"type": "number"} for key in ("timestampUnix", "cpuCount", "cpuUsedPct")},
        **{key: {"type": "number"} for key in ("memUsed", "memTotal", "memCache")},
        **{key: {"type": "number"} for key in ("diskUsed", "diskTotal")},
    ),
}

MEANINGS = {
    "200": "what was asked for",
    "201": "it was made",
    "202": "it was begun",
    "204": "it was done",
    "400": "the request is wrong",
    "401": "there is no key, or nobody's",
    "404": "there is none, or it is somebody else's",
    "405": "the path knows other methods",
    "408": "the body comes too slowly",
    "409": "it is not in the state for that",
    "413": "the body is too large",
    "422": "the Idempotency-Key was used for another request",
    "429": "a limit of the tenant is reached; Retry-After says when to come again",
    "501": "this gateway, or the provider behind it, does not serve it; the message says why",
}
ALWAYS = ("400", "401", "405", "429", "501")


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _operation(
    summary: str,
    status: str,
    answer: Schema | None = None,
    *others: str,
    body: Schema | None = None,
    needed: bool = False,
    query: dict[str, Schema] | None = None,
    headers: dict[str, Schema] | None = None,
) -> Schema:
    told: Schema = {
        code: {"description": MEANINGS[code], "content": _json(_named("Error"))}
        for code in (*ALWAYS, *others, *(("408", "413") if body else ()))
    }
    for code in status.split():
        told[code] = {"description": MEANINGS[code]}
        if answer is not None:
            told[code]["content"] = _json(answer)
    operation: Schema = {"summary": summary, "responses": told}
    operation["parameters"] = [
        {"name": name, "in": place, "required": False, "schema": schema}
        for place, found in (("query", query or {}), ("header", headers or {}))
        for name, schema in found.items()
    ]
    if body is not None:
        operation["requestBody"] = {"required": needed, "content": _json(body)}
    return operation


def _many(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


PAGE: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
    "nextToken": TEXT,
}
KEY: dict[str, Schema] = {"Idempotency-Key": {"type": "string", "pattern": "^[a-z0-9-]{1,255}$"}}
LIST: dict[str, Schema] = {
    "metadata": TEXT,
    "state": {"enum": ["running", "paused", "running,paused"]},
    "order": {"enum": ["asc", "desc"]},
    "template": TEXT,
    "startedAfter": {"type": "string", "format": "date-time"},
}


def _of_one(base: str) -> dict[str, Schema]:
    made, empty = _named("Sandbox"), _object()
    return {
        base + "/connect": {
            "post": _operation(
                "Use a sandbox, and wake it if it is paused",
                "200 201",
                made,
                "404",
                body=_object(timeout=SECONDS),
            )
        },
        base + "/timeout": {
            "post": _operation(
                "Say how long it is to live from now on",
                "204",
                None,
                "404",
                body=_object("timeout", timeout=SECONDS),
                needed=True,
            )
        },
        base + "/pause": {"post": _operation("Pause it", "204", None, "404", "409", body=empty)},
        base + "/fork": {
            "post": _operation(
                "Make copies of it",
                "201",
                _many(_object(sandbox=made)),
                "404",
                "409",
                body=_object(
                    count={"type": "integer", "minimum": 1, "maximum": 20}, timeout=SECONDS
                ),
            )
        },
        base + "/snapshots": {
            "post": _operation(
                "Save its files",
                "201",
                _named("Snapshot"),
                "404",
                "409",
                body=_object(name={"type": "string", "minLength": 1, "maxLength": 128}),
            )
        },
        base + "/metrics": {
            "get": _operation("What it uses", "200", _many(_named("Metrics")), "404", "409")
        },
    }


def _paths() -> dict[str, Schema]:
    one, listed = "/sandboxes/{sandboxID}", _many(_named("Listed"))
    paths: dict[str, Schema] = {
        "/v2/sandboxes": {
            "post": _operation(
                "Make a sandbox",
                "201",
                _named("Sandbox"),
                "404",
                "422",
                body=_named("NewSandbox"),
                needed=True,
                headers=KEY,
            ),
            "get": _operation("List sandboxes", "200", listed, query={**PAGE, **LIST}),
        },
        one: {
            "get": _operation("What is known of one", "200", _named("Listed"), "404"),
            "delete": _operation("End it", "204", None, "404"),
        },
        **_of_one(one),
        "/snapshots": {
            "get": _operation(
                "List snapshots",
                "200",
                _many(_named("Snapshot")),
                query={**PAGE, "sandboxID": ID, "name": TEXT},
            )
        },
        "/templates/{templateID}": {"delete": _operation("Delete a snapshot", "204", None, "404")},
        "/v3/templates": {
            "post": _operation(
                "Begin to build a template",
                "202",
                _object("templateID", "buildID", templateID=TEXT, buildID=TEXT),
                body=_object("name", name=NAME, tags=_many(NAME)),
                needed=True,
            )
        },
        "/templates/{templateID}/tags": {
            "get": _operation(
                "The tags of a template", "200", _many(_object(tag=TEXT, buildID=TEXT)), "404"
            )
        },
        "/templates/{templateID}/builds/{buildID}/status": {
            "get": _operation(
                "How far a build is",
                "200",
                _object("status", status=TEXT, logEntries=_many({})),
                "404",
            )
        },
        "/templates/aliases/{alias}": {
            "get": _operation(
                "Whether there is something of a name to create from",
                "200",
                _object("templateID", templateID=TEXT, public=FLAG),
                "404",
            )
        },
    }
    for path, item in paths.items():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if names:
            item["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": ID} for name in names
            ]
    return paths


def document() -> Schema:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The control plane of sandboxkit's gateway for E2B's wire",
            "version": "2",
            "description": "What this gateway serves of it. A sandbox's own services are not here.",
        },
        "security": [{"key": []}],
        "paths": _paths(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
        },
    }
