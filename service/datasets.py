"""/datasets: tables to train on."""

from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from perceptron import datasets
from schemas.base import Identifier, Record
from schemas.dataset import Dataset, DatasetPage
from schemas.page import PageQuery
from service.openapi import answers, headers
from service.problems import documented
from service.responses import json_response, page_response

blueprint = APIBlueprint(
    "datasets", __name__, abp_tags=[Tag(name="datasets", description="Tables to train on")]
)


class DatasetPath(Record):
    """Which dataset."""

    name: Identifier


@blueprint.get(
    "/datasets",
    responses={200: DatasetPage, **documented()},
    openapi_extensions=answers({200: headers("Link")}),
)
def list_datasets(query: PageQuery) -> Response:
    """List datasets by name."""
    names, has_more = query.choose(datasets.dataset_names())
    found = [datasets.summary(name) for name in names]
    return page_response(DatasetPage.of(found, lambda dataset: dataset.name, has_more=has_more))


@blueprint.get("/datasets/<name>", responses={200: Dataset, **documented(404)})
def get_dataset(path: DatasetPath) -> Response:
    """Report a dataset with its rows."""
    return json_response(datasets.dataset(path.name))
