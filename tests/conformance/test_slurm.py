"""The Slurm driver passes the conformance suite, against a real cluster."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.conformance.slurm_wishes import GRANTS, WishCases, columns

from fenglin.drivers.slurm import driver
from fenglin.model.allocation import Usage
from fenglin.model.reason import Reason
from fenglin.model.wishes import SchedulerWish
from fenglin.quantities.resources import Resources
from fenglin.testing.conformance import DriverConformance, Harness, Payload
from fenglin.testing.conformance.arrays import ArrayCases, GangCases
from fenglin.testing.conformance.files import FileCases
from fenglin.testing.conformance.hostile import HostileCases
from fenglin.testing.conformance.inventory import InventoryCases
from fenglin.testing.conformance.logs import LogCases
from fenglin.testing.conformance.observing import ObservingCases
from fenglin.testing.conformance.partial import PartialCases
from fenglin.testing.conformance.starting import StartingCases
from fenglin.testing.conformance.stopping import FOR_EVER, StoppingCases
from fenglin.testing.conformance.usage import UsageCases
from fenglin.testing.servers.slurm import AccountedCluster, SlurmCluster, find_slurm
from fenglin.testing.servers.slurm_accounts import find_accounts
from fenglin.testing.servers.slurm_newer import find_newer
from fenglin.testing.servers.slurm_rest import RestCluster, SocketCluster, find_rest
from fenglin.testing.servers.sshd import SshHosts, find_sshd


@pytest.fixture(scope="module")
def cluster():
    why = find_slurm()
    if why:
        pytest.skip(why)
    # A short path: the name of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="fl-slurm-"))
    try:
        with SlurmCluster(folder / "east", "east") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def runners(key):
    """Return the pids of the elements of an attempt that run on this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"SLURM_JOB_NAME={key}".encode() in variables and b"-ISE" in words:
            found.append(int(entry.name))
    return found


class SlurmHarness(Harness):
    """A cluster of two nodes, with what its operator can do."""

    poll_s = 0.05
    tick_s = 0.3
    patience_s = 40.0

    def __init__(self, cluster, folder):
        self.cluster = cluster
        shared = folder / "shared"
        shared.mkdir(parents=True)
        self.commands = folder / "commands"
        self.commands.mkdir()
        for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun", "sacct"):
            (self.commands / name).symlink_to(cluster.program(name) or "/nowhere")
        settings = {
            "commands": str(self.commands),
            "shared_dir": str(shared),
            "conf": str(cluster.conf),
            "python": str(Path(sys.executable).resolve()),  # no shim, which would be slow
            "partition": {"std": "main"},
            "poll": "0s",
            "lost_after": "1s",
            **GRANTS,
        }
        super().__init__(driver, folder, settings)
        self.foreign = ""

    async def command(self, name, *arguments):
        return await asyncio.to_thread(self.cluster.command, name, *arguments)

    async def close(self):
        await self.command("scancel", "--quiet", "--user", str(os.getuid()))

    async def cut(self):
        self.commands.rename(self.folder / "away")

    async def mend(self):
        (self.folder / "away").rename(self.commands)

    async def lose_agent(self, key):
        for pid in runners(key):
            os.kill(pid, signal.SIGKILL)

    async def objects(self, key):
        listed = await self.command("squeue", "--noheader", f"--name={key}", "--format=%F")
        return len(set(listed.split()))

    async def take_down(self, node):
        machine = self.machine(node)
        await self.command("scontrol", "update", machine, "State=DRAIN", "Reason=test")

    async def bring_up(self, node):
        await self.command("scontrol", "update", self.machine(node), "State=RESUME")

    def machine(self, node):
        """Return one of the cluster's nodes; any will do, since places are only counted."""
        return f"NodeName={self.cluster.nodes[int(node[1:])]}"

    async def add_foreign(self):
        told = await self.command(
            "sbatch", "--parsable", "--output=/dev/null", "--job-name=c-a1-1", "--wrap=sleep 300"
        )
        self.foreign = told.strip()
        return self.foreign

    async def foreign_lives(self, name):
        return name in (await self.command("squeue", "--noheader", "--format=%i")).split()


