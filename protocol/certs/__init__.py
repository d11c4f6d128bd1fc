"""Resources folders, certificates, trust and TLS contexts."""

from typing import TYPE_CHECKING

from protocol.lazy import lazy_names

if TYPE_CHECKING:
    from protocol.certs.certificates import CertificateFacts, facts_of_der, spki_fingerprint
    from protocol.certs.check import check_client_resources, check_resources
    from protocol.certs.client_authorities import enrolled_are_accepted, require_certificates
    from protocol.certs.client_certificates import ClientCertificate, ClientChain, Loss, UnfitName, read_chain
    from protocol.certs.context import ALPN_PROTOCOL, client_context, looking_context, server_context
    from protocol.certs.description import Description, describe_file, describe_resources
    from protocol.certs.dhparams import (
        DhParameters,
        ensure_dh_parameters,
        generate_dh_parameters,
        load_dh_parameters,
    )
    from protocol.certs.enrolling import admit_client, renew_client
    from protocol.certs.enrolment_errors import (
        AlreadyEnrolled,
        CannotInvite,
        CodeError,
        DamagedRegister,
        EnrolmentError,
        ExpiredInvitation,
        FullRegister,
        MistypedCode,
        NotACode,
        NotEnrolled,
        RenewalRefused,
        RequestError,
        UnfitRequest,
        UnknownInvitation,
        UsedInvitation,
        WrongAuthority,
    )
    from protocol.certs.errors import (
        AuthorityCertificate,
        BareCarriageReturn,
        BrokenLink,
        CertificatesError,
        ChangedServerKey,
        ClientCertificateRefused,
        ClientCertificateRequired,
        DamagedKnownServers,
        DamagedPem,
        DerFile,
        EmptyFile,
        ExistingFile,
        ExpiredCertificate,
        ExpiredRevocationList,
        ExpiredServerCertificate,
        HandshakeFailed,
        KeyMismatch,
        KeyReadableByOthers,
        MissingFile,
        MissingFolder,
        NoCommonCipher,
        NoCommonVersion,
        NoNames,
        NotAFile,
        NotIssuedHere,
        NotYetValidCertificate,
        NotYetValidRevocationList,
        PartialRevocationList,
        PassphraseNeeded,
        PeerError,
        PinMismatch,
        PolicyError,
        ResourcesError,
        RevokedServerCertificate,
        ServerCertificateNotYetValid,
        ServerKeyInClientResources,
        ShortDhParameters,
        SubjectError,
        UnfitServerCertificate,
        UnknownAuthority,
        UnreadableFile,
        UnsafeDhParameters,
        UntrustedRevocationList,
        UnusableCertificate,
        UnwritableFolder,
        UnwritableKnownServers,
        Utf16File,
        WeakKey,
        WrongChainOrder,
        WrongContents,
        WrongPassphrase,
        WrongPurpose,
        WrongServerName,
        WrongService,
    )
    from protocol.certs.first_start import ensure_server_identity
    from protocol.certs.folders import client_resources_folder, server_resources_folder, user_resources_folder
    from protocol.certs.identity import (
        ClientIdentity,
        Identity,
        ServerIdentity,
        check_server_resources,
        open_server_identity,
    )
    from protocol.certs.install import Installed, import_pkcs12, install_certificates
    from protocol.certs.invitation_code import InvitationCode
    from protocol.certs.inviting import Invited, invite_client
    from protocol.certs.joining import Joined
    from protocol.certs.joining_identity import anchors_for_clients, make_joining_identity
    from protocol.certs.keypair import NewKey, make_key_pair
    from protocol.certs.keys import KeyType, demand_passphrase, read_passphrase
    from protocol.certs.names import is_named
    from protocol.certs.own_revocations import restore_revocations
    from protocol.certs.pins import (
        KNOWN_SERVERS_FILE,
        KnownServer,
        check_peer_certificate,
        forget_server,
        note_server,
        parse_pin,
        read_known_servers,
    )
    from protocol.certs.proof import prove_server_context
    from protocol.certs.renewal import next_renewal, renew_server_certificate
    from protocol.certs.requests import Request, Subject, write_request
    from protocol.certs.revocation import (
        REVOCATIONS_FILE,
        RevocationList,
        Revocations,
        is_list_of,
        load_revocation_lists,
        load_revocations,
    )
    from protocol.certs.revoking import ClientEntry, Revoked, list_clients, revoke_client
    from protocol.certs.trust import Trust, load_trust
    from protocol.certs.verify_errors import translate_ssl_error
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "protocol.certs.certificates": "CertificateFacts facts_of_der spki_fingerprint",
            "protocol.certs.check": "check_client_resources check_resources",
            "protocol.certs.client_authorities": "enrolled_are_accepted require_certificates",
            "protocol.certs.client_certificates": "ClientCertificate ClientChain Loss UnfitName read_chain",
            "protocol.certs.context": "ALPN_PROTOCOL client_context looking_context server_context",
            "protocol.certs.description": "Description describe_file describe_resources",
            "protocol.certs.dhparams": (
                "DhParameters ensure_dh_parameters generate_dh_parameters load_dh_parameters"
            ),
            "protocol.certs.enrolling": "admit_client renew_client",
            "protocol.certs.enrolment_errors": (
                "AlreadyEnrolled CannotInvite CodeError DamagedRegister EnrolmentError ExpiredInvitation "
                "FullRegister MistypedCode NotACode NotEnrolled RenewalRefused RequestError UnfitRequest "
                "UnknownInvitation UsedInvitation WrongAuthority"
            ),
            "protocol.certs.errors": (
                "AuthorityCertificate BareCarriageReturn BrokenLink CertificatesError ChangedServerKey "
                "ClientCertificateRefused ClientCertificateRequired DamagedKnownServers DamagedPem DerFile "
                "EmptyFile ExistingFile ExpiredCertificate ExpiredRevocationList ExpiredServerCertificate "
                "HandshakeFailed KeyMismatch KeyReadableByOthers MissingFile MissingFolder NoCommonCipher "
                "NoCommonVersion NoNames NotAFile NotIssuedHere NotYetValidCertificate "
                "NotYetValidRevocationList PartialRevocationList PassphraseNeeded PeerError PinMismatch "
                "PolicyError ResourcesError RevokedServerCertificate ServerCertificateNotYetValid "
                "ServerKeyInClientResources ShortDhParameters SubjectError UnfitServerCertificate "
                "UnknownAuthority UnreadableFile UnsafeDhParameters UntrustedRevocationList "
                "UnusableCertificate UnwritableFolder UnwritableKnownServers Utf16File WeakKey "
                "WrongChainOrder WrongContents WrongPassphrase WrongPurpose WrongServerName WrongService"
            ),
            "protocol.certs.first_start": "ensure_server_identity",
            "protocol.certs.folders": "client_resources_folder server_resources_folder user_resources_folder",
            "protocol.certs.identity": (
                "ClientIdentity Identity ServerIdentity check_server_resources open_server_identity"
            ),
            "protocol.certs.install": "Installed import_pkcs12 install_certificates",
            "protocol.certs.invitation_code": "InvitationCode",
            "protocol.certs.inviting": "Invited invite_client",
            "protocol.certs.joining": "Joined",
            "protocol.certs.joining_identity": "anchors_for_clients make_joining_identity",
            "protocol.certs.keypair": "NewKey make_key_pair",
            "protocol.certs.keys": "KeyType demand_passphrase read_passphrase",
            "protocol.certs.names": "is_named",
            "protocol.certs.own_revocations": "restore_revocations",
            "protocol.certs.pins": (
                "KNOWN_SERVERS_FILE KnownServer check_peer_certificate forget_server note_server parse_pin "
                "read_known_servers"
            ),
            "protocol.certs.proof": "prove_server_context",
            "protocol.certs.renewal": "next_renewal renew_server_certificate",
            "protocol.certs.requests": "Request Subject write_request",
            "protocol.certs.revocation": (
                "REVOCATIONS_FILE RevocationList Revocations is_list_of load_revocation_lists "
                "load_revocations"
            ),
            "protocol.certs.revoking": "ClientEntry Revoked list_clients revoke_client",
            "protocol.certs.trust": "Trust load_trust",
            "protocol.certs.verify_errors": "translate_ssl_error",
        },
    )

