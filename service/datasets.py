"""/datasets: tables to train on."""

from flask import Response
from flask_openapi3 import Tag

from perceptron import datasets
from schemas.base import Identifier, Record
from schemas.dataset import Dataset, DatasetPage, DatasetRequest
from schemas.errors import BuiltInDataset
from schemas.page import PageQuery
from service import intake
from service.context import storage
from service.openapi import Blueprint, answers, bodies, headers
from service.problems import documented
from service.responses import json_response, no_content, page_response
from service.uploads import UPLOADS, UploadQuery

blueprint = Blueprint(
    "datasets", __name__, abp_tags=[Tag(name="datasets", description="Tables to train on")]
)


class DatasetPath(Record):
    """Which dataset."""

    name: Identifier


@blueprint.post(
    "/datasets",
    responses={201: Dataset, **documented(409, 413, 415, 507)},
    openapi_extensions=answers({201: headers("Location")}) | bodies(DatasetRequest, UPLOADS),
)
def create_dataset(query: UploadQuery) -> Response:
    """
    Store a table: a CSV, Parquet or NDJSON file, records, or rows to draw.

    A file is the whole body, described by the query, or the part `file` of a form. Records and
    samples are JSON. The columns' kinds are inferred, unless `columns` says otherwise.
    """
    dataset = intake.take_in(query)
    return json_response(dataset, 201, {"Location": f"/datasets/{dataset.name}"})


@blueprint.get(
    "/datasets",
    responses={200: DatasetPage, **documented()},
    openapi_extensions=answers({200: headers("Link")}),
)
def list_datasets(query: PageQuery) -> Response:
    """List datasets by name: the truth tables and the stored ones."""
    stored, more_stored = storage().datasets.page(query.after, query.limit)
    names, more_names = query.choose(datasets.dataset_names())
    found = sorted([*stored, *map(datasets.summary, names)], key=lambda dataset: dataset.name)
    has_more = more_stored or more_names or len(found) > query.limit
    page = found[: query.limit]
    return page_response(DatasetPage.of(page, lambda dataset: dataset.name, has_more=has_more))


@blueprint.get("/datasets/<name>", responses={200: Dataset, **documented(404)})
def get_dataset(path: DatasetPath) -> Response:
    """Report a dataset with its columns and its first rows."""
    return json_response(intake.dataset(path.name, storage()))


@blueprint.delete("/datasets/<name>", responses={204: None, **documented(404, 409)})
def delete_dataset(path: DatasetPath) -> Response:
    """Delete a dataset; models that were trained on it stay, jobs that wait for it fail."""
    if path.name in datasets.dataset_names():
        raise BuiltInDataset(f"{path.name!r} is a built-in dataset and cannot be deleted")
    storage().datasets.delete(path.name)
    return no_content()
