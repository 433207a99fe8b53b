"""What is the SSH driver's own: who a host is, what it is sent, and attempts over several hosts."""

import asyncio
import time
from pathlib import Path

import pytest

from fenglin.errors import DriverError
from fenglin.model.allocation import Share
from fenglin.model.reason import Reason
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import DriverContext, Presence, StagedInput, StartOrder
from fenglin.quantities.resources import Resources
from fenglin.testing.servers.sshd import SshHosts, find_sshd

pytest.importorskip("asyncssh")
from fenglin.drivers.ssh import driver
from fenglin.remote import inputs as ways
from fenglin.remote import line as lines

pytestmark = pytest.mark.xdist_group("ssh-hosts")
LONGEST_S = 20.0
BOTH = (Share("n0", 1), Share("n1", 1))


@pytest.fixture(scope="module")
def hosts():
    missing = find_sshd()
    if missing:
        pytest.skip(missing)
    with SshHosts(2) as made:
        yield made


class Lab:
    """Two hosts in the hand of a test; a clean account runs the tasks where we are root."""

    def __init__(self, hosts, folder):
        self.hosts = hosts
        self.folder = folder
        self.hub = f"t{time.monotonic_ns()}"
        self.loop = asyncio.Runner()
        self.built = []
        self.driver = self.build()

    def build(self, **more):
        flavors = (Flavor("std", ComputeClass.GENERAL, Resources(1_000, 2**20)),)
        nodes = tuple(Node(f"n{at}", "std") for at in range(len(self.hosts.addresses)))
        context = DriverContext(
            self.hub, "lab", self.folder, lambda: None, lambda: time.time_ns() // 1_000_000
        )
        settings = {**self.hosts.settings(**more), "flavors": flavors, "nodes": nodes}

        async def make():
            return driver(context, settings)

        self.driver = self.call(make())
        self.built.append(self.driver)
        return self.driver

    def call(self, awaitable):
        return self.loop.run(awaitable)

    def order(self, script="", number=1, **fields):
        values = {
            "key": f"{self.hub}-a{number}-1", "epoch": 1, "hub": self.hub, "job": "j1",
            "job_name": "t", "site": "lab", "flavor": "std", "tasks": "0", "task_count": 1,
            "tries": (), "shares": BOTH[:1], "nodes": 1, "resources": Resources(100),
            "command": (), "script": script, "env": (), "workdir": "", "inputs": (),
            "artifacts": (), "artifacts_dir": str(self.folder / "artifacts"), "timeout_ms": 0,
            "grace_ms": 2_000,
        }  # fmt: skip
        return StartOrder(**{**values, **fields})

    def start(self, order):
        self.call(self.driver.start(order))
        return order.key

    def look(self, key, cursor=""):
        return self.call(self.driver.observe({key: cursor}))[0]

    def finish(self, key):
        ends, cursor = [], ""
        end_s = time.monotonic() + LONGEST_S
        while True:
            seen = self.look(key, cursor)
            ends += seen.ends
            cursor = seen.cursor or cursor
            if seen.presence is Presence.ENDED:
                return sorted(ends, key=lambda end: end.index), seen
            assert time.monotonic() < end_s, f"{key} did not end: {seen}"
            self.call(asyncio.sleep(0.02))

    def until(self, condition):
        end_s = time.monotonic() + LONGEST_S
        while not (found := condition()):
            assert time.monotonic() < end_s, "it did not happen in time"
            self.call(asyncio.sleep(0.02))
        return found

    def text(self, key, task=0):
        return self.call(self.driver.read_log(key, task, 0, 2**20)).data.decode()

    def place(self, node="n0"):
        return self.hosts.root / "sites" / self.hub / "lab" / node

    def close(self):
        for one in self.built:
            self.call(one.close())
        self.loop.close()


@pytest.fixture
def lab(hosts, tmp_path):
    made = Lab(hosts, tmp_path)
    yield made
    made.close()
    for address in hosts.addresses:
        if not hosts.running(address):
            hosts.start(address)


# --- who a host is --------------------------------------------------------------------------


