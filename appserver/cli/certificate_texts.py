"""What `appserver certificates` tells people."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.certs import CertificateFacts, Description, Installed, NewKey, Request, ResourcesError


def key_lines(made: NewKey) -> list[str]:
    """A key that was made."""
    lines = [f"key          {made.file}{', encrypted' if made.encrypted else ''}"]
    lines.append(f"pin          {made.fingerprint}")
    if made.kept is not None:
        lines.append(f"kept         {made.kept}")
    if made.waiting:
        lines.append("it waits there for its certificate; until that is installed the present pair serves")
    lines.append("next: appserver certificates request")
    return lines


def request_lines(written: Request) -> list[str]:
    """A request that was written."""
    return [
        f"request      {written.file}",
        f"for the key  {written.key_file}",
        f"subject      {written.subject}",
        f"names        {', '.join(written.names)}",
        "next: send the file to the authority, then appserver certificates install with what it sends",
    ]


def installed_lines(installed: Installed) -> list[str]:
    """A certificate that was put into place."""
    lines = [f"installed    {installed.cert_file}", *facts_lines(installed.certificate)]
    lines += [f"chain        {name}" for name in installed.chain[1:]]
    lines += [f"kept         {path}" for path in installed.kept]
    lines += [f"note         {note}" for note in installed.notes]
    if installed.new_key:
        lines.append("the key is a new one: clients that pin the old one need the new pin")
    return lines


def description_lines(described: Description) -> list[str]:
    """A certificate and all that is known of it."""
    lines = [
        f"file         {described.file}",
        *facts_lines(described),
        days_left_line(described.days_left),
        f"key          {described.key}",
        f"fingerprint  {described.certificate_fingerprint}",
        f"serial       {described.serial}",
    ]
    lines += [f"chain        {name}" for name in described.chain[1:]]
    if described.renewal is not None:
        lines.append(f"renewed      by itself from {described.renewal:%Y-%m-%d} on, with the same key")
    if described.key_waits:
        lines.append("a new key waits beside it for its certificate")
    return lines


def findings_lines(
    folders: Sequence[str], found: Sequence[ResourcesError], *, made_at_start: bool
) -> list[str]:
    """The findings of a check."""
    lines = [f"checked  {folder}" for folder in folders]
    if made_at_start and not found:
        lines.append("note     there is no certificate yet: the first start makes one")
    for error in found:
        lines += [f"problem  {error.file}: {error.finding}", f"         {error.remedy}"]
    count = len(found)
    lines.append("nothing is wrong" if not count else f"{count} problem{'s' * (count > 1)}")
    return lines


def days_left_line(left: int) -> str:
    """How long a certificate still holds."""
    return f"days left    {left}" if left >= 0 else f"EXPIRED      {-left} days ago"


def facts_lines(facts: CertificateFacts) -> list[str]:
    """The facts of any certificate."""
    return [
        f"subject      {facts.subject}",
        f"names        {', '.join(facts.names)}",
        f"issuer       {facts.issuer}",
        f"valid        {facts.not_before:%Y-%m-%d %H:%M} to {facts.not_after:%Y-%m-%d %H:%M} UTC",
        f"pin          {facts.fingerprint}",
    ]
