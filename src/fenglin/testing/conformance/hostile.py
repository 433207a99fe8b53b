"""Attack cases 44 to 70: names and values that look like commands, options or paths."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from fenglin.errors import DriverError, FenglinError, InputError
from fenglin.model.reason import SITE_FAULTS
from fenglin.ports.driver import Presence
from fenglin.testing.conformance.site import SiteHand

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.ports.driver import StartOrder

# What it is (the number is that of the attack case) → text. OWNED stands for a file that an
# injected command would make.
TEXTS = {
    "44 a second command": "x; touch OWNED; echo",
    "45 substitution": "$(touch OWNED)",
    "46 backticks": "`touch OWNED`",
    "47 a pipe": "x | touch OWNED",
    "48 a directive": "x\n#SBATCH --wrap='touch OWNED'\ntouch OWNED\n",
    "49 an option of sbatch": "--wrap=touch OWNED",
    "50 an option of ssh": "-oProxyCommand=touch OWNED",
    "51 metacharacters": "user@host:*?[a-z]{x,y}~&<>!#",
    "56 another variable": "b\nC=d",
    "57 an output file": "--output=OWNED",
    "58 a way up": "../../../OWNED",
    "60 file patterns": "%j-%A_%a-%x-%%-%s%n",
    "61 an option of docker": "--privileged -v /:/host",
    "62 YAML": "a: {b: [c, *d, &e, !!python/object:os.system x]}",
    "63 cloud-init": "#cloud-config\nruncmd:\n- touch OWNED\n#include OWNED",
    "64 terminal escapes": "\x1b]0;title\x07\x1b[2J\x9b31m",
    "65 right to left": "\u202egnp.exe\u2066\u200b\ufeff",
    "66 a formula": '=cmd|"/C touch OWNED"!A1',
    "67 SQL": "'; DROP TABLE jobs; --",
    "68 wildcards of LIKE": "%_[^a]",
    "69 templates": "{{7*7}}${7*7}<%= 7*7 %>",
    "70 HTML": "<script>alert(1)</script>\"'>",
    "quotes": "it's a \"quote\" \\ 'n'\\''t $HOME ${IFS}",
    "blanks": " \t two  blanks\r\n ",
    "an option": "-n",
    "a dash": "-",
    "scripts of the world": "峰林 🏔 ﷽ é e\u0301",
    "long": "x" * 10_000,
}
# Variables that change how programs start: they are the task's own and must reach nothing else.
LOADERS = (
    ("LD_PRELOAD", "/nowhere/evil.so"),  # 53
    ("BASH_ENV", "HOOK"),  # 54
    ("PATH", "/nowhere"),  # 55
    ("ENV", "HOOK"),
    ("PYTHONSTARTUP", "HOOK"),
    ("PYTHONPATH", "/nowhere"),
    ("LD_LIBRARY_PATH", "/nowhere"),
    ("IFS", "/"),
    ("HOME", "/nowhere"),
    ("SLURM_JOB_ID", "1"),
    ("FENGLIN_TASK_INDEX", "99"),
)
BAD_NAMES = ("", "A=B", "A\nB", "A B", "A;touch OWNED", "A$(touch OWNED)", "A\0B")
NOT_RUNNABLE = (("echo", "a\0b"), ("e\0cho",), ("",))
BAD_KEYS = (
    "",
    ".",
    "..",
    "../x-a1-1",
    "/x-a1-1",
    "a b-a1-1",
    "x\n-a1-1",
    "x\0-a1-1",
    "-x-a1-1",
    "x;touch OWNED-a1-1",
    "$(touch OWNED)-a1-1",
    "x" * 5_000,
)


class HostileCases:
    """Values arrive as they are and are never commands, options, paths or patterns."""

    def test_arguments_and_variables_arrive_as_they_are(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Byte by byte, empty ones too."""
        site.need_processes()
        texts = {**_armed(TEXTS, tmp_path, monkeypatch), "empty": ""}
        names = [f"VALUE_{number}" for number in range(len(texts))]
        shown = " ".join(f'"${name}"' for name in names)
        command = ("sh", "-c", f"printf '%s\\0' \"$@\" {shown}", "sh", *texts.values())
        env = tuple(zip(names, texts.values(), strict=True))
        order = site.order(command=command, env=env)
        ends, _ = site.run(order)
        assert [end.exit_code for end in ends] == [0]
        seen = site.text(order.key).split("\0")
        size = len(texts)
        assert dict(zip(texts, seen[:size], strict=True)) == texts
        assert dict(zip(texts, seen[size : 2 * size], strict=True)) == texts
        _unharmed(site, tmp_path)

    def test_scripts_arrive_as_they_are(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing between us and the task expands, cuts or reads a script."""
        site.need_processes()
        texts = _armed(TEXTS, tmp_path, monkeypatch)
        parts = [f"cat <<'END-OF-TEXT'\n{text}\nEND-OF-TEXT\n" for text in texts.values()]
        order = site.order(script="printf ''\n".join(parts))
        site.run(order)
        assert site.log(order.key) == "".join(f"{text}\n" for text in texts.values()).encode()
        _unharmed(site, tmp_path)

    def test_a_job_may_have_any_name(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The name is for people: it breaks nothing, commands nothing, and hides no attempt."""
        texts = _armed(TEXTS, tmp_path, monkeypatch)
        orders = {what: site.order(job_name=text) for what, text in texts.items()}
        for order in orders.values():
            site.start(order)
        assert {order.key for order in orders.values()} <= site.listing()
        for what, order in orders.items():
            ends, _ = site.finish(order.key)
            assert [end.exit_code for end in ends] == [0], what
            assert site.harness.runs(order.key) == [0], what
        _unharmed(site, tmp_path)

    def test_variables_reach_the_task_alone(self, site: SiteHand, tmp_path: Path) -> None:
        """No variable of a job changes how the site's own programs run, or whose task it is."""
        site.need_processes()
        hook = tmp_path / "hook"
        hook.write_text(f"echo hooked >> {tmp_path}/hooked\n")
        orders = [
            # No shell: `sh` as payload may obey its own variables.
            site.order(
                command=("/bin/cat", "/dev/null"), env=((name, value.replace("HOOK", str(hook))),)
            )
            for name, value in LOADERS
        ]
        for order in orders:
            site.start(order)
        ended = {
            name: [(end.index, end.exit_code) for end in site.finish(order.key)[0]]
            for (name, _), order in zip(LOADERS, orders, strict=True)
        }
        assert ended == {name: [(0, 0)] for name, _ in LOADERS}
        assert not (tmp_path / "hooked").exists()

    def test_bad_names_of_variables(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Attack 56: refused, failed or harmless; no other variable is made of them."""
        site.need_processes()
        armed = _armed({name: name for name in BAD_NAMES}, tmp_path, monkeypatch)
        for name in armed.values():
            order = site.order(script='echo "${B-unset}"', env=((name, "C=d"),))
            if _exit_code(site, order) == 0:
                assert site.text(order.key) == "unset\n"
        _unharmed(site, tmp_path)

    def test_what_no_system_can_run(self, site: SiteHand) -> None:
        """Attack 52: NUL ends no argument early; the attempt is refused or its task fails."""
        site.need_processes()
        codes = {words: _exit_code(site, site.order(command=words)) for words in NOT_RUNNABLE}
        assert [words for words, code in codes.items() if code == 0] == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_keys_are_no_paths(
        self, site: SiteHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
    ) -> None:
        """A key that no hub can have made is refused, or unknown, by every call."""
        site.need_processes()
        bad = _armed({"": key}, tmp_path, monkeypatch)[""]
        order = site.order(key=bad)
        for call in (
            site.driver.start(order),
            site.driver.stop(bad, 0),
            site.driver.forget(bad),
            site.driver.usage(bad),
        ):
            with pytest.raises(FenglinError):
                site.call(call)
        with contextlib.suppress(DriverError):
            assert site.look(bad).presence in {Presence.ABSENT, Presence.UNKNOWN}
        assert site.listing() == frozenset()
        _unharmed(site, tmp_path)


def _armed(texts: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return texts with a file's path in them; files named relatively would land there too."""
    monkeypatch.chdir(folder)
    owned = str(folder / "OWNED")
    return {k: t if "../" in t else t.replace("OWNED", owned) for k, t in texts.items()}


def _unharmed(site: SiteHand, folder: Path) -> None:
    """Fail when an injected command has run, here or in the site's folder."""
    for place in (folder, site.harness.folder):
        assert not list(place.rglob("OWNED*"))


def _exit_code(site: SiteHand, order: StartOrder) -> int:
    """Return the status of a task that cannot be run as asked; -1 when the site refuses it."""
    try:
        site.start(order)
    except DriverError as error:
        assert not error.effect_unknown  # noqa: PT017 - to end well is allowed too
        assert site.look(order.key).presence is not Presence.RUNNING
        return -1
    except InputError:
        return -1
    ends, last = site.finish(order.key)
    assert ends or last.reason in SITE_FAULTS
    return ends[0].exit_code if ends else -1