def test_a_changed_key_is_refused_and_the_node_is_down(lab, hosts):
    old = hosts.known_hosts.read_text()
    address = hosts.addresses[1]
    try:
        hosts.stop(address)
        hosts.new_host_key(address, known=False)
        hosts.start(address)
        report = lab.call(lab.driver.inventory())
        assert [node.up for node in report.nodes] == [True, False]
        told = (lab.folder / "nodes.json").read_text()
        assert "has changed" in told
        with pytest.raises(DriverError, match="has changed") as caught:
            lab.start(lab.order("true", shares=BOTH[1:]))
        assert not caught.value.effect_unknown
        assert "refused" in caught.value.hint
    finally:
        hosts.known_hosts.write_text(old)
        hosts.stop(address)
        hosts.new_host_key(address)
        hosts.start(address)


def test_an_unknown_key_is_refused(lab, hosts):
    empty = hosts.folder / "none"
    empty.write_text("")
    lab.build(known_hosts=str(empty))
    with pytest.raises(DriverError, match=r"is not known: it offers SHA256:"):
        lab.call(lab.driver.inventory())
    lab.build(known_hosts=str(hosts.folder / "nowhere"))
    with pytest.raises(DriverError, match="there is no file"):
        lab.call(lab.driver.inventory())


def test_a_pinned_key_needs_no_file_and_no_other_key_passes(lab, hosts):
    address = hosts.addresses[0]
    hosts.stop(address)
    print_of_it = hosts.new_host_key(address)
    hosts.start(address)
    way = {"address": address, "port": hosts.port, "count": 2}
    lab.build(hosts=[{**way, "host_key": print_of_it}], known_hosts="/nowhere")
    assert all(node.up for node in lab.call(lab.driver.inventory()).nodes)
    lab.build(hosts=[{**way, "host_key": f"SHA256:{'A' * 43}"}])
    with pytest.raises(DriverError, match="is not the pinned one"):
        lab.call(lab.driver.inventory())


def test_who_may_not_in_is_told_so(lab):
    lab.build(user="nobody-of-this-name")
    with pytest.raises(DriverError, match="does not let us in") as caught:
        lab.call(lab.driver.inventory())
    assert "authorized_keys" in caught.value.what


def test_a_host_behind_another(lab, hosts):
    gate, inner = ({"address": address, "port": hosts.port} for address in hosts.addresses)
    lab.build(hosts=[{**inner, "count": 2, "jump": "gate"}], jumps={"gate": gate})
    key = lab.start(lab.order('echo "$SSH_CONNECTION$FENGLIN_NODE"', shares=BOTH, tasks="0-1"))
    assert [end.exit_code for end in lab.finish(key)[0]] == [0, 0]
    # One way in for both nodes: the gate has one session and the host another.
    assert len(lab.driver._lines) == 2


def test_a_host_that_cannot_run_tasks_says_what_it_lacks(lab):
    lab.build(python="/nowhere/python3")
    with pytest.raises(DriverError, match="nowhere/python3"):
        lab.call(lab.driver.inventory())
    lab.build(root="/proc/fenglin")
    with pytest.raises(DriverError, match="writable `root`"):
        lab.call(lab.driver.inventory())


def test_a_host_that_is_away_is_asked_ever_less_often(lab, hosts, monkeypatch):
    tries = []
    connect = lines.asyncssh.connect

    def counted(*words, **options):
        tries.append(time.monotonic())
        return connect(*words, **options)

    monkeypatch.setattr(lines.asyncssh, "connect", counted)
    hosts.stop(hosts.addresses[0])
    for _ in range(20):
        assert lab.look(f"{lab.hub}-a1-1").presence is Presence.UNKNOWN
    # Both hosts once, and the one that is away a few times more.
    assert len(tries) <= 5
    hosts.start(hosts.addresses[0])
    lab.until(lambda: lab.look(f"{lab.hub}-a1-1").presence is Presence.ABSENT)


# --- what it is sent ------------------------------------------------------------------------


def test_secrets_stand_in_no_command_line_and_no_readable_file(lab):
    secret = f"s3cr3t{time.monotonic_ns()}"
    order = lab.order('test "$TOKEN" && sleep 2', env=(("TOKEN", secret),))
    key = lab.start(order)
    lab.until(lambda: lab.look(key).started)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert secret.encode() not in path.read_bytes()
        except OSError:
            continue
    attempt = lab.place() / "attempts" / key
    assert (attempt / "order").stat().st_mode & 0o077 == 0
    assert attempt.stat().st_mode & 0o077 == 0
    lab.call(lab.driver.stop(key, 0))
    lab.finish(key)


