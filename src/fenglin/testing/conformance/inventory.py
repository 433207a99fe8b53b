"""What the site says it holds."""

from __future__ import annotations

from fenglin.catalog.devices import lookup
from fenglin.testing.conformance.site import SiteHand


class InventoryCases:
    """Capacity, devices by registry name, what is drained or down, and the generation."""

    def test_inventory_holds_what_is_declared(self, site: SiteHand) -> None:
        """Flavors and nodes of the configuration are there, up, and of positive size."""
        report = site.call(site.driver.inventory())
        assert {f.name for f in site.harness.flavors} <= {f.name for f in report.flavors}
        up = {node.name for node in report.nodes if node.up}
        assert {node.name for node in site.harness.nodes} <= up
        assert all(flavor.node.cpu_milli > 0 for flavor in report.flavors)
        assert all(flavor.node.memory_bytes > 0 for flavor in report.flavors)

    def test_inventory_fits_together(self, site: SiteHand) -> None:
        """Names are unique, each node is of a known flavor, licences are sorted."""
        report = site.call(site.driver.inventory())
        flavors = [flavor.name for flavor in report.flavors]
        nodes = [node.name for node in report.nodes]
        assert len(set(flavors)) == len(flavors)
        assert len(set(nodes)) == len(nodes)
        assert {node.flavor for node in report.nodes} <= set(flavors)
        assert list(report.licences) == sorted(report.licences)

    def test_cards_have_their_name_in_the_registry(self, site: SiteHand) -> None:
        """A flavor with cards names a model that the registry knows, and only such a one."""
        report = site.call(site.driver.inventory())
        for flavor in report.flavors:
            assert bool(flavor.accelerator) == (flavor.node.accelerator_milli > 0), flavor
            if flavor.accelerator:
                device = lookup(flavor.accelerator)
                assert device is not None, f"{flavor.accelerator} is in no registry"
                assert device.key == flavor.accelerator

    def test_generation_outlives_a_restart_of_the_hub(self, site: SiteHand) -> None:
        """Only a site that lost its memory gets another generation, not a hub that restarts."""
        before = site.call(site.driver.inventory())
        site.restart()
        after = site.call(site.driver.inventory())
        assert after.generation == before.generation
        assert after == before

    def test_a_node_that_is_down_is_told(self, site: SiteHand) -> None:
        """A drained or dead node is not up; it is again when it comes back."""
        name = site.harness.nodes[-1].name
        site.call(site.harness.take_down(name))
        try:
            site.wait(lambda: not _up(site, name), f"{name} down")
        finally:
            site.call(site.harness.bring_up(name))
        site.wait(lambda: _up(site, name), f"{name} up")

    def test_lost_memory_is_another_generation(self, site: SiteHand) -> None:
        """A site that forgot its attempts says so: they are ABSENT and the generation differs."""
        before = site.call(site.driver.inventory()).generation
        key = site.run(site.order())[1].key
        site.call(site.harness.lose_memory())
        site.wait(lambda: site.look(key).presence.value == "absent", f"{key} absent")
        assert site.call(site.driver.inventory()).generation != before
        assert key not in site.listing()


def _up(site: SiteHand, name: str) -> bool:
    """Return whether the site lists the node as usable; one that it no longer lists is not."""
    report = site.call(site.driver.inventory())
    return any(node.name == name and node.up for node in report.nodes)
