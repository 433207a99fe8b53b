"""Output: every byte, from any offset, up to the cap."""

from __future__ import annotations

from fenglin.ports.driver import Capability
from fenglin.testing.conformance.harness import Payload
from fenglin.testing.conformance.site import SiteHand

CAP_BYTES = 4_000


class LogCases:
    """`read_log` while a task runs, after it, after a restart and after `forget`."""

    def test_output_is_kept(self, site: SiteHand) -> None:
        """It is complete when its task has ended, and stays so after restart and forget."""
        key = site.start(site.order(Payload(says="hello, 峰林")))
        site.finish(key)
        assert site.text(key) == "hello, 峰林\n"
        site.restart()
        assert site.text(key) == "hello, 峰林\n"
        site.forget(key)
        assert site.text(key) == "hello, 峰林\n"

    def test_output_in_pieces(self, site: SiteHand) -> None:
        """Any offset and limit; beyond the end there is nothing, and that is no error."""
        key = site.start(site.order(Payload(says="0123456789")))
        site.finish(key)
        assert site.log(key) == b"0123456789\n"
        assert site.chunk(key, limit=4).data == b"0123"
        assert not site.chunk(key, limit=4).complete
        middle = site.chunk(key, offset=4, limit=4)
        assert (middle.data, middle.next_offset, middle.complete) == (b"4567", 8, False)
        rest = site.chunk(key, offset=8)
        assert (rest.data, rest.next_offset, rest.complete) == (b"89\n", 11, True)
        beyond = site.chunk(key, offset=11)
        assert (beyond.data, beyond.next_offset, beyond.complete) == (b"", 11, True)

    def test_output_of_nothing(self, site: SiteHand) -> None:
        """A key or a task that is not there has no output, rather than an error."""
        key = site.start(site.order())
        site.finish(key)
        for chunk in (site.chunk(key, task=5), site.chunk(site.key())):
            assert (chunk.data, chunk.next_offset) == (b"", 0)

    def test_no_output_is_complete_too(self, site: SiteHand) -> None:
        """A reader that follows must come to its end."""
        site.need_processes()
        key = site.start(site.order(command=("true",)))
        site.finish(key)
        assert site.log(key) == b""

    def test_output_while_it_grows(self, site: SiteHand) -> None:
        """What a task has said can be read before it ends."""
        site.need_processes()
        site.need(Capability.FOLLOW)
        go = site.harness.folder / "go"
        script = f"echo one; until [ -e {go} ]; do sleep 0.02; done; echo two"
        key = site.start(site.order(script=script))
        site.wait(lambda: site.chunk(key).data == b"one\n", "the first line")
        assert not site.chunk(key).complete
        go.touch()
        site.finish(key)
        rest = site.chunk(key, offset=4)
        assert (rest.data, rest.next_offset, rest.complete) == (b"two\n", 8, True)

    def test_bytes_that_are_no_text(self, site: SiteHand) -> None:
        """Bad UTF-8, NUL and controls come as they are; nothing is guessed."""
        site.need_processes()
        script = "printf 'a\\377\\376\\000\\033[31m\\r\\nb\\302'"
        key = site.start(site.order(script=script))
        site.finish(key)
        assert site.log(key) == b"a\xff\xfe\0\x1b[31m\r\nb\xc2"

    def test_a_flood_is_cut_in_its_middle(self, site: SiteHand) -> None:
        """The first and the last of it are kept, with the number of bytes dropped between."""
        site.need_processes()
        flood = 3_000_000
        script = f"echo first; head -c {flood} /dev/zero | tr '\\0' x; echo; echo last"
        key = site.start(site.order(script=script, log_cap_bytes=CAP_BYTES))
        site.finish(key)
        data = site.log(key)
        assert data.startswith(b"first\nxxx")
        assert data.endswith(b"xxx\nlast\n")
        note = data.replace(b"first\n", b"").replace(b"\nlast\n", b"").strip(b"x")
        kept = len(data) - len(note)
        assert kept <= CAP_BYTES
        assert str(len(b"first\n\nlast\n") + flood - kept).encode() in note
