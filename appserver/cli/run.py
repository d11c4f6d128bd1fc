"""`appserver run`: serve an application until a signal ends it."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
from functools import partial
from pathlib import Path

import attrs
import trio

from appserver import Application, Server, open_server
from appserver.cli.hanging_up import reload_at_hangup, status_of
from appserver.cli.loading import load_application
from appserver.cli.logs import configure_logs
from appserver.cli.notify import Notifier
from appserver.cli.stopping import stop_signals
from appserver.status import publish_status
from protocol.certs import ResourcesError, ServerIdentity
from protocol.certs.certificates import check_chain, load_certificates
from protocol.certs.first_start import AUTHORITY_FILE, AUTHORITY_FOLDER
from protocol.certs.folders import CLIENT, RESOURCES
from protocol.certs.trust import ANCHORS_FILE
from protocol.peer.background import open_background
from protocol.settings import LoadedSettings, load_settings
from protocol.settings.atomic import PUBLIC, create_file

logger = logging.getLogger("appserver.run")


def run(
    named: str | None, *, settings: Path | None, resources: Path | None, as_json: bool, debug: bool
) -> None:
    """Serve an application; returns after an orderly end.

    Args:
        named: the application as `module:attribute`; the settings' without.
        settings: the settings file; `settings.toml` in the working folder without.
        resources: the server's Resources folder; the settings' without.
        as_json: announce in JSON.
        debug: log everything.

    Raises:
        SettingsError: the settings cannot be used.
        ApplicationNotFound: there is no such application.
        ResourcesError: the certificate cannot be used.
        TransportError: the port cannot be listened on.
    """
    loaded = load_settings(settings)
    configure_logs(loaded.settings.log, debug=debug)
    application = load_application(named or loaded.settings.application.module, [Path.cwd(), loaded.folder])
    trio.run(partial(_serve, application, loaded, resources, as_json))


async def _serve(
    application: Application, loaded: LoadedSettings, resources: Path | None, as_json: bool
) -> None:
    stop = trio.Event()
    notifier = Notifier()
    with stop_signals(stop.set):
        async with (
            open_server(application, settings=loaded, resources=resources, watch=True) as server,
            open_background() as nursery,
        ):
            await nursery.start(reload_at_hangup, server, notifier, stop.set)
            await nursery.start(publish_status, server, loaded.folder)
            shared = share_authority(server.identity, loaded) if server.identity is not None else None
            facts = Announcement.of(server, loaded, shared)
            _say(json.dumps(attrs.asdict(facts)) if as_json else facts.text())
            _spare_collector()
            notifier.ready(status_of(server))
            await stop.wait()
            notifier.stopping()
            if not as_json:
                _say("stopping: open calls may end, a second signal ends at once")


def _spare_collector() -> None:
    """Take what was loaded out of the garbage collector's sight: it stays for as long as the process does.

    A full collection would look at all of it, tens of thousands of objects, and hold all clients for ten to thirty
    milliseconds, whenever enough connections have come and gone.
    """
    gc.collect()
    gc.freeze()


def _say(text: str) -> None:
    """Print in one piece; a terminal that was closed meanwhile does not end the server out of order."""
    with contextlib.suppress(OSError):
        print(f"{text}\n", end="", flush=True)


@attrs.frozen
class Announcement:
    """What is said when the server listens.

    Attributes:
        application: its name.
        listening: `host:port` of each listener.
        address: what clients connect to.
        encrypted: whether they do so with TLS.
        min_version: the oldest TLS version that is accepted, None with encryption off.
        certificate: its file, None with encryption off.
        expires: when it ends, ISO 8601, None with encryption off.
        private: whether it is from the server's own private authority.
        shared: file of that authority's certificate that was written for clients now, or None.
    """

    application: str
    listening: tuple[str, ...]
    address: str
    encrypted: bool
    min_version: str | None
    certificate: str | None
    expires: str | None
    private: bool
    shared: str | None

    @classmethod
    def of(cls, server: Server, loaded: LoadedSettings, shared: Path | None) -> Announcement:
        """Gather it from a server that listens."""
        identity = server.identity
        return cls(
            server.application.name,
            server.addresses,
            str(server.connection_address()),
            server.encrypted,
            loaded.settings.tls.min_version if identity is not None else None,
            str(identity.cert_file) if identity is not None else None,
            identity.not_after.isoformat() if identity is not None else None,
            identity is not None and own_authority(identity) is not None,
            str(shared) if shared is not None else None,
        )

    def text(self) -> str:
        """The lines for people."""
        lines = [f"{self.application} listens on {', '.join(self.listening)}"]
        lines.append(f"clients connect to   {self.address}")
        if not self.encrypted:
            lines.append(
                "encryption           OFF (client_server.encrypt): everybody on the way can read along"
            )
            return "\n".join(lines)
        lines.append(f"encryption           on, TLS {self.min_version} or newer")
        lines.append(f"certificate          {self.certificate}, until {str(self.expires)[:10]}")
        if self.private:
            lines.append(
                "                     of this server's own authority; before strangers use it,"
                " replace it by one of an authority they trust"
            )
        if self.shared is not None:
            lines.append(f"clients trust it by  {self.shared} (written now)")
        return "\n".join(lines)


def own_authority(identity: ServerIdentity) -> Path | None:
    """The file of the private authority that issued the server's certificate; None if another one did."""
    source = identity.resources / AUTHORITY_FOLDER / AUTHORITY_FILE
    try:
        chain = (load_certificates(identity.cert_file)[0], load_certificates(source)[0])
        check_chain(identity.cert_file, chain, None)
    except ResourcesError:
        return None
    return source


def share_authority(identity: ServerIdentity, loaded: LoadedSettings) -> Path | None:
    """Give the private authority's certificate to the clients whose files are in this folder.

    Only where they have none yet, and where the server's certificate is of that authority: an anchor that
    does not fit the server would lock them out.

    Args:
        identity: what the server shows.
        loaded: the settings, which say where the client's folder is.

    Returns:
        The file, if it was written now.
    """
    folder = loaded.settings.tls.client_resources or loaded.folder / CLIENT / RESOURCES
    target = folder / ANCHORS_FILE
    if not folder.is_dir() or target.exists() or (source := own_authority(identity)) is None:
        return None
    try:
        written = create_file(target, source.read_bytes(), mode=PUBLIC)
    except OSError as exc:
        logger.warning(
            "the authority could not be given to clients", extra={"file": str(target), "finding": str(exc)}
        )
        return None
    return target if written else None
