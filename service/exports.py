"""/models/<name>/onnx, /safetensors and /card: taking a model away."""

import hashlib
from typing import Any

from flask import Response
from flask_openapi3 import Tag
from werkzeug.http import parse_etags

from perceptron.cards import markdown
from schemas.errors import Unavailable
from schemas.media_types import BYTES, MARKDOWN
from schemas.model import ModelCard
from service import apart
from service.context import storage
from service.exporting import ModelRequest
from service.hosts import base_url
from service.models import ModelPath, VersionPath, in_language
from service.openapi import Blueprint, answers, headers
from service.problems import documented
from service.requests import FileHeaders, LanguageHeaders, wants
from service.responses import json_response

blueprint = Blueprint(
    "exports", __name__, abp_tags=[Tag(name="models", description="Trained models")]
)

LIMITS = apart.Limits(seconds=30)
"""A model of five million parameters takes about two seconds."""

_FILE: dict[str, Any] = {
    "responses": {
        200: {
            "description": "The file",
            "content": {BYTES: {"schema": {"type": "string", "format": "binary"}}},
            **headers("Content-Disposition", "ETag"),
        },
        304: {"description": "The file is the one that the client has", **headers("ETag")},
        **documented(404),
    }
}
_CARD: dict[str, Any] = {
    "responses": {200: ModelCard, **documented(404)},
    "openapi_extensions": answers(
        {
            200: {
                **headers("Content-Language"),
                "content": {MARKDOWN: {"schema": {"type": "string"}}},
            }
        }
    ),
}


@blueprint.get("/models/<name>/versions/<version>/onnx", **_FILE)
def get_version_onnx(path: VersionPath, header: FileHeaders) -> Response:
    """Write a version as ONNX, its preprocessing inside."""
    return _onnx(path.name, path.version, header)


@blueprint.get("/models/<name>/onnx", **_FILE)
def get_onnx(path: ModelPath, header: FileHeaders) -> Response:
    """Write the latest version as ONNX."""
    return _onnx(path.name, None, header)


@blueprint.get("/models/<name>/versions/<version>/safetensors", **_FILE)
def get_version_safetensors(path: VersionPath, header: FileHeaders) -> Response:
    """Give a version's weights and biases as they are stored: safetensors."""
    return _safetensors(path.name, path.version, header)


@blueprint.get("/models/<name>/safetensors", **_FILE)
def get_safetensors(path: ModelPath, header: FileHeaders) -> Response:
    """Give those of the latest version."""
    return _safetensors(path.name, None, header)


@blueprint.get("/models/<name>/versions/<version>/card", **_CARD)
def get_version_card(path: VersionPath, header: LanguageHeaders) -> Response:
    """Report a version's card, or with `Accept: text/markdown` write it as a page."""
    return _card(path.name, path.version, header)


@blueprint.get("/models/<name>/card", **_CARD)
def get_card(path: ModelPath, header: LanguageHeaders) -> Response:
    """Report the latest version's card, or write it as a page."""
    return _card(path.name, None, header)


def _onnx(name: str, reference: int | str | None, header: FileHeaders) -> Response:
    version, _ = storage().models.resolve(name, reference)
    weights, card = storage().models.weights(name, version)
    asked = ModelRequest(name=name, version=version, preprocessing=card.row_preprocessing)
    try:
        data = apart.run("service.exporting", asked.with_weights(weights), LIMITS)
    except apart.Overrun as error:
        raise Unavailable(f"writing the file takes {error}: try again") from None
    return _file(f"{name}-{version}.onnx", data, header)


def _safetensors(name: str, reference: int | str | None, header: FileHeaders) -> Response:
    version, _ = storage().models.resolve(name, reference)
    weights, _ = storage().models.weights(name, version)
    return _file(f"{name}-{version}.safetensors", weights, header)


def _file(filename: str, data: bytes, header: FileHeaders) -> Response:
    """Answer with a file to save; its ETag is its SHA-256."""
    digest = hashlib.sha256(data).hexdigest()
    told = {"ETag": f'"{digest}"', "Cache-Control": "no-cache"}  # kept, and asked for each time
    if parse_etags(header.if_none_match).contains_weak(digest):
        response = Response(status=304, headers=told)
        del response.headers["Content-Type"]
        return response
    told["Content-Disposition"] = f'attachment; filename="{filename}"'
    return Response(data, headers=told, content_type=BYTES)


def _card(name: str, reference: int | str | None, header: LanguageHeaders) -> Response:
    version = in_language(storage().models.version(name, reference), header.language)
    told = {"Content-Language": header.language}
    if wants(MARKDOWN):
        page = markdown(version, base_url())
        return Response(page, headers=told, content_type=f"{MARKDOWN}; charset=utf-8")
    return json_response(version.card, headers=told)
