"""The pages' files: language, caches, policy, size, and the hint where there are none."""

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from schemas.dataset import DatasetOptions
from schemas.settings import Settings
from service import ui
from service.app import create_app

WEB = Path(__file__).parents[2] / "web"
FIRST_LOAD_BYTES = 150_000
"""Most that the first page may come to, compressed by gzip."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of an application that has connected to nothing."""
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("data"))).test_client()


@pytest.fixture
def page(client: FlaskClient) -> str:
    """The page at `/`; `make ui` bundles it."""
    response = client.get("/")
    assert response.status_code == 200, "the pages are not built: run `make ui`"
    return response.text


def first_load(page: str) -> list[str]:
    """Find all that a browser loads for the page before anything is clicked."""
    found = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page)
    seen: list[str] = []
    while found:
        path = found.pop()
        if path not in seen:
            seen.append(path)
            text = (ui.STATIC / path[1:]).read_text(encoding="utf-8")
            static = re.findall(r'(?:from|import)"\./([^"]+)"', text) if ".js" in path else []
            found += [f"/assets/{name}" for name in static]
    return seen


@pytest.mark.parametrize(
    ("accepted", "language"), [("ko-KR,ko;q=0.9,en;q=0.5", "ko"), ("en", "en"), ("fr", "en")]
)
def test_page_speaks_the_client_s_language(
    client: FlaskClient, page: str, accepted: str, language: str
) -> None:
    """`Accept-Language` chooses, and caches are told so."""
    assert page
    response = client.get("/", headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in response.text
    assert response.headers["Content-Language"] == language
    assert "Accept-Language" in response.headers["Vary"]


def test_page_is_told_the_limit_of_a_file(tmp_path: Path, page: str) -> None:
    """It is the deployment's own, and stands in the page once."""
    assert page
    other = create_app(Settings(data_dir=tmp_path, max_upload_bytes=12_345)).test_client()
    found = re.findall(r'<meta name="max-upload-bytes" content="(\d+)">', other.get("/").text)
    assert found == ["12345"]


def test_page_forbids_what_is_inline_or_elsewhere(client: FlaskClient, page: str) -> None:
    """The policy allows this origin alone, and the page needs nothing else."""
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|<style|style=|<script(?! type=\"module\" src=)|\son\w+=", page)


def test_page_is_asked_for_again(client: FlaskClient, page: str) -> None:
    """The page may be kept but is checked each time: 304 while it is the same."""
    first = client.get("/")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")
    assert page


def test_assets_are_kept_for_good(client: FlaskClient, page: str) -> None:
    """What has a hash in its name is immutable, and has an ETag all the same."""
    for path in first_load(page):
        first = client.get(path)
        assert first.status_code == 200
        assert "immutable" in first.headers["Cache-Control"]
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304


def test_assets_are_compressed_where_that_is_asked_for(client: FlaskClient, page: str) -> None:
    """The forms of an asset say the same; each has an ETag of its own."""
    path = next(path for path in first_load(page) if path.endswith(".js"))
    plain = client.get(path)
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    small = client.get(path, headers={"Accept-Encoding": "gzip, br"})
    assert small.headers["Content-Encoding"] == "br"
    assert len(small.data) < len(packed.data) < len(plain.data)
    assert len({answer.headers["ETag"] for answer in (plain, packed, small)}) == 3
    refused = client.get(path, headers={"Accept-Encoding": "br;q=0, gzip;q=0"})
    assert "Content-Encoding" not in refused.headers
    assert "Accept-Encoding" in plain.headers["Vary"]


def test_first_load_is_small(client: FlaskClient, page: str) -> None:
    """All that the first page needs is at most 150 kB, compressed by gzip."""
    paths = first_load(page)
    sizes = {
        path: len(client.get(path, headers={"Accept-Encoding": "gzip"}).data) for path in paths
    }
    assert any(path.endswith(".css") for path in paths)
    assert sum(sizes.values()) + len(page) <= FIRST_LOAD_BYTES, sizes


def test_unknown_assets(client: FlaskClient) -> None:
    """There is nothing outside of the folder, and nothing that was not bundled."""
    for path in ("/assets/none.js", "/assets/..%2findex.en.html", "/assets/..", "/assets/"):
        response = client.get(path)
        assert response.status_code == 404
        assert response.content_type == "application/problem+json"


def test_hint_where_the_pages_are_not_built(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a bundle `/` says how to make one, under the same policy."""
    monkeypatch.setattr(ui, "STATIC", tmp_path)
    response = client.get("/", headers={"Accept-Language": "ko"})
    assert response.status_code == 503
    assert response.headers["Content-Language"] == "en"
    assert "make ui" in response.text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_pure_functions_of_the_pages() -> None:
    """The tests of `web/test`, which Node.js runs."""
    run = subprocess.run(
        [WEB / "with-node", "npm", "run", "--silent", "test"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_names_of_datasets_are_those_of_the_service() -> None:
    """The page knows the pattern, and says in words of its own what it means."""
    schema = DatasetOptions.model_json_schema()["properties"]["name"]
    page = (WEB / "src" / "upload.tsx").read_text(encoding="utf-8")
    assert f"export const NAME = /{schema['pattern']}/;" in page


def test_npm_packages_are_locked_without_addresses() -> None:
    """The lock pins every package by its digest and names no registry."""
    lock = (WEB / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(lock)["packages"]
    assert all("integrity" in package for name, package in packages.items() if name)
    assert '"resolved"' not in lock
