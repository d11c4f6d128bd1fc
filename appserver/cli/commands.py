"""The commands of `appserver`: their arguments, and a line or two each; what they do is imported when called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from appserver.cli.certificates import certificates_app
from appserver.cli.clients import clients_app, invite
from appserver.cli.options import Flag, Options, ServerOptions


def version() -> str:
    """The version that is installed."""
    from importlib.metadata import version  # with what reads e-mail, and seldom asked for

    return version("appserver")


app = App(
    "appserver",
    help="Make, check and run an application server.",
    version=version,
    help_format="plaintext",
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
settings_app = App("settings", help="Show and change the settings.")
app.command(settings_app)
app.command(certificates_app)
app.command(clients_app)
app.command(invite)


@app.command
def init(folder: Path, /, *, name: str | None = None, debug: Flag = False) -> int:
    """Make an application folder that runs at once.

    Args:
        folder: to be made; it must be new or empty.
        name: of the application; the folder's name without.
        debug: show tracebacks.
    """
    from appserver.cli.new_application import make_application

    for path in make_application(folder, name):
        print(path)
    print(f"\nrun it:   cd {folder} && appserver run\nuse it:   cd {folder} && python client.py")
    return 0


@app.command
def run(
    application: str | None = None,
    /,
    *,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Serve an application until Ctrl+C or SIGTERM; a second one ends at once.

    Args:
        application: as module:attribute, module alone for its attribute app; the settings' application.module
            without.
        options: settings and output; with --json the server says in JSON where it listens, with --debug it logs
            everything.
    """
    from appserver.cli import run as running

    running.run(
        application,
        settings=options.settings,
        resources=options.resources,
        as_json=options.json,
        debug=options.debug,
    )
    return 0


@app.command
def check(
    application: str | None = None,
    /,
    *,
    options: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
) -> int:
    """Check settings, certificates and the application without starting; status 1 if anything is wrong.

    Args:
        application: as module:attribute; the settings' application.module without.
        options: settings and output.
    """
    import attrs

    from appserver.cli import checking

    report = checking.check(application, settings=options.settings, resources=options.resources)
    if options.json:
        _print_json({"ok": not report.problems, **attrs.asdict(report)})
    else:
        print(checking.report_text(report))
    return 1 if report.problems else 0


@app.command
def status(*, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Show how the server of this folder is, while it runs; status 1 if none does, or it does not answer.

    Args:
        options: settings and output.
    """
    from appserver.cli import status_command as command

    found = command.look_at_server(options.settings)
    if options.json:
        print(command.status_json(found))
    else:
        print(command.status_text(found))
    return 0 if found.is_running else 1


@settings_app.command
def show(section: str | None = None, /, *, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Show every setting, its value and where that comes from: default, file or environment.

    Args:
        section: only this one's.
        options: settings and output.
    """
    from appserver.cli import settings_commands as commands

    rows = commands.setting_rows(commands.load(options.settings), section)
    if options.json:
        _print_json(rows)
    else:
        commands.print_rows(rows)
    return 0


@settings_app.command
def get(key: str, /, *, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Print the value of one setting.

    Args:
        key: as client_server.port.
        options: settings and output.
    """
    from appserver.cli import settings_commands as commands

    value = commands.get_setting(commands.load(options.settings), key)
    if options.json:
        _print_json(value)
    else:
        print(commands.value_text(value))
    return 0


@settings_app.command(name="set")
def set_(
    key: str,
    value: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    settings: Path | None = None,
    debug: Flag = False,
) -> int:
    """Change one setting in the file; comments and everything else stay.

    Args:
        key: as client_server.encrypt.
        value: true or false, a number, a text, or a list with commas; an empty text takes the setting out.
        settings: the settings file; settings.toml in this folder without.
        debug: show tracebacks.
    """
    from appserver.cli import settings_commands as commands

    for line in commands.change_setting(settings, key, value):
        print(line)
    return 0


def _print_json(value: object) -> None:
    print(json.dumps(value))
