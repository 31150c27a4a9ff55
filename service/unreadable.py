"""Refusing what gunicorn cannot read as a request: as a problem, like every other refusal."""

import socket
from http import HTTPStatus

import structlog
from gunicorn import util

from schemas.problem import Problem
from service.problems import CONTENT_TYPE, http_type
from service.responses import HARDENED
from storage.trace_context import child_of

log = structlog.get_logger(__name__)


def refuse(client: socket.socket, status: int, reason: str, detail: str) -> None:
    """
    Answer on a connection that ends then; takes the place of `gunicorn.util.write_error`.

    There is no path: a problem of the Open Inference Protocol's clients looks the same.
    """
    request_id = child_of(None).trace_id
    kind = http_type(HTTPStatus(status))
    problem = Problem(
        type=f"/problems/{kind.code}",
        title=kind.title,
        status=status,
        detail=detail or kind.title,
        code=kind.code,
        request_id=request_id,
    )
    log.info("unreadable request", request_id=request_id, status=status, detail=detail)
    body = problem.model_dump_json(exclude_none=True)
    headers = {
        "Connection": "close",
        "Content-Type": CONTENT_TYPE,
        "Content-Length": str(len(body.encode())),
        "X-Request-Id": request_id,
        **HARDENED,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    util.write_nonblock(client, f"HTTP/1.1 {status} {reason}\r\n{head}\r\n{body}".encode())
