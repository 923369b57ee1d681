"""What the REST port answers, described for tools: OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

from typing import Any

from serving.settings import Settings

_JSON = {"type": "object"}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_VERBS = {
    "predict": "Outputs of a signature, for rows (`instances`) or columns (`inputs`)",
    "classify": "Classes of tf.Examples; or of images, by the signature classify_bytes",
    "regress": "Values of tf.Examples",
    "embed": "Embeddings of images, by the signature embed_bytes",
    "neighbours": "Nearest rows of images, by the signature neighbours_bytes",
}
_OF_IMAGES = ("classify", "embed", "neighbours")
_OF_BEST = ("predict", "classify", "neighbours")
_OF_JSON = ("predict", "classify", "regress")


def describe(settings: Settings) -> dict[str, Any]:
    """The description of a server with these settings."""
    model = "/v1/models/{model}"
    paths: dict[str, dict[str, Any]] = {
        "/healthz": {"get": _operation("Whether the process lives")},
        "/readyz": {"get": _operation("Whether every model has a version in service")},
        "/models": {"get": _operation("Models, versions, labels and their errors")},
    }
    for served in (model, model + "/versions/{version}", model + "/labels/{label}"):
        paths[served] = {"get": _operation("States of the model's versions", served)}
        paths[f"{served}/metadata"] = {"get": _operation("Signatures", served)}
        for verb, summary in _VERBS.items():
            kinds = [*(["application/json"] if verb in _OF_JSON else [])]
            kinds += ["image/*", "multipart/form-data"] if verb in _OF_IMAGES else []
            k = ("k",) if verb in _OF_BEST else ()
            paths[f"{served}:{verb}"] = {"post": _operation(summary, served, kinds, k)}
    if settings.rows_dir is not None:
        rows, row = f"{model}/rows", f"{model}/rows/{{row}}"
        paths[rows] = {
            "get": _operation("Taught rows, in pages", rows, query=("after", "limit", "label")),
            "post": _operation(
                "Teaches labelled images", rows, ["application/json", "application/x-ndjson"]
            ),
            "delete": _operation("Forgets the rows of a label", rows, query=("label",)),
        }
        paths[f"{rows}:export"] = {
            "get": _operation(
                "Taught rows with their images, in lines",
                rows,
                query=("after", "limit", "label"),
                answer="application/x-ndjson",
            )
        }
        paths[row] = {
            "get": _operation("A taught row with its image", row),
            "delete": _operation("Forgets a row", row),
        }
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Served models", "version": "1"},
        "paths": paths,
    }
    if settings.tokens or settings.admin_tokens:
        scheme = {"type": "http", "scheme": "bearer"}
        described["components"] = {"securitySchemes": {"bearer": scheme}}
        described["security"] = [{"bearer": []}]
    return described


def _operation(
    summary: str,
    path: str = "",
    kinds: list[str] | None = None,
    query: tuple[str, ...] = (),
    answer: str = "application/json",
) -> dict[str, Any]:
    names = [name for name in ("model", "version", "label", "row") if f"{{{name}}}" in path]
    text = {"type": "string"}
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": text} for name in names),
            *({"name": name, "in": "query", "schema": text} for name in query),
        ],
        "responses": {
            "200": {"description": "OK", "content": {answer: {"schema": _JSON}}},
            "default": {
                "description": "Why not",
                "content": {"application/json": {"schema": _ERROR}},
            },
        },
    }
    if kinds:
        content: dict[str, Any] = {
            kind: {"schema": _JSON} if kind == "application/json" else {} for kind in kinds
        }
        operation["requestBody"] = {"required": True, "content": content}
    return operation
