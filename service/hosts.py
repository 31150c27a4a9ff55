"""
Which hosts the API answers as.

A page elsewhere can give a name of its own a loopback address (DNS rebinding) and then read, with
the browser's help, whatever listens there. Its requests carry that name in Host.
"""

import ipaddress

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
    if not _is_trusted():
        raise BadRequest("the Host is not trusted: see PERCEPTRON_TRUSTED_HOSTS")


def _is_trusted() -> bool:
    # Not Flask's TRUSTED_HOSTS: Werkzeug 3.1 never finds an IPv6 address in it.
    trusted: frozenset[str] | None = current_app.extensions["trusted_hosts"]
    return trusted is None or _without_port(request.host.lower()) in trusted


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _without_port(host: str) -> str:
    address, bracket, _ = host.removeprefix("[").partition("]")
    return address if bracket else host.partition(":")[0]
