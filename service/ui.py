"""/: the pages, as `web/build.mjs` bundles them into `service/static`, which is never committed."""

import mimetypes
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from flask import Blueprint, Response, abort, request
from werkzeug.http import quote_etag

from schemas.media_types import BYTES
from schemas.training import Language
from service.context import settings
from service.requests import LanguageHeaders

STATIC = Path(__file__).parent / "static"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of the pages: nothing inline, nothing from elsewhere."""

FOR_A_YEAR = "public, max-age=31536000, immutable"
"""An asset's name has the hash of what is in it."""

ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""The forms that an asset is stored in beside its own, the smallest first."""

NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Perceptron: the pages are not built</title>
<h1>The pages are not built</h1>
<p>The service runs; its web pages are bundled at set-up, and that has not been done here. In the
repository, run <code>make ui</code>, then load this page again.</p>
<p>All that the pages do is done over HTTP: see <a href="/docs">the API's documentation</a>.</p>
</html>
"""

blueprint = Blueprint("ui", __name__)


class Asset(NamedTuple):
    """A file in one of the forms that it is stored in."""

    body: bytes
    encoding: str | None
    media_type: str

    @property
    def etag(self) -> str:
        """The digest of the very bytes that are sent, as RFC 9110 has it."""
        return sha256(self.body).hexdigest()[:32]


@blueprint.get("/")
def index() -> Response:
    """Give the page that loads all others, in the language that the client prefers."""
    language = LanguageHeaders.model_validate(dict(request.headers)).language
    path = STATIC / f"index.{language}.html"
    is_built = path.is_file()
    body = _told(path.read_bytes()) if is_built else NOT_BUILT.encode()
    response = Response(body, 200 if is_built else 503, content_type="text/html; charset=utf-8")
    told: Language = language if is_built else "en"
    response.headers["Content-Language"] = told
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.set_etag(sha256(body).hexdigest()[:32])
    response.make_conditional(request)
    return response


def _told(page: bytes) -> bytes:
    """Tell the page the deployment's limit of a file, which it looks at before it sends one."""
    limit = f'<meta name="max-upload-bytes" content="{settings().max_upload_bytes}">\n</head>'
    return page.replace(b"</head>", limit.encode(), 1)


@blueprint.get("/assets/<name>")
def asset(name: str) -> Response:
    """Give a file that the pages load, compressed where the client takes that."""
    found = _asset(name, _encoding())
    if found is None:
        abort(404)
    response = Response(found.body, content_type=found.media_type)
    if found.encoding is not None:
        response.headers["Content-Encoding"] = found.encoding
    response.headers["Cache-Control"] = FOR_A_YEAR
    response.headers["ETag"] = quote_etag(found.etag)
    response.vary.add("Accept-Encoding")
    response.make_conditional(request)
    return response


def _encoding() -> str | None:
    """Choose the form to send: a compressed one only where the client names it."""
    accepted = request.accept_encodings
    return next((name for name in ENCODINGS if accepted[name] > 0), None)


@lru_cache(256)
def _asset(name: str, encoding: str | None) -> Asset | None:
    """Read a file once per process; there are few of them, and they never change."""
    path = STATIC / "assets" / name
    if path not in (STATIC / "assets").glob("*"):
        return None
    media_type = mimetypes.guess_type(name)[0] or BYTES
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    packed = None if encoding is None else path.with_name(name + ENCODINGS[encoding])
    if packed is None or not packed.is_file():
        return Asset(path.read_bytes(), None, media_type)
    return Asset(packed.read_bytes(), encoding, media_type)
