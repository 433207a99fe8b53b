"""Secrets: they reach the task, and no command line, log, listing, answer or file of others."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.model.secret import Secret
from fenglin.ports.driver import Capability, Presence
from fenglin.testing.conformance.stopping import FOR_EVER

if TYPE_CHECKING:
    from fenglin.testing.conformance.site import SiteHand

VALUE = "s3cr3t-conformance-9f3a71c2"
HARD = 'it\'s "hard" \\ $HOME `x`\nto quote-4b7d'
# Neither value stands in what is sent openly.
SCRIPT = f"""case $TOKEN in s3cr3t-*-9f3a71c2) echo "right ${{#TOKEN}}";; esac
case $HARD in it*quote-4b7d) echo "hard ${{#HARD}}";; esac
echo "plain $PLAIN"
{FOR_EVER}
"""
MOST_BYTES = 16 * 2**20


class HiddenCases:
    """What only the attempt may know."""

    def test_a_secret_reaches_its_task_and_nobody_else(self, site: SiteHand) -> None:
        """While it runs, when it is started again, and when it is over and forgotten."""
        site.need(Capability.SECRETS, Capability.FOLLOW)
        site.need_processes()
        secrets = (("HARD", Secret(HARD)), ("TOKEN", Secret(VALUE)))
        order = site.order(script=SCRIPT, env=(("PLAIN", "p"),), secrets=secrets)
        key = site.start(order)
        told = f"right {len(VALUE)}\nhard {len(HARD)}\nplain p\n".encode()
        site.wait(lambda: site.chunk(key).data == told, "the task's sight of its secrets")

        assert not [line for line in _command_lines() if _shows(line)]
        folder = site.harness.folder
        assert _files_with_it(folder, others=True) == []
        site.start(order)
        seen = [repr(site.look(key)), repr(site.listing()), repr(order)]
        site.stop(key)
        site.wait(lambda: site.look(key).presence is Presence.ENDED, f"the end of {key}")
        seen += [repr(site.finish(key)), repr(site.usage(key)), site.text(key)]
        site.forget(key)

        assert not [text for text in seen if _shows(text.encode())]
        assert _files_with_it(folder, others=False) == []

    def test_each_task_of_an_array_has_the_secret(self, site: SiteHand) -> None:
        """Also those that start when others have long ended."""
        site.need(Capability.SECRETS)
        site.need_processes()
        script = "case $TOKEN in s3cr3t-*-9f3a71c2) exit 0;; esac\nexit 3\n"
        order = site.array(3, script=script, slots=1, secrets=(("TOKEN", Secret(VALUE)),))
        ends, _ = site.finish(site.start(order))

        assert sorted((end.index, end.exit_code) for end in ends) == [(0, 0), (1, 0), (2, 0)]
        site.forget(order.key)
        assert _files_with_it(site.harness.folder, others=False) == []


def _command_lines() -> list[bytes]:
    """Return the command lines of all processes that can be seen here."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    return found


def _shows(data: bytes) -> bool:
    """Return whether a value, or its telling end, stands in bytes."""
    return VALUE.encode() in data or b"to quote-4b7d" in data


def _files_with_it(folder: Path, *, others: bool) -> list[str]:
    """Return the files below a folder that hold a value.

    Args:
        folder: Of the test, with all that the site and the hub keep.
        others: Only those that other users could read.
    """
    found = []
    for path in folder.rglob("*"):
        try:
            info = path.lstat()
            if not stat.S_ISREG(info.st_mode) or info.st_size > MOST_BYTES:
                continue
            if others and not info.st_mode & 0o077:
                continue
            if _shows(path.read_bytes()):
                found.append(str(path))
        except OSError:
            continue  # gone since it was listed
    return found