class TestSlurm(DriverConformance, WishCases):
    @pytest.fixture
    def harness(self, cluster, tmp_path):
        return SlurmHarness(cluster, tmp_path / "site")

    def test_every_rank_is_asked_to_end(self, site):
        """What `srun` would pass on as a kill arrives as SIGTERM, with its grace."""
        script = "trap 'echo polite $FENGLIN_NODE_RANK; exit 3' TERM\necho on\nsleep 300 &\nwait\n"
        key = site.start(site.order(script=script, nodes=2, slots=1))
        site.wait(lambda: site.chunk(key).data.split() == [b"on", b"on"], "both ranks")
        # Long, since the signal takes its way through two daemons, and nobody waits for its end.
        site.stop(key, 20_000)
        site.finish(key)
        # Slurm itself remarks on steps that end early.
        assert {"polite 0", "polite 1"} <= set(site.text(key).splitlines())

    def test_licences_are_those_of_the_cluster_and_held_by_its_jobs(self, site):
        """The planner is told how many there are, and Slurm how many a task holds."""
        assert site.call(site.driver.inventory()).licences == (("matlab", 3),)
        # Of the second the cluster knows nothing: the hub counts it by itself.
        held = (("matlab", 2), ("ours", 1))
        key = site.start(site.order(script=FOR_EVER, licences=held))
        site.running(key)
        told = site.call(site.harness.command("squeue", "--noheader", f"--name={key}", "-o", "%W"))
        assert told.split() == ["matlab:2"]
        site.stop(key, 0)
        site.finish(key)

    def test_a_deaf_rank_elsewhere_is_heard_to_its_end_and_gone_by_then(self, site):
        """The final signal reaches every node, and no output is lost by it."""
        beat = site.harness.folder / "beat"
        script = (
            "trap 'echo asked $FENGLIN_NODE_RANK' TERM\n"
            "[ $FENGLIN_NODE_RANK = 0 ] && exec sleep 300\n"
            f"echo on\nwhile :; do date >> {beat}; sleep 0.05; done\n"
        )
        key = site.start(site.order(script=script, nodes=2, slots=1))
        site.wait(lambda: site.chunk(key).data.split() == [b"on"], "the rank elsewhere")
        site.stop(key, 100)
        ends, _ = site.finish(key)
        assert [end.reason for end in ends] == [Reason.CANCELLED]
        assert "asked 1" in site.text(key).splitlines()
        size = beat.stat().st_size
        site.call(site.harness.rest(0.5))
        assert beat.stat().st_size == size


@pytest.fixture(scope="module")
def hosts():
    pytest.importorskip("asyncssh")
    why = find_sshd()
    if why:
        pytest.skip(why)
    # The first is the login node, the second the way to it. Jobs run as who submits them.
    with SshHosts(2, clean=False) as made:
        yield made


class FarHarness(SlurmHarness):
    """The same cluster behind a login node and a jump host."""

    def __init__(self, cluster, hosts, folder):
        super().__init__(cluster, folder)
        self.hosts = hosts
        ways = [{"address": a, "port": hosts.port, "user": hosts.user} for a in hosts.addresses]
        login, jump = ({**way, "key_file": str(hosts.key_file)} for way in ways)
        self.settings["ssh"] = {**login, "jump": jump, "known_hosts": str(hosts.known_hosts)}

    async def close(self):
        await self.mend()
        await super().close()

    async def cut(self):
        for address in self.hosts.addresses:
            self.hosts.stop(address)

    async def mend(self):
        for address in self.hosts.addresses:
            self.hosts.thaw(address)
            if not self.hosts.running(address):
                self.hosts.start(address)

    async def hang(self):
        for address in self.hosts.addresses:
            self.hosts.freeze(address)

    async def lose_memory(self):
        shutil.rmtree(self.folder / "shared" / "sites", ignore_errors=True)


class TestSlurmOverSsh(
    InventoryCases,
    StartingCases,
    ObservingCases,
    StoppingCases,
    PartialCases,
    LogCases,
    FileCases,
    HostileCases,
):
    """What differs by the way to the cluster; what tasks do on a node does not."""

    site = DriverConformance.site

    @pytest.fixture
    def harness(self, cluster, hosts, tmp_path):
        return FarHarness(cluster, hosts, tmp_path / "site")


@pytest.fixture(scope="module")
def newer():
    folder = Path(tempfile.mkdtemp(prefix="fl-slurm-"))
    try:
        release = find_newer(folder / "bin")
        why = find_slurm() or (release if isinstance(release, str) else "")
        if why:
            pytest.skip(why)
        with SlurmCluster(folder / "new", "new", release=release) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class TestNewerSlurm(
    InventoryCases,
    StartingCases,
    ObservingCases,
    StoppingCases,
    PartialCases,
    ArrayCases,
    GangCases,
    UsageCases,
    WishCases,
):
    """What differs by the release, on 24.11."""

    site = DriverConformance.site

    @pytest.fixture
    def harness(self, newer, tmp_path):
        return SlurmHarness(newer, tmp_path / "site")


@pytest.fixture(scope="module")
def accounted():
    why = find_slurm() or find_accounts()
    if why:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="fl-slurm-"))
    try:
        # Slurm forgets at once what has ended, so that only the accounts know.
        with AccountedCluster(folder / "acc", "acc", keep_s=2) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class AccountedHarness(SlurmHarness):
    """A cluster with slurmdbd, which counts whole seconds from the job's start to its end."""

    tick_s = 0.8
    coarse_s = 2.0

    async def accounting(self, key):
        for _ in range(100):
            told = await self.command(
                "sacct", "--noheader", "--parsable2", "--allocations", f"--name={key}",
                "--starttime=now-1days", "--format=State,ElapsedRaw",
            )  # fmt: skip
            rows = [line.split("|") for line in told.splitlines()]
            if rows and all(state == "COMPLETED" for state, _ in rows):
                wall_ms = sum(int(elapsed) * 1_000 for _, elapsed in rows)
                return Usage(len(rows), wall_ms, wall_ms)
            await asyncio.sleep(0.1)
        raise AssertionError(f"sacct has no ended job of {key}: {told}")


