"""Logs, kept files and long polls: what is sent in pieces, and what waits."""

import asyncio
import os

import pytest
from structlog.testing import capture_logs

from fenglin.errors import NotFoundError


def ask(call, *args, **more):
    return asyncio.create_task(call.ask(*args, **more))


class TestLogs:
    def test_a_piece(self, call, hub):
        hub.log = b"line\xff\nmore"
        answer = call("GET", "/v1/jobs/j7/logs?task=3&offset=2&limit=4")
        assert (answer.status, answer.body) == (200, b"ne\xff\n")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["fenglin-next-offset"] == "6"
        assert answer.headers["fenglin-complete"] == "false"
        assert hub.calls == [("read_log", 7, 3, 2, 4, "ada")]

    def test_the_last_piece_says_so(self, call, hub):
        hub.log, hub.log_complete = b"end", True
        assert call("GET", "/v1/jobs/j7/logs").headers["fenglin-complete"] == "true"

    def test_following_goes_on_until_the_task_has_ended(self, call, hub, until):
        async def story():
            hub.log = b"one "
            asked = ask(call, "GET", "/v1/jobs/j7/logs?follow=true&offset=1")
            for text in (b"two ", b"three"):
                await until(lambda: hub.calls and hub.calls[-1][0] == "wait_log")
                assert not asked.done()
                hub.calls.clear()
                hub.log += text
                hub.log_complete = text == b"three"
                hub.news.set()
            return await asked

        answer = asyncio.run(story())
        assert (answer.status, answer.body, answer.cut) == (200, b"ne two three", False)

    def test_following_ends_when_the_client_goes(self, call, hub, until):
        async def story():
            gone = asyncio.Event()
            asked = ask(call, "GET", "/v1/jobs/j7/logs?follow=true", gone=gone)
            await until(lambda: hub.calls and hub.calls[-1][0] == "wait_log")
            gone.set()
            async with asyncio.timeout(5):
                await asked
            return call.door.desk._free_waiters

        with capture_logs() as logs:
            assert asyncio.run(story()) == 2
        assert logs == []

    def test_following_breaks_off_when_the_token_is_revoked(self, call, hub, until):
        async def story():
            hub.log = b"secret"
            asked = ask(call, "GET", "/v1/jobs/j7/logs?follow=true")
            await until(lambda: hub.calls and hub.calls[-1][0] == "wait_log")
            del hub.tokens["full"]
            hub.log += b" that came later"
            hub.news.set()
            return await asked

        answer = asyncio.run(story())
        assert (answer.status, answer.body, answer.cut) == (200, b"secret", True)

    def test_following_breaks_off_though_the_output_never_pauses(self, call, hub, monkeypatch):
        """A task that prints on and on must not keep a revoked token's stream open."""
        read = hub.read_log

        async def last_good_read(*args):
            hub.tokens.pop("full", None)
            return await read(*args)

        async def story():
            async with asyncio.timeout(20):
                return await call.ask("GET", "/v1/jobs/j7/logs?follow=true&limit=1")

        hub.log, hub.log_complete = b"x" * 1_000, True
        monkeypatch.setattr(hub, "read_log", last_good_read)
        answer = asyncio.run(story())
        assert (answer.status, answer.cut) == (200, True)
        assert len(answer.body) < 3

    def test_following_breaks_off_when_the_hub_stops(self, call, hub, until):
        async def story():
            asked = ask(call, "GET", "/v1/jobs/j7/logs?follow=true")
            await until(lambda: hub.calls and hub.calls[-1][0] == "wait_log")
            call.door.begin_stop()
            async with asyncio.timeout(5):
                return await asked

        assert asyncio.run(story()).cut

    def test_a_job_that_is_not_there_is_told_before_the_stream(self, call, hub):
        hub.fails = NotFoundError("no such job")
        assert call("GET", "/v1/jobs/j7/logs?follow=true").status == 404


