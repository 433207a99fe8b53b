"""Attack cases 105 to 116: paths and files, by every request that takes one."""

import hashlib
import re
from pathlib import Path

import pytest
from tests.attack.people import SMALL

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-files")

SOURCE = Path(__file__).parents[2] / "src" / "fenglin"
MARK = "CANARY-of-a-file"
PATHS = {
    "105 up": "0/../../../admin.token",
    "105 far up": "../" * 40 + "etc/passwd",
    "106 absolute": "/etc/passwd",
    "106 twice": "//etc/passwd",
    "107 encoded": "0/%2e%2e/%2e%2e/%2e%2e/admin.token",
    "107 encoded slash": "..%2f..%2f..%2fadmin.token",
    "107 twice": "..%252f..%252fadmin.token",
    "107 overlong": "..%c0%af..%c0%afadmin.token",
    "107 wide": "%ef%bc%8e%ef%bc%8e/admin.token",
    "108 backslash": "0\\..\\..\\admin.token",
    "108 encoded backslash": "0%5c..%5cadmin.token",
    "52 NUL": "0/kept%00.png",
    "116 a long name": "0/" + "x" * 5_000,
    "116 a deep path": "0/" * 2_500 + "kept",
    "59 a link": "0/link",
    "59 through a link": "0/folder/passwd",
    "111 a pipe": "0/pipe",
}


@pytest.fixture(scope="module")
def job(town):
    """Return a job that has left a file, and, beside it, things that are none."""
    script = """
        cd "$FENGLIN_ARTIFACTS_DIR" && echo kept > kept
        ln -s /etc/passwd link; ln -s /etc folder; mkfifo pipe; chmod 4755 kept
    """
    return town.ended_job("team/member", script=script)


def test_only_the_file_is_there(town, job):
    """Attacks 59, 111 and 115."""
    listed = town.ask("GET", f"/v1/jobs/{job}/artifacts", "team/viewer").json["items"]
    assert [one["path"] for one in listed] == ["0/kept"]
    assert town.ask("GET", f"/v1/jobs/{job}/artifacts/0/kept", "team/viewer").body == b"kept\n"
    kept = [path for path in town.hub.data.rglob("kept") if path.is_file()]
    assert kept
    assert not [path for path in kept if path.stat().st_mode & 0o6000]


@pytest.mark.parametrize("case", PATHS)
def test_kept_files(town, job, case):
    """Attacks 105 to 108, 111 and 116: no path leads to what the job has not kept."""
    answer = town.ask("GET", f"/v1/jobs/{job}/artifacts/{PATHS[case]}", "operator")

    assert answer.status in (400, 404), answer.body[:200]
    assert b"root:" not in answer.body
    assert b"fgl_" not in answer.body
    assert len(answer.body) < 8_000


TARGETS = ["../out", "a/../../out", "/tmp/out", "~/out", "", ".", "..", "a\\..\\b", "a\0b",
           "x" * 5_000, "a/" * 3_000]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
def test_where_inputs_go(town, target):
    """Attacks 58, 105, 106, 108 and 116, in a job document."""
    data = b"input"
    sha = hashlib.sha256(data).hexdigest()
    assert town.ask("PUT", f"/v1/blobs/{sha}", "team/member", data).status in (200, 201)
    document = {
        "name": "x", "account": "team", "command": ["cat", "fine"],
        "files": [{"sha256": sha, "size": len(data), "target": "fine"}], **SMALL,
    }  # fmt: skip
    good = town.ask("POST", "/v1/jobs", "team/member", document)
    document["files"][0]["target"] = target
    bad = town.ask("POST", "/v1/jobs", "team/member", document)

    assert (good.status, bad.status) == (201, 400), bad.body[:300]


GLOBS = ["../*", "/etc/*", "a/../../*", "~/*", "a\0b", "../../**"]


@pytest.mark.parametrize("pattern", GLOBS)
def test_what_is_kept(town, pattern):
    """Attacks 60 and 105: refused, or it keeps nothing that is not the task's."""
    document = {
        "name": "x",
        "account": "team",
        "command": ["true"],
        "artifacts": [pattern],
        **SMALL,
    }
    answer = town.ask("POST", "/v1/jobs", "team/member", document)
    if answer.status == 400:
        return
    job = answer.json["id"]
    town.client("team/member").wait(job, 60)
    assert town.ask("GET", f"/v1/jobs/{job}/artifacts", "team/viewer").json["items"] == []


