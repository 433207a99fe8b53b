"""Help, exit codes and errors that are the same for all commands; what a start costs."""

import subprocess
import sys

import pytest

from fenglin import __version__
from fenglin.cli import main
from fenglin.cli.commands import COMMANDS, root_help

FENGLIN = "import sys; from fenglin.cli import main; sys.exit(main(sys.argv[1:]))"


def modules_after(*words):
    """Return the modules that a command line loads."""
    code = f"import sys; from fenglin.cli import main; main({list(words)!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"FENGLIN_HUB": "http://127.0.0.1:1"},
    )  # fmt: skip
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_root_help_is_quick_and_names_every_command(fenglin, words):
    done = fenglin(*words)
    assert done.code == 0
    assert done.out == root_help()
    assert all(f"  {name} " in done.out for name in COMMANDS)


def test_root_help_of_typer_is_the_quick_one(fenglin):
    # A second word takes the way through Typer.
    assert fenglin("--help", "--help").out.rstrip() == root_help().rstrip()


def test_help_loads_no_typer():
    assert "typer" not in modules_after("--help")


def test_listing_loads_nothing_heavy():
    loaded = modules_after("job", "list")
    assert "typer" in loaded
    heavy = {"pydantic", "rich", "yaml", "numpy", "sqlalchemy", "litestar", "asyncio"}
    assert heavy.isdisjoint(loaded)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_summary_of_the_table(fenglin, name):
    done = fenglin(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: fenglin {name} ")
    assert done.err == ""


def test_summaries_of_groups_are_those_of_the_table(fenglin):
    for name in ("job", "site", "node", "queue", "ledger", "hub"):
        assert COMMANDS[name].summary in fenglin(name, "--help").out


def test_version(fenglin, hub):
    assert fenglin("--version").out == f"fenglin {__version__}\n"
    hub.on("GET", "/v1/overview", OVERVIEW)
    assert f"fenglin  {__version__}" in fenglin("version").out
    assert '"hub": "9.9"' in fenglin("version", "-o", "json").out


def test_version_without_a_hub_is_no_error(fenglin, no_hub):
    done = fenglin("version", "--hub", no_hub)
    assert done.code == 0
    assert "unknown: no hub answers" in done.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["jbo", "list"], "did you mean 'job'?"),
        (["job", "lst"], "no such command 'lst'"),
        (["job", "show"], "missing argument 'ID'"),
        (["job", "list", "--bogus"], "no such option: --bogus"),
        (["job", "list", "-o", "xml"], "'xml' is not one of table, json, yaml"),
        (["job", "list", "--limit", "0"], "0 is too small, at least 1"),
        (["job", "list", "--limit", "x"], "'x' is not a whole number"),
        (["job", "wait", "j1", "--timeout", "soon"], "'soon' is not a duration"),
        (["top", "--interval", "nan"], "nan is too small"),
        (["job", "list", "--hub", "nowhere"], "'nowhere' is not the URL of a hub"),
    ],
)
def test_bad_words_are_told_with_exit_code_2(fenglin, words, complaint):
    done = fenglin(*words)
    assert done.code == 2
    assert complaint in done.err
    assert done.err.startswith("error: ")
    assert done.out == ""


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "bad_input", 2),
        (401, "denied", 4),
        (403, "denied", 4),
        (404, "not_found", 3),
        (409, "conflict", 5),
        (413, "over_limit", 2),
        (500, "damaged", 7),
        (500, "internal", 1),
        (502, "site_error", 6),
    ],
)
def test_errors_have_stable_exit_codes_and_three_parts(fenglin, hub, play, status, code, exit_code):
    view = {"code": code, "what": "it is so", "where": "over there", "hint": "do this"}
    hub.on("GET", "/v1/jobs/j7", play(status, view))
    done = fenglin("job", "show", "j7", "-o", "json")
    assert done.code == exit_code
    assert done.err == "error: it is so\n  where: over there\n  hint: do this\n"
    assert done.out == ""


def test_no_hub_says_how_to_get_one(fenglin, no_hub):
    done = fenglin("job", "list", "--hub", no_hub)
    assert done.code == 6
    assert no_hub in done.err
    assert "fenglin hub start" in done.err
    assert "FENGLIN_HUB" in done.err
    assert "Traceback" not in done.err


def test_traceback_only_for_those_who_ask(fenglin, monkeypatch, no_hub):
    monkeypatch.setenv("FENGLIN_DEBUG", "1")
    assert "Traceback" in fenglin("job", "list", "--hub", no_hub).err


def test_errors_cannot_command_the_terminal(fenglin, hub, play):
    hub.on("GET", "/v1/jobs/j7", play(404, {"code": "not_found", "what": "\x1b]0;evil\x07\nmore"}))
    done = fenglin("job", "show", "j7")
    assert "\x1b" not in done.err
    assert "\\x1b]0;evil\\x07\\nmore" in done.err


def test_token_is_sent_and_never_shown(fenglin, hub, monkeypatch, play):
    monkeypatch.setenv("FENGLIN_TOKEN", "t0psecret")
    monkeypatch.setenv("FENGLIN_DEBUG", "1")
    hub.on("GET", "/v1/jobs/j7", play(401, {"code": "denied", "what": "unknown token"}))
    done = fenglin("job", "show", "j7")
    assert hub.asked[0].headers["authorization"] == "Bearer t0psecret"
    assert "t0psecret" not in done.out + done.err


def test_open_config_is_warned_about(fenglin, hub, job, tmp_path):
    path = tmp_path / ".config" / "fenglin" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('token = "t0psecret"')
    path.chmod(0o644)
    hub.on("GET", "/v1/jobs/j7", job())
    done = fenglin("job", "show", "j7")
    assert done.code == 0
    assert f"warning: {path}" in done.err
    assert "t0psecret" not in done.err


def test_reader_that_goes_away_is_no_error(hub, job):
    rows = [job(f"j{number}", name="n" * 100) for number in range(1000)]
    hub.on("GET", "/v1/jobs", {"items": rows, "next": "", "total": 1000})
    command = [sys.executable, "-c", FENGLIN, "job", "list", "--all", "--hub", hub.url]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout.readline().startswith(b"ID")
    done.stdout.close()
    assert done.stderr.read() == b""
    assert done.wait() == 141
    done.stderr.close()


def test_hub_start_passes_its_options_on(monkeypatch):
    seen = []
    bootstrap = type(sys)("fenglin.bootstrap")
    bootstrap.run_hub = lambda *options: seen.append(options) or 7
    monkeypatch.setitem(sys.modules, "fenglin.bootstrap", bootstrap)
    assert main(["hub", "start", "--data", "d", "--listen", "127.0.0.1:1"]) == 7
    config, data, listen = seen[0]
    assert (config, str(data), listen) == (None, "d", "127.0.0.1:1")


def test_shell_completion_knows_the_commands(fenglin, monkeypatch):
    monkeypatch.setenv("_FENGLIN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "fenglin jo")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert fenglin().out.split() == ["job"]


OVERVIEW = {
    "hub": "h", "version": "9.9", "now_ms": 1, "leader": True, "epoch": 1, "cycle": 1,
    "cycle_ms": 1.0, "pending_jobs": 0, "running_jobs": 0, "pending_tasks": 0,
    "running_tasks": 0, "finished_tasks": 0, "sites": [], "queues": [],
}  # fmt: skip