class TestWaiting:
    def test_the_end_is_told_at_once(self, call, hub, until):
        async def story():
            asked = ask(call, "GET", "/v1/jobs/j7/wait")
            await until(lambda: hub.calls)
            hub.news.set()
            return await asked

        assert asyncio.run(story()).json()["state"] == "succeeded"
        assert hub.calls == [("wait", 7, 60.0, "ada")]

    @pytest.mark.parametrize(
        ("target", "name"), [("/v1/jobs/j7/wait?timeout_s=0", "wait"), ("/v1/jobs:watch", "watch")]
    )
    def test_a_token_revoked_meanwhile_learns_nothing(self, call, hub, monkeypatch, target, name):
        answer = getattr(hub, name)

        async def last_answer(*args):
            del hub.tokens["full"]
            return await answer(*args)

        assert call("GET", target).status == 200
        monkeypatch.setattr(hub, name, last_answer)
        refused = call("GET", target)
        assert (refused.status, refused.json()["code"]) == (401, "denied")

    def test_a_stopping_hub_sends_its_waiters_away(self, call, hub, until):
        async def story():
            asked = ask(call, "GET", "/v1/jobs/j7/wait")
            await until(lambda: hub.calls)
            call.door.begin_stop()
            return await asked, await call.ask("GET", "/v1/jobs/j7/wait")

        for answer in asyncio.run(story()):
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")

    def test_nothing_waits_for_a_client_that_has_gone(self, call, hub, until):
        async def story():
            gone = asyncio.Event()
            asked = ask(call, "GET", "/v1/jobs/j7/wait", gone=gone)
            await until(lambda: hub.calls)
            gone.set()
            async with asyncio.timeout(5):
                return await asked

        with capture_logs() as logs:
            assert asyncio.run(story()).status == 0
        assert (logs, call.door.desk._free_waiters) == ([], 2)

    def test_only_so_many_may_wait_and_others_are_still_served(self, call, hub, until):
        async def story():
            hub.log_complete = False
            held = [
                ask(call, "GET", "/v1/jobs/j7/wait"),
                ask(call, "GET", "/v1/jobs/j7/logs?follow=true"),
            ]
            await until(lambda: len(hub.calls) >= 3)
            refused = [
                await call.ask("GET", "/v1/jobs/j7/wait"),
                await call.ask("GET", "/v1/jobs/j7/logs?follow=true"),
            ]
            served = await call.ask("GET", "/v1/jobs/j7")
            call.door.begin_stop()
            await asyncio.gather(*held)
            return refused, served

        refused, served = asyncio.run(story())
        assert [answer.status for answer in refused] == [503, 503]
        assert served.status == 200
        assert call.door.desk._free_waiters == 2


class TestArtifacts:
    TARGET = "/v1/jobs/j7/artifacts/"

    def test_a_file_comes_whole_as_an_attachment(self, call, hub, tmp_path, monkeypatch):
        monkeypatch.setattr("fenglin.api.streams.PIECE_BYTES", 1000)
        content = os.urandom(2500)
        hub.artifact_path = tmp_path / "x"
        hub.artifact_path.write_bytes(content)
        answer = call("GET", self.TARGET + '0/左"eye\r\n.html')
        assert (answer.status, answer.body, answer.pieces) == (200, content, 3)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-length"] == "2500"
        assert answer.headers["content-disposition"] == (
            "attachment; filename*=UTF-8''%E5%B7%A6%22eye%0D%0A.html"
        )
        assert hub.calls == [("artifact", 7, '0/左"eye\r\n.html', "ada")]

    def test_an_empty_file(self, call, hub, tmp_path):
        hub.artifact_path = tmp_path / "x"
        hub.artifact_path.touch()
        answer = call("GET", self.TARGET + "0/x")
        assert (answer.status, answer.body, answer.cut) == (200, b"", False)

    @pytest.mark.parametrize(
        "path", ["../x", "a/../../x", "a/./x", "..", ".", "a\0", "a\\..\\x", "/etc/passwd/../x"]
    )
    def test_a_path_that_leads_elsewhere_is_not_found(self, call, hub, path):
        assert call("GET", self.TARGET + path).status == 404
        assert hub.calls == []

    def test_links_pipes_and_folders_are_not_served(self, call, hub, tmp_path):
        (tmp_path / "file").write_text("secret")
        (tmp_path / "link").symlink_to(tmp_path / "file")
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "folder").mkdir()
        for name in ("link", "pipe", "folder", "gone"):
            hub.artifact_path = tmp_path / name
            answer = call("GET", self.TARGET + name)
            assert (answer.status, answer.json()["code"]) == (404, "not_found")

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_link_put_there_meanwhile_leads_nowhere(self, call, hub, tmp_path, monkeypatch, when):
        """Attack 114: what was looked at and what is opened are the same file."""
        (tmp_path / "secret").write_text("secret")
        hub.artifact_path = tmp_path / "x"
        hub.artifact_path.write_text("public")
        real = os.open

        def swap():
            hub.artifact_path.unlink()
            hub.artifact_path.symlink_to(tmp_path / "secret")

        def racing(path, *given, **more):
            ours = path == hub.artifact_path
            if ours and when == "before":
                swap()
            file = real(path, *given, **more)
            if ours and when == "after":
                swap()
            return file

        monkeypatch.setattr("fenglin.api.streams.os.open", racing)
        answer = call("GET", self.TARGET + "x")
        if when == "before":
            assert (answer.status, answer.json()["code"]) == (404, "not_found")
        else:
            assert (answer.status, answer.body) == (200, b"public")

    def test_a_file_that_shrinks_meanwhile_breaks_the_answer_off(
        self, call, hub, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("fenglin.api.streams.PIECE_BYTES", 10)
        hub.artifact_path = tmp_path / "x"
        hub.artifact_path.write_bytes(b"x" * 30)
        real = os.fstat

        def shrink(descriptor):
            found = real(descriptor)
            os.truncate(hub.artifact_path, 20)
            return found

        monkeypatch.setattr("fenglin.api.streams.os.fstat", shrink)
        with capture_logs() as logs:
            answer = call("GET", self.TARGET + "x")
        assert (answer.status, answer.body, answer.cut) == (200, b"x" * 20, True)
        assert [line["event"] for line in logs] == ["answer cut short"]
