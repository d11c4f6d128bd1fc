"""The application server: an application's methods, events and files over one TLS port."""

from appserver.application import Application, NotAuthenticated
from appserver.context import CurrentCall, current_call, current_certificate
from appserver.reloading import Outcome, ReloadReport
from appserver.server import Server, ServerStatistics, open_server, serve
from appserver.sessions import Session, SessionInfo
from appserver.status import publish_status
from appserver.threads import in_thread
from protocol.certs import ClientCertificate

__all__ = [
    "Application",
    "ClientCertificate",
    "CurrentCall",
    "NotAuthenticated",
    "Outcome",
    "ReloadReport",
    "Server",
    "ServerStatistics",
    "Session",
    "SessionInfo",
    "current_call",
    "current_certificate",
    "in_thread",
    "open_server",
    "publish_status",
    "serve",
]
