"""The application server: an application's methods, events and files over one TLS port."""

from typing import TYPE_CHECKING

from protocol.lazy import lazy_names

if TYPE_CHECKING:
    from appserver.application import Application, NotAuthenticated
    from appserver.context import CurrentCall, current_call, current_certificate
    from appserver.reloading import Outcome, ReloadReport
    from appserver.server import Server, ServerStatistics, open_server, serve
    from appserver.sessions import Session, SessionInfo
    from appserver.status import publish_status
    from appserver.threads import in_thread
    from protocol.certs import (
        ClientCertificate,
        ClientEntry,
        Invited,
        Revoked,
        invite_client,
        list_clients,
        require_certificates,
        revoke_client,
    )
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "appserver.application": "Application NotAuthenticated",
            "appserver.context": "CurrentCall current_call current_certificate",
            "appserver.reloading": "Outcome ReloadReport",
            "appserver.server": "Server ServerStatistics open_server serve",
            "appserver.sessions": "Session SessionInfo",
            "appserver.status": "publish_status",
            "appserver.threads": "in_thread",
            "protocol.certs": (
                "ClientCertificate ClientEntry Invited Revoked invite_client list_clients "
                "require_certificates revoke_client"
            ),
        },
    )

__all__ = [
    "Application",
    "ClientCertificate",
    "ClientEntry",
    "CurrentCall",
    "Invited",
    "NotAuthenticated",
    "Outcome",
    "ReloadReport",
    "Revoked",
    "Server",
    "ServerStatistics",
    "Session",
    "SessionInfo",
    "current_call",
    "current_certificate",
    "in_thread",
    "invite_client",
    "list_clients",
    "open_server",
    "publish_status",
    "require_certificates",
    "revoke_client",
    "serve",
]
