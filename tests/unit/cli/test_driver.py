"""`fenglin driver`: what is installed, and whether a configured site is there."""

import json
import sys

import pytest

SITE = """
[site.{name}]
driver = "{driver}"
provider = "us"
settings = {{ {settings} }}
[site.{name}.flavor.std]
cpu = 4
memory = "1GiB"
"""


@pytest.fixture
def config(tmp_path):
    """Return what writes a configuration of one site named `here`."""

    def write(driver="mock", settings=""):
        path = tmp_path / "fenglin.toml"
        path.write_text(SITE.format(name="here", driver=driver, settings=settings))
        return path

    return write


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return what makes an importable package that registers a driver, as pip would leave it."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def put(kind, code, package="strange"):
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fenglin.drivers]\n{kind} = {package}:driver\n")
        (folder / f"{package}.py").write_text(code)
        monkeypatch.delitem(sys.modules, package, raising=False)

    return put


def test_list(fenglin):
    done = fenglin("driver", "list")
    assert done.code == 0
    head, *rows = done.out.splitlines()
    assert head.split() == ["KIND", "PACKAGE", "PLACEMENT", "PURPOSE", "CAN"]
    assert {"local", "mock"} <= {row.split()[0] for row in rows}
    found = {row["kind"]: row for row in json.loads(fenglin("driver", "list", "-o", "json").out)}
    assert found["local"]["placement"] == "node"
    assert {"arrays", "gangs"} <= set(found["local"]["capabilities"])


def test_a_broken_package_hides_no_other(fenglin, installed):
    installed("ill", "1/0")
    done = fenglin("driver", "list", "-o", "json")
    assert done.code == 0
    found = {row["kind"]: row for row in json.loads(done.out)}
    assert "ZeroDivisionError" in found["ill"]["purpose"]
    assert found["local"]["capabilities"]


def test_a_plain_function_is_a_driver_too(fenglin, installed):
    installed("plain", "def driver(context, settings): ...")
    found = {row["kind"]: row for row in json.loads(fenglin("driver", "list", "-o", "json").out)}
    assert found["plain"] == {
        "kind": "plain", "package": "strange 1.0", "placement": "", "purpose": "",
        "capabilities": [],
    }  # fmt: skip


def test_two_packages_with_one_name_are_told(fenglin, installed, config):
    installed("mock", "def driver(context, settings): ...")
    done = fenglin("driver", "check", "here", "--config", config())
    assert done.code == 2
    assert "several packages register the driver 'mock'" in done.err


@pytest.mark.parametrize("driver", ["local", "mock"])
def test_check_of_a_site_that_is_well(fenglin, config, driver):
    done = fenglin("driver", "check", "here", "--config", config(driver))
    assert (done.code, done.err) == (0, "")
    assert [line.split("  ")[0] for line in done.out.splitlines()] == [
        "CHECK", "settings", "inventory", "listing", "unknown key",
    ]  # fmt: skip
    assert "FAILED" not in done.out


@pytest.mark.parametrize(
    ("faults", "failed", "why"),
    [
        ('{ fault = "unreachable", times = -1 }', "inventory", "was not answered"),
        ('{ fault = "node_down", times = -1 }', "inventory", "none of 1 nodes is up"),
        ('{ fault = "unknown", times = -1 }', "unknown key", "is unknown"),
    ],
)
def test_check_names_the_step_that_fails(fenglin, config, faults, failed, why):
    path = config(settings=f"faults = [{faults}]")
    done = fenglin("driver", "check", "here", "--config", path, "-o", "json")
    assert done.code == 6
    *well, last = json.loads(done.out)
    assert all(finding["ok"] for finding in well)
    assert (last["check"], last["ok"]) == (failed, False)
    assert why in last["found"]


def test_a_driver_at_fault_is_a_finding(fenglin, installed, config):
    installed(
        "wild",
        "class Wild:\n"
        "    capabilities = frozenset()\n"
        "    async def inventory(self): return {}['x']\n"
        "    async def close(self): pass\n"
        "def driver(context, settings): return Wild()\n",
    )
    done = fenglin("driver", "check", "here", "--config", config("wild"))
    assert done.code == 6
    assert "the driver is at fault: KeyError: 'x'" in done.out


@pytest.mark.parametrize(
    ("name", "driver", "settings", "code", "why"),
    [
        ("here", "mock", 'colour = "red"', 2, "unknown setting 'colour'"),
        ("here", "none-such", "", 2, "there is no driver 'none-such'"),
        ("nowhere", "mock", "", 3, "no site is named 'nowhere'"),
    ],
)
def test_check_of_what_cannot_be_built(fenglin, config, name, driver, settings, code, why):
    done = fenglin("driver", "check", name, "--config", config(driver, settings))
    assert done.code == code
    assert why in done.err


def test_check_needs_a_configuration(fenglin, tmp_path):
    done = fenglin("driver", "check", "here", "--config", tmp_path / "none.toml")
    assert done.code == 2
    assert "cannot read the configuration" in done.err


def test_new(fenglin, tmp_path):
    done = fenglin("driver", "new", "moon", "--out", tmp_path / "moon")
    assert done.code == 0
    named = [line for line in done.out.splitlines() if line.startswith("/")]
    assert len(named) == 6
    assert all((tmp_path / "moon" / path).is_file() for path in named)
    assert fenglin("driver", "new", "moon", "--out", tmp_path / "moon").code == 5
    assert fenglin("driver", "new", "Moon!", "--out", tmp_path / "other").code == 2
