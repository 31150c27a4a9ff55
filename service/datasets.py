"""/datasets: tables to train on."""

from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from perceptron import datasets
from schemas.base import Record
from schemas.dataset import Dataset, DatasetSummary
from schemas.page import Page, PageQuery
from service.problems import documented
from service.responses import json_response

blueprint = APIBlueprint(
    "datasets", __name__, abp_tags=[Tag(name="datasets", description="Tables to train on")]
)

DatasetPage = Page[DatasetSummary]


class DatasetPath(Record):
    """Which dataset."""

    name: str


@blueprint.get("/datasets", responses={200: DatasetPage, **documented(404)})
def list_datasets(query: PageQuery) -> Response:
    """List datasets by name."""
    names = sorted(datasets.dataset_names())
    following = [name for name in names if query.after is None or name > query.after]
    data = tuple(datasets.summary(name) for name in following[: query.limit])
    first, last = (data[0].name, data[-1].name) if data else (None, None)
    has_more = len(following) > query.limit
    return json_response(DatasetPage(data=data, first_id=first, last_id=last, has_more=has_more))


@blueprint.get("/datasets/<name>", responses={200: Dataset, **documented(404)})
def get_dataset(path: DatasetPath) -> Response:
    """Report a dataset with its rows."""
    return json_response(datasets.dataset(path.name))