ADDRESSES = [
    "../admin.token",
    "..%2fadmin.token",
    "AB" * 32,
    "ab" * 31,
    "ab" * 33,
    "ab" * 31 + "%00%00",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_content_addresses_are_no_paths(town, method, address):
    """Attacks 105 to 107."""
    answer = town.ask(method, f"/v1/blobs/{address}", "operator", b"x" if method == "PUT" else b"")
    assert answer.status in (400, 404, 405)


def test_an_address_is_what_it_holds(town):
    """Attack 114: what is stored under an address is what was hashed, or nothing is."""
    sha = hashlib.sha256(b"one thing").hexdigest()

    assert town.ask("PUT", f"/v1/blobs/{sha}", "team/member", b"another").status == 400
    assert town.ask("HEAD", f"/v1/blobs/{sha}", "team/member").status == 404


def test_anothers_file_is_one_that_nobody_sent(town):
    """A digest is no proof of having the file: to every question both answer alike."""
    data = b"what only one team has"
    sent, never = hashlib.sha256(data).hexdigest(), hashlib.sha256(b"what nobody has").hexdigest()
    assert town.ask("PUT", f"/v1/blobs/{sent}", "team/member", data).status == 201
    who = "team-a/member"

    def answers(sha):
        document = {
            "name": "j", "account": "team-a", "command": ["cat", "in"],
            "files": [{"sha256": sha, "size": len(data), "target": "in"}], **SMALL,
        }  # fmt: skip
        asked = [
            town.ask("HEAD", f"/v1/blobs/{sha}", who),
            town.ask("GET", f"/v1/blobs/{sha}", who),
            town.ask("POST", "/v1/blobs:missing", who, {"sha256": [sha]}),
            town.ask("POST", "/v1/jobs", who, document),
            town.ask("POST", "/v1/jobs:batch", who, [document]),
            town.ask("POST", "/v1/plan", who, document),
            town.ask("PUT", f"/v1/blobs/{sha}", who, b"not it"),
        ]
        return [(one.status, one.body.replace(sha.encode(), b"SHA")) for one in asked]

    foreign = answers(sent)
    assert foreign == answers(never)
    assert [status for status, _ in foreign] == [404, 404, 200, 400, 400, 400, 400]
    assert town.ask("HEAD", f"/v1/blobs/{sent}", "team/viewer").status == 200
    assert town.ask("PUT", f"/v1/blobs/{sent}", who, data).status == 201
    assert [status for status, _ in answers(sent)][:4] == [200, 200, 200, 201]


@pytest.mark.parametrize("case", ["../x", "/x", "a\\b", "x" * 5_000])
def test_the_command_line_writes_no_kept_file_elsewhere(town, fenglin, tmp_path, case):
    """Attacks 105, 106, 108 and 116."""
    job = town.ended_job("team/member", script="echo 1 > kept", artifacts=["kept"])

    done = fenglin("job", "artifacts", job, case, who="team/member")

    assert done.code in (2, 3), done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


IMPORT = re.compile(r"^\s*(?:import|from) (bz2|gzip|lzma|tarfile|zipfile|zlib)\b", re.MULTILINE)
UNPACK = re.compile(r"\.extract(?:all)?\(|unpack_archive\(|ZipFile\([^)]*\"[ra]\"|tarfile\.open\(")
# Compressed files that whoever runs the command has chosen, read line by line.
READERS = ("simulator/", "cli/price_files.py", "cli/prices.py", "cli/offer", "catalog/offers/")


def test_nothing_unpacks_an_archive():
    """Attacks 109, 110, 112 and 113: archives are made, for Ray and the executor, never opened.

    Who adds the first reader answers here for links, devices, names and bombs in what it reads.
    """
    texts = {
        str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8")
        for path in sorted(SOURCE.rglob("*.py"))
    }
    hub = {
        name: text for name, text in texts.items() if not name.startswith(("testing/", *READERS))
    }
    assert len(hub) > 300
    assert [name for name, text in hub.items() if UNPACK.search(text)] == []
    opened = {name: set(IMPORT.findall(text)) for name, text in hub.items()}
    assert {name for name, found in opened.items() if found - {"zlib", "zipfile"}} == set()
    makers = {name for name, found in opened.items() if "zipfile" in found}
    assert makers == {name for name, text in hub.items() if re.search(r"ZipFile\([^)]*\"w\"", text)}
