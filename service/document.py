"""Makes the OpenAPI document: work of a process of its own."""

import json

from schemas.settings import Settings
from service.app import create_app


def work(_request: bytes) -> bytes:
    """Describe the whole API, as JSON."""
    return json.dumps(create_app(Settings()).api_doc, sort_keys=True).encode()
