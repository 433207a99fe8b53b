"""Nova itself, with placement, in one process of an environment of its own; see `openstack`.

Run as a file by that environment's interpreter, which has Nova and not this package. Nova's own
test fixtures give it a database in memory, a hypervisor that only pretends, and a Neutron and a
Glance that only pretend. Keystone is left out: every token is the administrator's.
"""

from __future__ import annotations

import copy
import importlib
import sys
import unittest
from typing import Any

ADDRESSES = "127.0.8."
MOST_ADDRESSES = 250


def pretended_network() -> None:
    """Give servers addresses that sshd can listen on, each another one."""
    fixture = importlib.import_module("nova.tests.fixtures.neutron").NeutronFixture
    fixture.subnet_1.update(cidr=f"{ADDRESSES}0/24", gateway_ip=f"{ADDRESSES}254")
    plain = fixture.create_port
    made = [0]

    def create_port(self: Any, body: Any = None) -> Any:  # noqa: ANN401 - Nova's
        identity = plain(self, body)["port"]["id"]
        made[0] = made[0] % MOST_ADDRESSES + 1
        port = self._ports[identity]
        port["fixed_ips"] = [{**port["fixed_ips"][0], "ip_address": f"{ADDRESSES}{made[0]}"}]
        return {"port": copy.deepcopy(port)}

    fixture.create_port = create_port


def main(port: int) -> None:
    """Serve until killed."""
    base = importlib.import_module("nova.tests.functional.integrated_helpers")
    eventlet = importlib.import_module("eventlet")
    importlib.import_module("eventlet.wsgi")
    pretended_network()

    class Cloud(base._IntegratedTestBase):  # type: ignore[misc, name-defined] # noqa: SLF001
        ADMIN_API = True
        microversion = "latest"
        CAST_AS_CALL = False

        def test_serve(self) -> None:
            app = self.api_fixture.app()

            def anybody(environ: dict[str, Any], start: Any) -> Any:  # noqa: ANN401 - WSGI
                who = {
                    "HTTP_X_AUTH_USER": "admin",
                    "HTTP_X_AUTH_TOKEN": "any",
                    "HTTP_X_AUTH_PROJECT_ID": self.api_fixture.project_id,
                    "HTTP_X_ROLES": "reader,member,admin",
                }
                return app({**environ, **who}, start)

            eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port)), anybody, log_output=False)

    unittest.TextTestRunner().run(Cloud("test_serve"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