def test_only_what_a_host_lacks_is_sent(lab, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_text("a" * 1000)
    (folder / "b").write_text("b")
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\ncat data/deep/a data/b | wc -c\n")
    inputs = (StagedInput("data", str(folder)), StagedInput("bin/tool", str(tool), True))
    sent = []
    upload = ways._upload

    async def counted(remote, digest, source, uploads):
        sent.append(source)
        await upload(remote, digest, source, uploads)

    monkeypatch.setattr(ways, "_upload", counted)
    for number in (1, 2):
        key = lab.start(lab.order("bin/tool", number, inputs=inputs))
        assert [end.exit_code for end in lab.finish(key)[0]] == [0]
        assert lab.text(key).strip() == "1001"
    assert len(sent) == 3
    (folder / "b").write_text("bb")
    key = lab.start(lab.order("bin/tool", 3, inputs=inputs))
    lab.finish(key)
    assert lab.text(key).strip() == "1002"
    assert len(sent) == 4


def test_a_file_that_arrives_damaged_is_not_taken(lab, tmp_path):
    lab.call(lab.driver.inventory())
    remote = lab.driver._remotes["n0"]
    digest = "0" * 64
    answer, _ = lab.call(remote.ask("lacks", digests=[digest]))
    (tmp_path / "draft").write_text("not it")

    async def send():
        sftp = await remote.line.sftp()
        await sftp.put(str(tmp_path / "draft"), f"{answer['uploads']}/draft")

    lab.call(send())
    with pytest.raises(DriverError, match="damaged"):
        lab.call(remote.ask("take", digest=digest, name="draft"))
    assert lab.call(remote.ask("lacks", digests=[digest]))[0]["lacks"] == [digest]
    for name in ("../draft", "/etc/passwd", "a/b", ""):
        with pytest.raises(DriverError, match="not a name"):
            lab.call(remote.ask("take", digest=digest, name=name))


# --- several hosts --------------------------------------------------------------------------


def test_gangs_know_each_other(lab, hosts):
    script = 'echo "$FENGLIN_NODES $FENGLIN_NODE_RANK/$FENGLIN_NODE_COUNT $FENGLIN_NODE_ADDRESSES"'
    key = lab.start(lab.order(script, nodes=2, shares=BOTH, tasks="0-2", task_count=3))
    assert [end.exit_code for end in lab.finish(key)[0]] == [0, 0, 0]
    places = ",".join(hosts.addresses)
    assert lab.text(key, 2) == f"n0,n1 0/2 {places}\n"
    whole = lab.call(lab.driver.read_log(key, 2, len(lab.text(key, 2)), 1000))
    assert (whole.data.decode(), whole.complete) == (f"n0,n1 1/2 {places}\n", True)
    assert lab.call(lab.driver.usage(key)).tasks == 3


def test_a_rank_that_fails_ends_its_gang_on_the_other_host(lab):
    script = '[ "$FENGLIN_NODE_RANK" = 1 ] && exit 7; sleep 60'
    key = lab.start(lab.order(script, nodes=2, shares=BOTH, tasks="0-1", task_count=2))
    ends, _ = lab.finish(key)
    assert [(end.exit_code, end.reason) for end in ends] == [(7, Reason.EXIT_CODE)] * 2
    assert all(end.wall_ms < 30_000 for end in ends)


def test_all_hosts_have_their_order_before_any_runs(lab, hosts):
    lab.call(lab.driver.inventory())
    hosts.stop(hosts.addresses[1])
    truth = hosts.shared / lab.hub
    script = f"echo ran >> {truth}"
    with pytest.raises(DriverError) as caught:
        lab.start(lab.order(script, nodes=2, shares=BOTH))
    assert not caught.value.effect_unknown
    hosts.start(hosts.addresses[1])
    lab.until(lambda: lab.look(f"{lab.hub}-a1-1").presence is not Presence.UNKNOWN)
    assert not truth.exists()
    key = lab.start(lab.order(script, 2, nodes=2, shares=BOTH))
    assert [end.exit_code for end in lab.finish(key)[0]] == [0]
    assert truth.read_text() == "ran\n" * 2


def test_a_start_that_was_interrupted_between_hosts_is_finished(lab, monkeypatch):
    remote = lab.driver._remotes["n1"]
    ask = remote.ask

    async def deaf(operation, body=b"", **head):
        if operation == "go":
            raise DriverError("gone", effect_unknown=True)
        return await ask(operation, body, **head)

    with monkeypatch.context() as patch:
        patch.setattr(remote, "ask", deaf)
        with pytest.raises(DriverError) as caught:
            lab.start(lab.order("true", shares=BOTH, tasks="0-9", task_count=10))
        assert caught.value.effect_unknown
    key = f"{lab.hub}-a1-1"
    lab.build()
    ends, _ = lab.finish(key)
    assert [end.index for end in ends] == list(range(10))


def test_a_hub_that_lost_its_folder_finds_its_attempts_on_the_hosts(lab, tmp_path):
    key = lab.start(lab.order("sleep 1", shares=BOTH, tasks="0-3", task_count=4))
    lab.folder = tmp_path / "restored"
    lab.build()
    assert lab.call(lab.driver.keys()) == {key}
    assert [end.index for end in lab.finish(key)[0]] == [0, 1, 2, 3]


def test_the_ends_of_one_host_are_told_while_another_is_away(lab, hosts):
    script = '[ "$FENGLIN_NODE" = n0 ] || sleep 1'
    key = lab.start(lab.order(script, shares=BOTH, tasks="0-1", task_count=2))
    hosts.stop(hosts.addresses[1])
    seen = lab.until(lambda: (s := lab.look(key)).ends and s)
    assert (seen.presence, len(seen.ends)) == (Presence.UNKNOWN, 1)
    hosts.start(hosts.addresses[1])
    assert [end.exit_code for end in lab.finish(key)[0]] == [0, 0]


def test_a_host_that_hangs_does_not_hold_up_the_others(lab, hosts, monkeypatch):
    lab.until(lambda: all(node.up for node in lab.call(lab.driver.inventory()).nodes))
    monkeypatch.setattr(lab.driver._observer._rounds, "_patience_s", 0.3)
    monkeypatch.setattr(lab.driver._rounds, "_patience_s", 0.3)
    script = '[ "$FENGLIN_NODE" = n0 ] || sleep 1'
    key = lab.start(lab.order(script, shares=BOTH, tasks="0-1", task_count=2))
    hosts.freeze(hosts.addresses[1])
    try:
        seen = lab.until(lambda: (s := lab.look(key)).ends and s)
        assert (seen.presence, len(seen.ends)) == (Presence.UNKNOWN, 1)
        # It was well a moment ago and its tasks may be too: not down before it has had its time.
        began_s = time.monotonic()
        assert all(node.up for node in lab.call(lab.driver.inventory()).nodes)
        assert time.monotonic() - began_s < 5
    finally:
        hosts.thaw(hosts.addresses[1])
    assert [end.exit_code for end in lab.finish(key)[0]] == [0, 0]


def test_cards_are_shown_to_the_slot_that_has_them(lab):
    script = 'echo "$FENGLIN_CARDS"; sleep 0.3'
    shares = (Share("n0", 2, (0, 1, 4, 5)),)
    key = lab.start(lab.order(script, shares=shares, tasks="0-1", task_count=2))
    lab.finish(key)
    assert {lab.text(key, task).strip() for task in (0, 1)} == {"0,1", "4,5"}


def test_an_agent_that_was_left_behind_does_nothing_more(lab):
    lab.call(lab.driver.inventory())
    old = lab.driver
    lab.build()
    lab.call(lab.driver.inventory())
    remote = old._remotes["n0"]

    async def late():
        # What a line delivers late: the agent behind it has been replaced.
        process = remote._process
        text = b'{"id":1,"op":"stop","key":"x-a1-1","grace_ms":0}'
        process.stdin.write(b"%d 0\n%b" % (len(text), text))
        await asyncio.wait_for(process.wait_closed(), 10)

    lab.call(late())
    assert not (lab.place() / "attempts" / "x-a1-1").exists()
