"""The protocol's own error codes: stable strings that REFUSE and ERROR carry.

An application's codes are its own and never start with `rpc.`.
"""

from __future__ import annotations

from typing import Final

# In ERROR: why one call failed.
UNKNOWN_METHOD: Final = "rpc.unknown_method"
UNKNOWN_TOPIC: Final = "rpc.unknown_topic"
INVALID_ARGUMENTS: Final = "rpc.invalid_arguments"
INVALID_RESULT: Final = "rpc.invalid_result"
TOO_MANY_CALLS: Final = "rpc.too_many_calls"
MESSAGE_TOO_LARGE: Final = "rpc.message_too_large"
DEADLINE_EXCEEDED: Final = "rpc.deadline_exceeded"
CANCELLED: Final = "rpc.cancelled"
INTERNAL: Final = "rpc.internal"
DRAINING: Final = "rpc.draining"
SLOW_SUBSCRIBER: Final = "rpc.slow_subscriber"
BLOB_DAMAGED: Final = "rpc.blob_damaged"
GROUP: Final = "rpc.group"

# In REFUSE: why a connection was not accepted.
ENCRYPTION_REQUIRED: Final = "rpc.encryption_required"
UNSUPPORTED_VERSION: Final = "rpc.unsupported_version"
INTERFACE_VERSION: Final = "rpc.interface_version"
NOT_AUTHENTICATED: Final = "rpc.not_authenticated"
SERVER_FULL: Final = "rpc.server_full"

CALL_CODES: Final = (
    UNKNOWN_METHOD,
    UNKNOWN_TOPIC,
    INVALID_ARGUMENTS,
    INVALID_RESULT,
    TOO_MANY_CALLS,
    MESSAGE_TOO_LARGE,
    DEADLINE_EXCEEDED,
    CANCELLED,
    INTERNAL,
    DRAINING,
    SLOW_SUBSCRIBER,
    BLOB_DAMAGED,
    GROUP,
)
REFUSE_CODES: Final = (
    ENCRYPTION_REQUIRED,
    UNSUPPORTED_VERSION,
    INTERFACE_VERSION,
    NOT_AUTHENTICATED,
    SERVER_FULL,
    DRAINING,
)
