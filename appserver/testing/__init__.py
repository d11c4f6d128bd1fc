"""Server and client in one process: the loopback harness."""

from appserver.testing.harness import LoopbackServer, Network, loopback, loopback_server
from protocol.transport.pipe import Cut

__all__ = ["Cut", "LoopbackServer", "Network", "loopback", "loopback_server"]