def tell_energy(cluster, joules):
    """Put the energy of all steps where slurmdbd keeps it."""
    more = f"UPDATE acc_step_table SET consumed_energy = {joules}"  # noqa: S608 - our own number
    words = ("mariadb", "--no-defaults", f"--socket={cluster.folder}/db.sock", "--user=root")
    done = subprocess.run(
        [*words, "accounts", "-e", more], check=False, capture_output=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


class TestAccountedSlurm(UsageCases):
    """Ours agrees with sacct, Slurm knows a QoS, and its accounts may tell of energy."""

    site = DriverConformance.site

    def test_energy_is_that_of_jobs_with_nodes_of_their_own(self, site, accounted):
        """No machine here has meters: what slurmd would have told stands in by the database."""
        harness = site.harness
        whole = site.order(Payload(sleep_s=1.0), resources=Resources(8_000, 2**24))
        part = site.order(Payload(sleep_s=1.0))
        for order in (whole, part):
            site.run(order)
            site.call(harness.accounting(order.key))
        keys = [whole.key, part.key, site.key()]
        # Nobody gathers energy: that is unknown, and no zero.
        assert site.call(site.driver.energy(keys)) == {}
        tell_energy(accounted, 4_242)
        assert site.call(site.driver.energy(keys)) == {whole.key: 4_242}

    def test_a_job_may_choose_its_qos(self, site):
        """Slurm takes only one that its accounts know."""
        harness = site.harness
        site.call(harness.command("sacctmgr", "--immediate", "add", "qos", "long"))

        def known():
            tried = ("sbatch", "--test-only", "--qos=long", "--wrap=true")
            return "to start at" in site.call(harness.command(*tried))

        site.wait(known, "the new QoS")
        wish = SchedulerWish("qos", "long")
        key = site.start(site.order(script=FOR_EVER, account="others", wishes=(wish,)))
        site.running(key)
        assert columns(site, key, "q") == ["long"]
        site.stop(key, 0)
        site.finish(key)

    @pytest.fixture
    def harness(self, accounted, tmp_path):
        return AccountedHarness(accounted, tmp_path / "site")


@pytest.fixture(scope="module")
def rested():
    why = find_slurm() or find_rest()
    if why:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="fl-slurm-"))
    folder.chmod(0o755)
    try:
        with RestCluster(folder / "rest", "rest") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class RestHarness(SlurmHarness):
    """A cluster behind slurmrestd; the hub has none of Slurm's commands."""

    def __init__(self, cluster, folder):
        super().__init__(cluster, folder)
        del self.settings["commands"]
        rest = {"url": cluster.url, "user": cluster.user}
        self.settings["rest"] = rest | {"token_file": str(cluster.token_file)}

    async def cut(self):
        self.cluster.kill_rest()

    async def mend(self):
        self.cluster.mend_rest()


class TestSlurmRest(
    InventoryCases,
    StartingCases,
    ObservingCases,
    StoppingCases,
    GangCases,
    HostileCases,
    WishCases,
):
    """What differs by the way to ask, through slurmrestd of 22.05 with tokens."""

    site = DriverConformance.site

    @pytest.fixture
    def harness(self, rested, tmp_path):
        return RestHarness(rested, tmp_path / "site")


@pytest.fixture(scope="module")
def socketed():
    why = find_slurm() or find_rest()
    if why:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="fl-slurm-"))
    folder.chmod(0o755)
    try:
        with SocketCluster(folder / "sock", "sock") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class TestSlurmRestBySocket(InventoryCases, ArrayCases):
    """What differs by the way to slurmrestd: a socket in the file system."""

    site = DriverConformance.site

    def test_licences_are_those_of_the_cluster(self, site):
        """slurmrestd tells of them too."""
        assert site.call(site.driver.inventory()).licences == (("matlab", 3),)

    @pytest.fixture
    def harness(self, socketed, tmp_path):
        return RestHarness(socketed, tmp_path / "site")


@pytest.fixture(scope="module")
def newer_rested():
    folder = Path(tempfile.mkdtemp(prefix="fl-slurm-"))
    folder.chmod(0o755)
    try:
        release = find_newer(folder / "bin")
        why = find_slurm() or find_rest() or (release if isinstance(release, str) else "")
        if why:
            pytest.skip(why)
        with RestCluster(folder / "new", "newrest", release=release) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class TestNewerSlurmRest(InventoryCases, StartingCases, ArrayCases, WishCases):
    """What differs by the release, through slurmrestd of 24.11: numbers and states are objects.

    Gangs are not run: a job of slurmrestd finds the `srun` of this machine, which is the older.
    """

    site = DriverConformance.site

    def test_licences_are_those_of_the_cluster(self, site):
        """Where numbers are objects too."""
        assert site.call(site.driver.inventory()).licences == (("matlab", 3),)

    @pytest.fixture
    def harness(self, newer_rested, tmp_path):
        return RestHarness(newer_rested, tmp_path / "site")
