"""What is brought before a task starts, and what is kept after it."""

from __future__ import annotations

from pathlib import Path

from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability, StagedInput
from fenglin.testing.conformance.site import SiteHand

OUTSIDE = ("../out", "/fenglin-out", "a/../../out", "", "..", "a\0b")


class FileCases:
    """Inputs and artifacts stay in the folders that they belong to."""

    def test_inputs_are_there_before_the_task(self, site: SiteHand, tmp_path: Path) -> None:
        """A program, a folder and a file below a folder; the sources are not changed."""
        site.need(Capability.INPUTS)
        site.need_processes()
        tool = tmp_path / "tool"
        tool.write_text("#!/bin/sh\necho ran\n")
        scene = tmp_path / "scene"
        (scene / "deep").mkdir(parents=True)
        (scene / "deep" / "x").write_text("x")
        inputs = (
            StagedInput("bin/tool", str(tool), executable=True),
            StagedInput("scene", str(scene)),
            StagedInput("数据/a file", str(tool)),
        )
        script = "bin/tool && cat scene/deep/x && echo changed >> '数据/a file'"
        key = site.start(site.order(script=script, inputs=inputs))
        ends, _ = site.finish(key)
        assert [end.exit_code for end in ends] == [0]
        assert site.text(key) == "ran\nx"
        assert tool.read_text() == "#!/bin/sh\necho ran\n"

    def test_inputs_never_leave_the_folder(self, site: SiteHand, tmp_path: Path) -> None:
        """Attack 58: the task fails for that reason and nothing is written elsewhere."""
        site.need(Capability.INPUTS)
        site.need_processes()
        source = tmp_path / "source"
        source.write_text("x")
        before = sorted(tmp_path.iterdir())
        orders = [site.order(inputs=(StagedInput(to, str(source)),)) for to in OUTSIDE]
        for order in orders:
            site.start(order)
        for order in orders:
            ends, last = site.finish(order.key)
            assert ({end.reason for end in ends} or {last.reason}) == {Reason.STAGING_FAILED}
            assert site.harness.runs(order.key) == []
        assert sorted(tmp_path.iterdir()) == before
        assert not Path("/fenglin-out").exists()

    def test_an_input_that_is_not_there(self, site: SiteHand, tmp_path: Path) -> None:
        """It is the staging that failed, not the payload."""
        site.need(Capability.INPUTS)
        order = site.order(inputs=(StagedInput("x", str(tmp_path / "nowhere")),))
        ends, last = site.run(order)
        assert ({end.reason for end in ends} or {last.reason}) == {Reason.STAGING_FAILED}
        assert site.harness.runs(order.key) == []

    def test_artifacts_are_kept(self, site: SiteHand) -> None:
        """Files that match, by their relative path, below the task's index."""
        site.need(Capability.ARTIFACTS)
        site.need_processes()
        script = """
            mkdir -p out/deep && echo 1 > out/deep/a.png && echo 2 > b.png && echo 3 > c.txt
            echo 4 > "$FENGLIN_ARTIFACTS_DIR/own"
        """
        order = site.order(script=script, artifacts=("*.png", "out/**", "*.none"))
        ends, _ = site.run(order)
        assert [(end.exit_code, end.reason) for end in ends] == [(0, None)]
        kept = _files(Path(order.artifacts_dir) / "0")
        assert kept == {"out/deep/a.png": "1\n", "b.png": "2\n", "own": "4\n"}

    def test_artifacts_are_never_links_out(self, site: SiteHand, tmp_path: Path) -> None:
        """Attacks 58 and 59: neither a link nor a pattern brings in what is not the task's."""
        site.need(Capability.ARTIFACTS)
        site.need_processes()
        (tmp_path / "secret").write_text("secret")
        script = f"""
            echo 1 > good
            ln -s {tmp_path}/secret link; ln -s {tmp_path} folder; ln -s / root
            ln -s {tmp_path}/secret "$FENGLIN_ARTIFACTS_DIR/own"
        """
        globs = ("good", "link", "folder/*", "folder/**", "../*", "../../**", f"{tmp_path}/*")
        order = site.order(script=script, artifacts=globs)
        site.run(order)
        kept = _files(Path(order.artifacts_dir) / "0")
        assert kept == {"good": "1\n"}

    def test_a_failed_task_has_no_artifacts(self, site: SiteHand) -> None:
        """Half a result is none."""
        site.need(Capability.ARTIFACTS)
        site.need_processes()
        order = site.order(script="echo 1 > a; exit 1", artifacts=("a",))
        ends, _ = site.run(order)
        assert [end.exit_code for end in ends] == [1]
        assert not (Path(order.artifacts_dir) / "0").exists()


def _files(folder: Path) -> dict[str, str]:
    """Return relative path → text of all files below a folder; links would be followed."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if not path.is_dir()
    }
