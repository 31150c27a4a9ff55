"""/models: what was trained, version by version, and the aliases that point at it."""

from typing import Annotated

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import Field

from perceptron.layers import as_parameters, from_bytes
from schemas.base import Record
from schemas.errors import InvalidField
from schemas.model import (
    Alias,
    AliasName,
    AliasUpdate,
    ModelPage,
    ModelParameters,
    ModelSummary,
    ModelVersion,
    VersionPage,
)
from schemas.page import PageQuery
from service import requests
from service.context import storage
from service.problems import documented
from service.responses import json_response, no_content
from storage.models import LATEST

blueprint = APIBlueprint(
    "models", __name__, abp_tags=[Tag(name="models", description="Trained models")]
)


MAX_DIGITS = 9


class ModelPath(Record):
    """Which model."""

    name: str


class VersionPath(ModelPath):
    """Which version."""

    version: Annotated[int, Field(ge=1)] | AliasName
    """A number or an alias."""


class AliasPath(ModelPath):
    """Which alias."""

    alias: AliasName


@blueprint.get("/models", responses={200: ModelPage, **documented()})
def list_models(query: PageQuery) -> Response:
    """List models by name."""
    found, has_more = storage().models.page(query.after, query.limit)
    first, last = (found[0].name, found[-1].name) if found else (None, None)
    page = ModelPage(data=tuple(found), first_id=first, last_id=last, has_more=has_more)
    return json_response(page)


@blueprint.get("/models/<name>", responses={200: ModelSummary, **documented(404)})
def get_model(path: ModelPath) -> Response:
    """Report a model's versions and aliases."""
    return json_response(storage().models.get(path.name))


@blueprint.delete("/models/<name>", responses={204: None, **documented(404, 409)})
def delete_model(path: ModelPath) -> Response:
    """Delete a model with all its versions; their numbers are never used again."""
    storage().models.delete(path.name)
    return no_content()


@blueprint.get("/models/<name>/versions", responses={200: VersionPage, **documented(404)})
def list_versions(path: ModelPath, query: PageQuery) -> Response:
    """List a model's versions, newest first; `after` is a version's number."""
    found, has_more = storage().models.versions(path.name, _version_cursor(query), query.limit)
    first, last = (str(found[0].version), str(found[-1].version)) if found else (None, None)
    page = VersionPage(data=tuple(found), first_id=first, last_id=last, has_more=has_more)
    return json_response(page)


@blueprint.get(
    "/models/<name>/versions/<version>", responses={200: ModelVersion, **documented(404)}
)
def get_version(path: VersionPath) -> Response:
    """Report a version with its card: hyperparameters, parameter counts, data, metrics."""
    return json_response(storage().models.version(path.name, path.version))


@blueprint.delete(
    "/models/<name>/versions/<version>", responses={204: None, **documented(404, 409)}
)
def delete_version(path: VersionPath) -> Response:
    """Delete one version and the aliases that point at it."""
    version, _ = storage().models.resolve(path.name, path.version)
    storage().models.delete_version(path.name, version)
    return no_content()


@blueprint.get(
    "/models/<name>/versions/<version>/parameters",
    responses={200: ModelParameters, **documented(404)},
)
def get_version_parameters(path: VersionPath) -> Response:
    """Report what training found: every weight and bias of a version."""
    return _parameters(path.name, path.version)


@blueprint.get("/models/<name>/parameters", responses={200: ModelParameters, **documented(404)})
def get_parameters(path: ModelPath) -> Response:
    """Report every weight and bias of the latest version."""
    return _parameters(path.name, None)


@blueprint.get("/models/<name>/aliases/<alias>", responses={200: Alias, **documented(404)})
def get_alias(path: AliasPath) -> Response:
    """Report where an alias points; the ETag is needed to move it."""
    stored = storage().models.alias(path.name, path.alias)
    return _alias(path, stored.version, stored.etag)


@blueprint.put(
    "/models/<name>/aliases/<alias>",
    responses={200: Alias, 201: Alias, **documented(400, 404, 409, 412, 413, 415, 428)},
)
def set_alias(path: AliasPath, body: AliasUpdate) -> Response:
    """Make an alias, or move it: `If-Match` with its ETag is needed then."""
    _refuse_latest(path.alias)
    stored, is_new = storage().models.set_alias(
        path.name, path.alias, body.version, requests.if_match()
    )
    return _alias(path, stored.version, stored.etag, 201 if is_new else 200)


@blueprint.delete(
    "/models/<name>/aliases/<alias>", responses={204: None, **documented(404, 409, 412, 428)}
)
def delete_alias(path: AliasPath) -> Response:
    """Delete an alias: `If-Match` with its ETag is needed."""
    _refuse_latest(path.alias)
    storage().models.delete_alias(path.name, path.alias, requests.if_match())
    return no_content()


def _parameters(name: str, reference: int | str | None) -> Response:
    version, _ = storage().models.resolve(name, reference)
    weights, _ = storage().models.weights(name, version)
    layers = as_parameters(from_bytes(weights))
    return json_response(ModelParameters(name=name, version=version, layers=layers))


def _alias(path: AliasPath, version: int, etag: str, status: int = 200) -> Response:
    alias = Alias(model=path.name, alias=path.alias, version=version)
    return json_response(alias, status, {"ETag": f'"{etag}"'})


def _refuse_latest(alias: str) -> None:
    if alias == LATEST:
        raise InvalidField("`latest` always points at the newest version", parameter="alias")


def _version_cursor(query: PageQuery) -> int | None:
    if query.after is None:
        return None
    if not query.after.isascii() or not query.after.isdigit() or len(query.after) > MAX_DIGITS:
        raise InvalidField("a version's number", parameter="after")
    return int(query.after)
