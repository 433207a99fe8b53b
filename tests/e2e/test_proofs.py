"""A ledger that is signed as it grows, and proven to people who do not trust its hub."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fenglin.client.proofs import checkpoint
from fenglin.testing import HubProcess, LocalSite, hub_file

pytestmark = pytest.mark.xdist_group("e2e-proofs")

FENGLIN = Path(sys.executable).with_name("fenglin")
OPEN_S = 30.0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "kept").mkdir()
    return folder


@pytest.fixture(scope="module")
def witness(outside):
    """Return (state folder, port, public key) of a witness that does not run yet."""
    state = outside / "witness"
    words = [FENGLIN, "ledger", "witness", "--state", state, "--name", "w.test", "--key-only"]
    key = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    return state, free_port(), key.strip()


@pytest.fixture(scope="module")
def config(outside, witness):
    _, port, key = witness
    return (
        hub_file([LocalSite("only")])
        + f"""
[ledger]
seal_every = "1s"
checkpoint_to = ["{outside / "kept"}"]
[ledger.witness.w]
url = "http://127.0.0.1:{port}"
key = "{key}"
"""
    )


@pytest.fixture(scope="module")
def watching(hub, witness):
    """Run the witness beside the hub."""
    state, port, _ = witness
    key = hub.client().call(checkpoint()).key
    words = [FENGLIN, "ledger", "witness", "--state", state, "--log", key]
    words += ["--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("witness w.test answers")
        yield key
        process.terminate()


def test_a_tenant_verifies_without_the_hub(
    client, fenglin, watching, witness, outside, tmp_path, eventually
):
    first = tmp_path / "first.checkpoint"
    assert fenglin("ledger", "checkpoint", "--out", first).code == 0
    client.wait(client.submit({"name": "paid", "tasks": 5, "command": ["true"]}).id, 30)
    shown = fenglin("ledger", "checkpoint", "-o", "json").json
    assert shown["key"] == watching
    eventually((outside / "kept" / f"{shown['size']:019d}.checkpoint").exists, OPEN_S)

    def cosigned():
        return "w.test" in fenglin("ledger", "checkpoint", "-o", "json").json["checkpoint"]

    eventually(cosigned, OPEN_S)
    proof = tmp_path / "mine.proof"
    got = fenglin("ledger", "prove", "--earlier", first, "--key", watching, "--out", proof)
    assert got.code == 0, got.err

    alone = ("ledger", "prove", "--statement", proof, "--key", watching, "--earlier", first)
    nowhere = "http://127.0.0.1:9"
    good = fenglin(*alone, "--witness", witness[2], "-o", "json", url=nowhere)
    assert good.code == 0, good.err
    assert good.json["proven"]
    assert "w.test" in good.json["witnesses"]
    assert len(good.json["entries"]) >= 3

    file = json.loads(proof.read_text())
    file["entries"][1] = re.sub(
        r'"tenant:default:available","CNY",-?\d+',
        r'"tenant:default:available","CNY",7',
        file["entries"][1],
    )
    proof.write_text(json.dumps(file))
    bad = fenglin(*alone, url=nowhere)
    assert bad.code == 7
    assert "does not hold" in bad.err


def test_the_ledger_goes_on_from_what_was_kept(client, fenglin, watching, tmp_path):
    first = tmp_path / "first.checkpoint"
    assert fenglin("ledger", "checkpoint", "--out", first).code == 0
    client.wait(client.submit({"name": "more", "command": ["true"]}).id, 30)
    good = fenglin("ledger", "verify", "--checkpoint", first, "--key", watching)
    assert good.code == 0, good.err
    export = tmp_path / "all.jsonl"
    assert fenglin("ledger", "export", "--format", "jsonl", "--out", export).code == 0
    words = ("ledger", "verify", "--export", export, "--checkpoint", first, "--key", watching)
    assert fenglin(*words, url="http://127.0.0.1:9").code == 0

    lines = export.read_text().splitlines(keepends=True)
    size = int(first.read_text().splitlines()[1])
    export.write_text("".join(lines[: size - 1]))
    cut = fenglin(*words, "-o", "json")
    assert cut.code == 7
    assert cut.json["first_bad_seq"] == size


def test_an_old_backup_is_found_by_those_who_kept_checkpoints(tmp_path, eventually):
    kept = tmp_path / "kept"
    kept.mkdir()
    sealed = f'[ledger]\nseal_every = "1s"\ncheckpoint_to = ["{kept}"]\n'
    with HubProcess(tmp_path / "own", hub_file([LocalSite("only")]) + sealed) as process:

        def run(name):
            client = process.start().client()
            client.wait(client.submit({"name": name, "command": ["true"]}).id, 30)
            return int(client.call(checkpoint(fresh=True)).size)

        size = run("one")
        process.stop()
        (database,) = (tmp_path / "own").rglob("*.db")
        backup = database.read_bytes()
        assert run("two") > size
        eventually(lambda: any(int(path.stem) > size for path in kept.iterdir()), OPEN_S)
        process.stop()
        for leftover in database.parent.glob(f"{database.name}-*"):
            leftover.unlink()
        database.write_bytes(backup)
        process.start()
        eventually(lambda: "was an old backup restored?" in process.log(), OPEN_S)
