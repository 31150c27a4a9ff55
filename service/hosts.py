"""
Which hosts the API answers as.

A page elsewhere can give a name of its own a loopback address (DNS rebinding) and then read, with
the browser's help, whatever listens there. Its requests carry that name in Host.
"""

import ipaddress
from urllib.parse import urlsplit

from flask import Flask, current_app, request
from werkzeug.exceptions import BadRequest

from schemas.settings import Settings

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def init_app(app: Flask, settings: Settings) -> None:
    """Refuse requests to hosts that are not trusted, before anything else looks at them."""
    app.extensions["trusted_hosts"] = trusted_hosts(settings)
    app.before_request(_refuse_untrusted_host)


def trusted_hosts(settings: Settings) -> frozenset[str] | None:
    """Give the hosts to answer as; None: any, for an address that others can reach anyhow."""
    if settings.trusted_hosts:
        hosts = settings.trusted_hosts.lower().split(",")
        return frozenset(host.strip().strip("[]") for host in hosts)
    if _is_loopback(settings.host):
        return frozenset({*LOOPBACK_HOSTS, settings.host.lower()})
    return None


def base_url() -> str:
    """Give the URL that the client reached us at; only a path where the host is not trusted."""
    # Not `host_url`: it fails on hosts that are no hosts, such as [::::].
    return f"{request.scheme}://{request.host}/" if request.host and _is_trusted() else "/"


def _refuse_untrusted_host() -> None:
    if _names_no_host():
        raise BadRequest("the request names no Host, or another one than its target")
    if not _is_trusted():
        raise BadRequest("the Host is not trusted: see PERCEPTRON_TRUSTED_HOSTS")


def _names_no_host() -> bool:
    """
    Whether Host is missing or contradicts an absolute target, either of which may be meant.

    Source: RFC 9112, 3.2 and 3.2.2.
    """
    host = request.environ.get("HTTP_HOST")
    if host is None:
        return request.environ.get("SERVER_PROTOCOL") != "HTTP/1.0"
    target = str(request.environ.get("RAW_URI", "/"))
    return not target.startswith(("/", "*")) and urlsplit(target).netloc.lower() != host.lower()


def _is_trusted() -> bool:
    # Not Flask's TRUSTED_HOSTS: Werkzeug 3.1 never finds an IPv6 address in it.
    return is_trusted(request.host, current_app.extensions["trusted_hosts"])


def is_trusted(host: str, trusted: frozenset[str] | None) -> bool:
    """Whether a Host header names one of these; None: whether it may name any."""
    return trusted is None or _without_port(host.lower()) in trusted


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _without_port(host: str) -> str:
    address, bracket, _ = host.removeprefix("[").partition("]")
    return address if bracket else host.partition(":")[0]
