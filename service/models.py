"""/models: what was trained, version by version, and the aliases that point at it."""

from typing import Any

from flask import Response
from flask_openapi3 import Tag

from perceptron.diagnosis import explain
from perceptron.layers import as_parameters, from_bytes
from schemas.base import Identifier, Record
from schemas.errors import InvalidField
from schemas.model import (
    Alias,
    AliasHistory,
    AliasName,
    AliasState,
    AliasUpdate,
    ModelPage,
    ModelParameters,
    ModelSummary,
    ModelVersion,
    ShadowComparisons,
    VersionPage,
    VersionQuery,
    VersionText,
)
from schemas.page import PageQuery
from schemas.training import Language
from service.context import statistics, storage
from service.openapi import Blueprint, answers, headers
from service.problems import documented
from service.requests import ConditionHeaders, LanguageHeaders
from service.responses import json_response, no_content, page_response
from storage.models import LATEST, StoredAlias

blueprint = Blueprint(
    "models", __name__, abp_tags=[Tag(name="models", description="Trained models")]
)


class ModelPath(Record):
    """Which model."""

    name: Identifier


class VersionPath(ModelPath):
    """Which version."""

    version: VersionText
    """A number or an alias."""


class AliasPath(ModelPath):
    """Which alias."""

    alias: AliasName


@blueprint.get(
    "/models",
    responses={200: ModelPage, **documented()},
    openapi_extensions=answers({200: headers("Link")}),
)
def list_models(query: PageQuery) -> Response:
    """List models by name."""
    found, has_more = storage().models.page(query.after, query.limit)
    return page_response(ModelPage.of(found, lambda model: model.name, has_more=has_more))


@blueprint.get("/models/<name>", responses={200: ModelSummary, **documented(404)})
def get_model(path: ModelPath) -> Response:
    """Report a model's versions and aliases."""
    return json_response(storage().models.get(path.name))


@blueprint.delete("/models/<name>", responses={204: None, **documented(404, 409)})
def delete_model(path: ModelPath) -> Response:
    """Delete a model with all its versions; their numbers are never used again."""
    storage().models.delete(path.name)
    return no_content()


@blueprint.get(
    "/models/<name>/versions",
    responses={200: VersionPage, **documented(404)},
    openapi_extensions=answers({200: headers("Link")}),
)
def list_versions(path: ModelPath, query: VersionQuery, header: LanguageHeaders) -> Response:
    """List a model's versions, newest first; `after` is a version's number."""
    found, has_more = storage().models.versions(path.name, query.after, query.limit)
    told = [in_language(version, header.language) for version in found]
    return page_response(VersionPage.of(told, lambda item: str(item.version), has_more=has_more))


@blueprint.get(
    "/models/<name>/versions/<version>", responses={200: ModelVersion, **documented(404)}
)
def get_version(path: VersionPath, header: LanguageHeaders) -> Response:
    """Report a version with its card: hyperparameters, parameter counts, data, metrics."""
    return json_response(
        in_language(storage().models.version(path.name, path.version), header.language)
    )


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


@blueprint.get(
    "/models/<name>/aliases/<alias>",
    responses={200: Alias, **documented(404)},
    openapi_extensions=answers({200: headers("ETag")}),
)
def get_alias(path: AliasPath) -> Response:
    """Report where an alias points; the ETag is needed to move it."""
    return _alias(path, storage().models.alias(path.name, path.alias))


@blueprint.put(
    "/models/<name>/aliases/<alias>",
    responses={200: Alias, 201: Alias, **documented(404, 409, 412, 413, 415, 428)},
    openapi_extensions=answers({200: headers("ETag"), 201: headers("ETag")}),
)
def set_alias(path: AliasPath, header: ConditionHeaders, body: AliasUpdate) -> Response:
    """
    Make an alias, or move it: `If-Match` with its ETag is needed then.

    It points at a version, or splits the traffic by weights, and may have shadows.
    """
    _refuse_latest(path.alias)
    stored, is_new = storage().models.set_alias(path.name, path.alias, body, header.etags)
    return _alias(path, stored, 201 if is_new else 200)


@blueprint.post(
    "/models/<name>/aliases/<alias>/rollback",
    responses={200: Alias, **documented(404, 409, 412, 428)},
    openapi_extensions=answers({200: headers("ETag")}),
)
def roll_back_alias(path: AliasPath, header: ConditionHeaders) -> Response:
    """Put an alias back to what it was before its last move: `If-Match` is needed."""
    _refuse_latest(path.alias)
    return _alias(path, storage().models.roll_back(path.name, path.alias, header.etags))


@blueprint.get(
    "/models/<name>/aliases/<alias>/history",
    responses={200: AliasHistory, **documented(404)},
)
def get_alias_history(path: AliasPath) -> Response:
    """List what an alias was before, the last first: up to a hundred states."""
    states = storage().models.alias_states(path.name, path.alias)
    told = (AliasState(**_told(route), ended_at=ended_at) for route, ended_at in states)
    return json_response(AliasHistory(data=tuple(told)))


@blueprint.get(
    "/models/<name>/versions/<version>/shadows",
    responses={200: ShadowComparisons, **documented(404)},
)
def get_shadows(path: VersionPath) -> Response:
    """Report how often shadow versions said the same as this version."""
    version, _ = storage().models.resolve(path.name, path.version)
    return json_response(ShadowComparisons(data=statistics().shadows(path.name, version)))


@blueprint.delete(
    "/models/<name>/aliases/<alias>", responses={204: None, **documented(404, 409, 412, 428)}
)
def delete_alias(path: AliasPath, header: ConditionHeaders) -> Response:
    """Delete an alias: `If-Match` with its ETag is needed."""
    _refuse_latest(path.alias)
    storage().models.delete_alias(path.name, path.alias, header.etags)
    return no_content()


def in_language(version: ModelVersion, language: Language) -> ModelVersion:
    """Give the card's diagnosis in the language; it is stored in English."""
    if version.card.diagnosis is None:
        return version
    diagnosis = explain(version.card.diagnosis.code, language)
    card = version.card.model_copy(update={"diagnosis": diagnosis})
    return version.model_copy(update={"card": card})


def _parameters(name: str, reference: int | str | None) -> Response:
    version, _ = storage().models.resolve(name, reference)
    weights, _ = storage().models.weights(name, version)
    layers = as_parameters(from_bytes(weights))
    return json_response(ModelParameters(name=name, version=version, layers=layers))


def _alias(path: AliasPath, stored: StoredAlias, status: int = 200) -> Response:
    alias = Alias(model=path.name, alias=path.alias, **_told(stored.route))
    return json_response(alias, status, {"ETag": f'"{stored.etag}"'})


def _told(route: AliasUpdate) -> dict[str, Any]:
    """Give the fields that an alias has in common with what it was."""
    return {**dict(route), "version": route.primary}


def _refuse_latest(alias: str) -> None:
    if alias == LATEST:
        raise InvalidField("`latest` always points at the newest version", parameter="alias")
