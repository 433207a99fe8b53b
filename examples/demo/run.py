"""The main job from nothing: a hub, three sites, a stereo VR panorama, and the bill.

Run by `make demo` and `make demo-large`. Leaves in `demo-out/`:

    panorama.png    left eye over right eye, with the metadata that VR viewers look for
    preview.png     the left eye, small
    jobs.yaml       what was submitted
    receipts.json   why each job ran where it ran
    statement.txt   the bill; statement.json the same for programs
    ledger.*        the whole ledger: CSV, JSON lines, beancount
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from pool import SHARES, config_text
from progress import Progress

from fenglin.client import Client, load_settings
from fenglin.errors import FenglinError
from jobs import ACCOUNT, PANORAMA, PICTURES, job_file

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAYLOAD = HERE.parent / "karst_vr"
READY_S = 20.0
STOP_S = 20.0


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=sorted(PICTURES), default="demo")
    parser.add_argument("--out", type=Path, default=ROOT / "demo-out")
    options = parser.parse_args()
    out = options.out.resolve()
    home = out / ".hub"
    home.mkdir(parents=True, exist_ok=True)
    hub = start_hub(home)
    try:
        return show(out, home, options.preset)
    except FenglinError as error:
        sys.stderr.write(f"error: {error}\n  hub log: {home / 'hub.log'}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what has run is kept, and the next run starts afresh\n")
        return 130
    finally:
        hub.terminate()
        hub.wait(STOP_S)


def start_hub(home: Path) -> subprocess.Popen[bytes]:
    """Start a hub on a pool of three shares of this machine, and wait until it is ready."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    config = home / "fenglin.toml"
    config.write_text(config_text(os.cpu_count() or 1, memory_bytes))
    address = home / "hub.address"
    address.unlink(missing_ok=True)
    command = [Path(sys.executable).with_name("fenglin"), "hub", "start", "--config", config]
    with (home / "hub.log").open("ab") as log:
        hub = subprocess.Popen(command, stdout=log, stderr=log)
    deadline_s = time.monotonic() + READY_S
    while not address.is_file():
        if hub.poll() is not None or time.monotonic() > deadline_s:
            hub.kill()
            raise SystemExit(f"the hub did not start; see {home / 'hub.log'}")
        time.sleep(0.02)
    return hub


def show(out: Path, home: Path, preset: str) -> int:
    """Submit the jobs, follow them, and write down what came of it."""
    os.environ["FENGLIN_HUB"] = (home / "hub.address").read_text().strip()
    os.environ["FENGLIN_TOKEN"] = (home / "admin.token").read_text().strip()
    client = Client.connect(load_settings(os.environ, Path.home()))
    jobs = out / "jobs.yaml"
    jobs.write_text(job_file(PICTURES[preset], sys.executable, PAYLOAD))
    print(f"hub: {client.hub}  pool: {', '.join(share.site for share in SHARES)}")
    ids = submit(jobs)
    print(f"submitted {', '.join(ids)}")
    views = Progress(client, ids, [share.site for share in SHARES]).follow()
    failed = [view for view in views if view.state != "succeeded"]
    for view in failed:
        print(f"{view.id} {view.name} {view.state}: {view.reason} {view.detail}")
    write_papers(client, out, ids)
    if failed:
        return 1
    fetch_picture(client, out, next(v.id for v in views if v.name == PANORAMA))
    return 0


def submit(jobs: Path) -> list[str]:
    """Submit the file as a user would; return the ids."""
    command = [Path(sys.executable).with_name("fenglin"), "submit", jobs, "-o", "json"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(done.returncode)
    return [item["id"] for item in msgspec.json.decode(done.stdout)["items"]]


def write_papers(client: Client, out: Path, ids: list[str]) -> None:
    """Write receipts, bill and ledger, and say whether the ledger holds."""
    receipts = [client.explain(job) for job in ids]
    (out / "receipts.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(receipts), indent=2) + b"\n"
    )
    statement = client.ledger_statement(ACCOUNT)
    (out / "statement.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(statement), indent=2) + b"\n"
    )
    command = [Path(sys.executable).with_name("fenglin"), "ledger", "statement", "--account"]
    bill = subprocess.run([*command, ACCOUNT], check=True, stdout=subprocess.PIPE).stdout
    (out / "statement.txt").write_bytes(bill)
    sys.stdout.write("\n" + bill.decode())
    for form, suffix in (("csv", "csv"), ("jsonl", "jsonl"), ("beancount", "beancount")):
        with client.ledger_export(form) as pieces, (out / f"ledger.{suffix}").open("wb") as file:
            file.writelines(pieces)
    check = client.ledger_verify()
    verdict = "verified" if check.ok else f"DAMAGED at entry {check.first_bad_seq}: {check.problem}"
    print(f"\nledger {check.ledger_id}: {check.entries} entries, {verdict}")


def fetch_picture(client: Client, out: Path, job: str) -> None:
    """Bring the panorama from the hub's artifacts."""
    for artifact in client.artifacts(job):
        target = out / Path(artifact.path).name
        part = target.with_suffix(".part")
        with client.artifact(job, artifact.path) as pieces, part.open("wb") as file:
            file.writelines(pieces)
        part.replace(target)
        print(f"{target}  {artifact.size_bytes / 2**20:.1f} MiB")


if __name__ == "__main__":
    sys.exit(main())
