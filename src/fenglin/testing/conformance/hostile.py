"""Attack cases 44 to 70: names and values that look like commands, options or paths."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from fenglin.errors import DriverError, FenglinError, InputError
from fenglin.model.reason import SITE_FAULTS
from fenglin.ports.driver import Presence
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.model.allocation import TaskEnd
    from fenglin.ports.driver import StartOrder

# Number of the attack case → text. OWNED stands for a file that an injected command would make.
TEXTS = {
    44: "x; touch OWNED; echo",
    45: "$(touch OWNED)",
    46: "`touch OWNED`",
    47: "x | touch OWNED",
    48: "x\n#SBATCH --wrap='touch OWNED'\ntouch OWNED\n",
    49: "--wrap=touch OWNED",
    50: "-oProxyCommand=touch OWNED",
    51: "user@host:*?[a-z]{x,y}~&<>!#",
    56: "b\nC=d",
    57: "--output=OWNED",
    58: "../../../OWNED",
    60: "%j-%A_%a-%x-%%-%s%n",
    61: "--privileged -v /:/host",
    62: "a: {b: [c, *d, &e, !!python/object:os.system x]}",
    63: "#cloud-config\nruncmd:\n- touch OWNED\n#include OWNED",
    64: "\x1b]0;title\x07\x1b[2J\x9b31m",
    65: "\u202egnp.exe\u2066\u200b\ufeff",
    66: '=cmd|"/C touch OWNED"!A1',
    67: "'; DROP TABLE jobs; --",
    68: "%_[^a]",
    69: "{{7*7}}${7*7}<%= 7*7 %>",
    70: "<script>alert(1)</script>\"'>",
    0: "it's a \"quote\" \\ 'n'\\''t $HOME ${IFS}",
    1: "峰林 🏔 ﷽ é e\u0301",
    2: "x" * 10_000,
}
NAMES = [case for case in TEXTS if case != 2]
# Names that change how programs start: they are the task's own and must reach nothing else.
LOADERS = {
    53: ("LD_PRELOAD", "/nowhere/evil.so"),
    54: ("BASH_ENV", "HOOK"),
    55: ("PATH", "/nowhere"),
    -1: ("ENV", "HOOK"),
    -2: ("PYTHONSTARTUP", "HOOK"),
    -3: ("LD_LIBRARY_PATH", "/nowhere"),
    -4: ("IFS", "/"),
    -5: ("SLURM_JOB_ID", "1"),
    -6: ("FENGLIN_TASK_INDEX", "99"),
}
BAD_KEYS = ["", ".", "..", "../x-a1-1", "/x-a1-1", "a b-a1-1", "x\n-a1-1", "x\0-a1-1", "-x-a1-1"]
BAD_KEYS += ["x;touch OWNED-a1-1", "$(x)-a1-1", "x" * 5_000]


class HostileCases:
    """Values arrive as they are and are never commands, options, paths or patterns."""

    @pytest.mark.parametrize("case", TEXTS)
    def test_values_arrive_as_they_are(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: int
    ) -> None:
        """As an argument, as an environment variable and inside a script."""
        site.need_processes()
        text = _armed(TEXTS[case], tmp_path, monkeypatch)
        shown = 'printf \'%s\\0\' "$@" "$VALUE"'
        key = site.start(
            site.order(command=("sh", "-c", shown, "sh", text), env=(("VALUE", text),))
        )
        ends, _ = site.finish(key)
        assert [end.exit_code for end in ends] == [0]
        assert site.log(key).split(b"\0")[:2] == [text.encode()] * 2
        quoted = f"cat <<'END-OF-{case}'\n{text}\nEND-OF-{case}\n"
        written = site.start(site.order(script=quoted))
        site.finish(written)
        assert site.log(written) == f"{text}\n".encode()
        _unharmed(site, tmp_path)

    @pytest.mark.parametrize("case", NAMES)
    def test_a_job_may_have_any_name(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: int
    ) -> None:
        """The name is for people: it breaks nothing, commands nothing, and hides no attempt."""
        text = _armed(TEXTS[case], tmp_path, monkeypatch)
        order = site.order(Payload(says="well"), job_name=text)
        site.start(order)
        assert order.key in site.listing()
        ends, _ = site.finish(order.key)
        assert [(end.exit_code, end.reason) for end in ends] == [(0, None)]
        assert site.text(order.key) == "well\n"
        assert site.harness.runs(order.key) == [0]
        _unharmed(site, tmp_path)

    @pytest.mark.parametrize("case", LOADERS)
    def test_variables_reach_the_task_alone(
        self, site: SiteHand, tmp_path: Path, case: int
    ) -> None:
        """No variable of a job changes how the site's own programs run."""
        site.need_processes()
        hook = tmp_path / "hook"
        hook.write_text(f"echo hooked >> {tmp_path}/hooked\n")
        name, value = LOADERS[case]
        env = ((name, value.replace("HOOK", str(hook))),)
        # A static command line: `sh` of the payload itself may obey the variable, once.
        key = site.start(site.order(command=("/bin/cat", "/dev/null"), env=env))
        ends, _ = site.finish(key)
        assert [(end.index, end.exit_code) for end in ends] == [(0, 0)]
        assert not (tmp_path / "hooked").exists()

    @pytest.mark.parametrize("name", ["", "A=B", "A\nB", "A B", "A;touch OWNED", "A\0B"])
    def test_bad_names_of_variables(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """Attack 56: refused for certain, or harmless; no other variable is made of them."""
        site.need_processes()
        bad = _armed(name, tmp_path, monkeypatch)
        script = 'echo "${B-unset}"'
        order = site.order(script=script, env=((bad, "C=d"),))
        if _refused_or_harmless(site, order) is not None:
            assert site.text(order.key) == "unset\n"
        _unharmed(site, tmp_path)

    @pytest.mark.parametrize("command", [("echo", "a\0b"), ("e\0cho",), ("",)])
    def test_what_no_system_can_run(self, site: SiteHand, command: tuple[str, ...]) -> None:
        """Attack 52: NUL ends no argument early; the attempt is refused or its task fails."""
        site.need_processes()
        end = _refused_or_harmless(site, site.order(command=command))
        assert end is None or end.exit_code != 0

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_keys_are_no_paths(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
    ) -> None:
        """A key that the hub cannot have made is refused, or unknown, by every call."""
        bad = _armed(key, tmp_path, monkeypatch)
        with pytest.raises(FenglinError):
            site.start(site.order(key=bad or "\0"))
        for call in (lambda: site.stop(bad), lambda: site.forget(bad), lambda: site.usage(bad)):
            with pytest.raises(FenglinError):
                call()
        with contextlib.suppress(DriverError):
            assert site.look(bad).presence in {Presence.ABSENT, Presence.UNKNOWN}
        assert bad not in site.listing()
        _unharmed(site, tmp_path)


def _armed(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the text with a file's path in it; files named relatively would land there too."""
    monkeypatch.chdir(folder)
    return text if "../" in text else text.replace("OWNED", str(folder / "OWNED"))


def _unharmed(site: SiteHand, folder: Path) -> None:
    """Fail when an injected command has run, here or in the site's folder."""
    for place in (folder, site.harness.folder):
        assert not list(place.rglob("OWNED*"))


def _refused_or_harmless(site: SiteHand, order: StartOrder) -> TaskEnd | None:
    """Return the one end of an order that cannot be run as asked; None when it is refused."""
    try:
        site.start(order)
    except DriverError as error:
        assert not error.effect_unknown  # noqa: PT017 - to end well is allowed too
        assert site.look(order.key).presence is not Presence.RUNNING
        return None
    except InputError:
        return None
    ends, last = site.finish(order.key)
    assert ends or last.reason in SITE_FAULTS
    return ends[0] if ends else None
