"""What a user should know of a page that is indexed all the same reaches report, ledger, status and command."""

import shutil
from pathlib import Path

from pydicom import examples
from typer.testing import CliRunner

from vipylo_rag import MultimodalIndex
from vipylo_rag.cli import app
from vipylo_rag.status import statuses


def test_a_picture_that_may_show_a_name_is_indexed_with_a_warning(index: MultimodalIndex, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    shutil.copy(str(examples.get_path("rgb_color")), folder / "ultrasound.dcm")  # no word on burned-in text
    shutil.copy(str(examples.get_path("mr")), folder / "head.dcm")
    report = index.ingest(folder)
    assert (report.indexed, report.failed) == (2, 0)
    assert [Path(warning.source).name for warning in report.warnings] == ["ultrasound.dcm"]
    assert "may show written data" in report.warnings[0].text
    again = index.ingest(folder)
    assert again.warnings == [] and again.unchanged == 2  # what this run put in

    by_name = {Path(each.row.source).name: each for each in statuses(index.ledger)}
    assert by_name["ultrasound.dcm"].pages.warned == 1 and by_name["head.dcm"].warned_pages == ()
    assert "may show" in (by_name["ultrasound.dcm"].warned_pages[0].reason or "")
    assert not any(each.failed for each in statuses(index.ledger))
    directory = index.directory
    index.close()
    shown = CliRunner().invoke(app, ["status", "--index", str(directory)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and "warning, page 1:" in shown.output and "1 done" not in shown.output.split("—")[1]