__all__ = [
    "ALPN_PROTOCOL",
    "KNOWN_SERVERS_FILE",
    "REVOCATIONS_FILE",
    "AlreadyEnrolled",
    "AuthorityCertificate",
    "BareCarriageReturn",
    "BrokenLink",
    "CannotInvite",
    "CertificateFacts",
    "CertificatesError",
    "ChangedServerKey",
    "ClientCertificate",
    "ClientCertificateRefused",
    "ClientCertificateRequired",
    "ClientChain",
    "ClientEntry",
    "ClientIdentity",
    "CodeError",
    "DamagedKnownServers",
    "DamagedPem",
    "DamagedRegister",
    "DerFile",
    "Description",
    "DhParameters",
    "EmptyFile",
    "EnrolmentError",
    "ExistingFile",
    "ExpiredCertificate",
    "ExpiredInvitation",
    "ExpiredRevocationList",
    "ExpiredServerCertificate",
    "FullRegister",
    "HandshakeFailed",
    "Identity",
    "Installed",
    "InvitationCode",
    "Invited",
    "Joined",
    "KeyMismatch",
    "KeyReadableByOthers",
    "KeyType",
    "KnownServer",
    "Loss",
    "MissingFile",
    "MissingFolder",
    "MistypedCode",
    "NewKey",
    "NoCommonCipher",
    "NoCommonVersion",
    "NoNames",
    "NotACode",
    "NotAFile",
    "NotEnrolled",
    "NotIssuedHere",
    "NotYetValidCertificate",
    "NotYetValidRevocationList",
    "PartialRevocationList",
    "PassphraseNeeded",
    "PeerError",
    "PinMismatch",
    "PolicyError",
    "RenewalRefused",
    "Request",
    "RequestError",
    "ResourcesError",
    "RevocationList",
    "Revocations",
    "Revoked",
    "RevokedServerCertificate",
    "ServerCertificateNotYetValid",
    "ServerIdentity",
    "ServerKeyInClientResources",
    "ShortDhParameters",
    "Subject",
    "SubjectError",
    "Trust",
    "UnfitName",
    "UnfitRequest",
    "UnfitServerCertificate",
    "UnknownAuthority",
    "UnknownInvitation",
    "UnreadableFile",
    "UnsafeDhParameters",
    "UntrustedRevocationList",
    "UnusableCertificate",
    "UnwritableFolder",
    "UnwritableKnownServers",
    "UsedInvitation",
    "Utf16File",
    "WeakKey",
    "WrongAuthority",
    "WrongChainOrder",
    "WrongContents",
    "WrongPassphrase",
    "WrongPurpose",
    "WrongServerName",
    "WrongService",
    "admit_client",
    "anchors_for_clients",
    "check_client_resources",
    "check_peer_certificate",
    "check_resources",
    "check_server_resources",
    "client_context",
    "client_resources_folder",
    "demand_passphrase",
    "describe_file",
    "describe_resources",
    "enrolled_are_accepted",
    "ensure_dh_parameters",
    "ensure_server_identity",
    "facts_of_der",
    "forget_server",
    "generate_dh_parameters",
    "import_pkcs12",
    "install_certificates",
    "invite_client",
    "is_list_of",
    "is_named",
    "list_clients",
    "load_dh_parameters",
    "load_revocation_lists",
    "load_revocations",
    "load_trust",
    "looking_context",
    "make_joining_identity",
    "make_key_pair",
    "next_renewal",
    "note_server",
    "open_server_identity",
    "parse_pin",
    "prove_server_context",
    "read_chain",
    "read_known_servers",
    "read_passphrase",
    "renew_client",
    "renew_server_certificate",
    "require_certificates",
    "restore_revocations",
    "revoke_client",
    "server_context",
    "server_resources_folder",
    "spki_fingerprint",
    "translate_ssl_error",
    "user_resources_folder",
    "write_request",
]
