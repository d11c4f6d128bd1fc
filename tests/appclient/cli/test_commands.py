"""`appclient call` and `describe`, against a server in another process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appclient.cli.entry import main
from protocol.interface import contract_of
from tests.appclient.cli.interface_for_tests import Desk
from tests.appclient.cli.served import CONTENT
from tests.appserver.cli.processes import RunningServer, command, run_command, running

Output = pytest.CaptureFixture[str]
Call = Callable[..., str]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("desk")
    with running(folder, "tests.appclient.cli.served", extra={"PYTHONPATH": str(ROOT)}) as server:
        yield server


@pytest.fixture
def call(server: RunningServer, capsys: Output) -> Call:
    """Return what calls and gives what was printed."""

    def run(*words: str) -> str:
        status = main(["call", server.address, *words])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return captured.out

    return run


@pytest.fixture
def failure(server: RunningServer, capsys: Output) -> Callable[..., str]:
    """Return what calls in vain, and gives the status and the message."""

    def run(*words: str) -> str:
        status = main(["call", server.address, *words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return f"{status} {captured.err}"

    return run


PEN = {"product": "pen", "price": "2.50", "count": 3}


def test_a_structure_is_printed_as_json(call: Call) -> None:
    out = call("Desk.find", "7")
    assert json.loads(out) == {"number": 7, "lines": [PEN], "due": "2030-01-31", "parent": None}
    assert len(out.splitlines()) > 1
    assert call("Desk.find", "7", "--json") == json.dumps(json.loads(out)) + "\n"


def test_arguments_arrive_as_what_was_annotated(call: Call) -> None:
    order = json.dumps({"number": 7, "lines": [PEN]})
    assert call("Desk.add", order, "urgent=true") == "700\n"
    out = call(
        "Desk.scalars",
        *("12.50", "2030-01-31", "2030-01-31T12:00:00Z", "12:30", "90"),
        *("12345678-1234-1234-1234-123456789abc", "a/b", "AP8=", "-3", "Grüße"),
    )
    assert out.startswith(
        "(Decimal('12.50'), datetime.date(2030, 1, 31), datetime.datetime(2030, 1, 31, 12, 0,"
    )
    assert out.endswith("PurePosixPath('a/b'), b'\\x00\\xff', -3.0, 'Grüße')\n")


def test_a_text_is_bare_for_people_and_json_for_programs(call: Call) -> None:
    words = ("Desk.choices", '["Circle", {"radius": 1}]', "1", "1", "fast", "null", "{}")
    assert json.loads(call(*words)) == ["Square", {"side": 4.0}]
    assert call("Desk.nothing") == ""
    assert call("Desk.nothing", "--json") == "null\n"


def test_a_stream_is_one_value_a_line(call: Call) -> None:
    lines = call("Desk.follow", "2030-01-31T12:00Z").splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]


def test_a_stream_is_sent_from_a_list_and_from_standard_input(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("Desk.load", f"[{json.dumps(PEN)}, {json.dumps(PEN)}]") == "6\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{json.dumps(PEN)}\n" * 3))
    assert call("Desk.load", "@-", "strict=false") == "9\n"
    lines = call("Desk.exchange", "[1, 2]").splitlines()
    assert [json.loads(line)["price"] for line in lines] == ["1", "2"]


def test_a_wrong_item_of_a_stream_is_named(failure: Call, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('1\n"x"\n')
    assert failure("Desk.exchange", f"@{file}").startswith("2 appclient: line 2: expected int, got 'x'")


def test_a_file_goes_up_and_comes_down(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "plan.bin"
    source.write_bytes(CONTENT)
    assert call("Desk.attach", "7", f"@{source}") == f"{len(CONTENT)}\n"
    target = tmp_path / "copy.bin"
    assert call("Desk.fetch", "100000", "--output", str(target)) == ""
    assert target.read_bytes() == CONTENT[:100000]


def test_a_file_comes_to_standard_output(server: RunningServer, tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import sys; from appclient.cli import main; sys.exit(main(sys.argv[1:]))"]
    result = run_command([*words, "call", server.address, "Desk.fetch", "13", "--output", "-"], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == CONTENT[:13].decode("ascii")


def test_a_file_needs_a_place(failure: Call, tmp_path: Path) -> None:
    assert "2 appclient: Desk.fetch gives a file: say where to with --output" in failure("Desk.fetch", "1")
    place = str(tmp_path / "x")
    assert "2 appclient: Desk.nothing gives no file" in failure("Desk.nothing", "--output", place)
    assert failure("Desk.fetch", "1", "--output", str(tmp_path / "gone" / "x")).startswith("1 appclient: ")


def test_errors_of_the_application_have_code_and_attributes(failure: Call) -> None:
    text = failure("Desk.find", "404")
    assert text.startswith("1 appclient: Desk.find: ")
    assert "[desk.out_of_stock]" in text
    assert '"left": 4' in text
    assert "\x1b" not in text
    text = failure("Desk.add", '{"number": 1, "lines": []}', "colour=DARK_BLUE")
    assert "we are closed" in text
    assert "[desk.closed]" in text


def test_a_handler_that_fails_gives_a_trace_and_no_detail(failure: Call, server: RunningServer) -> None:
    text = failure("Desk.find", "500")
    assert "secret" not in text
    trace = text.partition("trace ")[2].partition(")")[0]
    assert trace in server.log.read_text()
    assert "a secret" in server.log.read_text()


def test_mistakes_in_the_call_are_status_2(failure: Call) -> None:
    assert failure("Desk.find", "x") == (
        "2 appclient: Desk.find(number: int) -> Order: number: expected int, got 'x'\n"
    )
    assert failure("Desk.fnd", "7") == "2 appclient: Desk has no method fnd; did you mean find?\n"
    assert failure("Desk", "7").startswith("2 appclient: 'Desk' is not the name of a method")
    assert failure("Desk.find", "7", "--jsn").startswith("2 appclient: ")


def test_an_interface_that_is_not_served_names_what_is(failure: Call) -> None:
    assert failure("Chair.find", "7") == "1 appclient: this server has no interface Chair; it has Desk\n"


def test_a_call_is_given_up_after_the_timeout(failure: Call) -> None:
    assert (
        failure("Desk.find", "0", "--timeout", "0.3")
        == "1 appclient: this took longer than --timeout allows\n"
    )
    assert failure("Desk.find", "0", "--timeout", "0").startswith("2 appclient: --timeout is")


def test_describe_is_for_people(server: RunningServer, capsys: Output) -> None:
    assert main(["describe", server.address]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == f"interface Desk 1.3 (fingerprint {contract_of(Desk).fingerprint})"
    for line in (
        "find(number: int) -> Order",
        "Return an order.",
        "attach(number: int, Blob, *, note: str = '') -> int",
        "exchange(Stream[int]) -> Stream[Line]",
        "changed: Event[Order]  (latest by number, at most 50 waiting)",
        "desk.out_of_stock: OutOfStock with (product: str, left: int)",
        "desk.closed: Closed",
        "Line: (product: str, price: Decimal, count: int = ...)",
        "Colour: enum of RED='red', DARK_BLUE='dark blue'",
    ):
        assert line in lines


def test_describe_is_for_programs(server: RunningServer, capsys: Output) -> None:
    assert main(["describe", server.address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["Desk"]["version"] == [1, 3]
    assert main(["describe", server.address, "Desk", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(contract_of(Desk).description))


def test_describe_writes_python(server: RunningServer, capsys: Output) -> None:
    assert main(["describe", server.address, "Desk", "--python", "--blocking"]) == 0
    source = capsys.readouterr().out
    compile(source, "contract.py", "exec")
    assert "    def nothing(self) -> None: ..." in source.splitlines()


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["Chair"], 1, "this server has no interface Chair; it has Desk"),
        (["--blocking"], 2, "--blocking goes with --python"),
        (["--python", "--json"], 2, "--python and --json exclude each other"),
    ],
)
def test_describe_says_what_is_wrong(
    server: RunningServer, capsys: Output, words: list[str], status: int, text: str
) -> None:
    assert main(["describe", server.address, *words]) == status
    assert capsys.readouterr().err == f"appclient: {text}\n"


@pytest.mark.parametrize(
    ("address", "finding"),
    [
        ("http://x/", "is not a server's address"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("no-such-host.invalid", "no-such-host.invalid"),
    ],
)
def test_a_server_that_is_not_there_is_one_message(capsys: Output, address: str, finding: str) -> None:
    assert main(["describe", address]) == 1
    err = capsys.readouterr().err
    assert err.startswith("appclient: ")
    assert finding in err
    assert "unexpected" not in err


def test_trust_and_encryption_are_checked(server: RunningServer, capsys: Output, tmp_path: Path) -> None:
    location = server.address.partition("://")[2].partition("/")[0]
    assert main(["describe", location]) == 1
    assert "unexpected" not in capsys.readouterr().err
    assert main(["describe", f"appserver://{location}/?pin=sha256:{'0' * 64}"]) == 1
    assert "unexpected" not in capsys.readouterr().err
    settings = tmp_path / "settings.toml"
    settings.write_text("[client_server]\nencrypt = false\n")
    assert main(["describe", location, "--settings", str(settings)]) == 1
    assert "client_server.encrypt" in capsys.readouterr().err
    settings.write_text("[client_server]\nencript = false\n")
    assert main(["describe", location, "--settings", str(settings)]) == 1
    assert "did you mean client_server.encrypt?" in capsys.readouterr().err
    assert main(["describe", location, "--resources", str(tmp_path / "gone")]) == 1
    assert "gone" in capsys.readouterr().err


def test_a_traceback_appears_with_debug_alone(tmp_path: Path) -> None:
    result = run_command(command("appclient", "describe", "127.0.0.1:1", "--debug"), cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("appclient: ")


def test_a_missing_extra_is_one_sentence(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['cyclopts'] = None; import appclient; "
        "from appclient.cli import main; sys.exit(main(['--help']))"
    )
    result = run_command([sys.executable, "-c", program], cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        "appclient: this command needs cyclopts, which is not installed: pip install 'appserver[cli]'\n"
    )


def test_a_client_needs_nothing_of_the_server(server: RunningServer, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(structlog=None, tomlkit=None, appserver=None); "
        "from appclient.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["call", server.address, "Desk.later", "1"]
    result = run_command([sys.executable, "-c", program, *words], cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "3\n"), result.stderr


def test_whoever_has_read_enough_may_leave(server: RunningServer, tmp_path: Path) -> None:
    program = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); "
        "from appclient.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    result = run_command([sys.executable, "-c", program, "describe", server.address], cwd=tmp_path)
    assert (result.returncode, result.stderr) == (1, "")


def test_help_and_version(capsys: Output) -> None:
    assert main(["--help"]) == 0
    assert "describe" in capsys.readouterr().out
    assert main(["call", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--timeout" in out
    assert "--output" in out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip()
