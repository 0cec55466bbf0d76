"""The page of tasks shows what the tasks draw."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from ablations.pages.sheets import read_sheets, sheet_files
from ablations.tasks.shapes import TASKS
from tests import task_sheets
from unet import Refusal


def test_the_record_is_what_the_tasks_draw() -> None:
    """To the bit, for every task."""
    assert read_sheets(task_sheets.RECORD) == task_sheets.sheets()


def test_every_task_has_a_picture() -> None:
    """A column a sample, a row for the targets and each look; small enough to be looked at."""
    sheets = read_sheets(task_sheets.RECORD)
    files = sheet_files(sheets)
    assert set(files) == {"tasks.md", *(f"figures/task_{task}.png" for task in TASKS)}
    page = files["tasks.md"].decode()
    for sheet in sheets:
        content = files[f"figures/task_{sheet.task}.png"]
        assert len(content) < 60_000
        tile = 2 * (task_sheets.SIDE + 1)
        shown = imread(io.BytesIO(content))
        assert shown.shape[:2] == ((1 + len(sheet.rows)) * tile, task_sheets.COUNT * tile)
        assert f"## {sheet.task}\n" in page
        assert all(row.said in page for row in sheet.rows)
    assert "difficulty 0.5" in page


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"task":"labels"', '"task":"lables"', "task 'lables' is not one of labels"),
        ('"shape":[56,56]', '"shape":[28,112]', "pictures do not fit together; make it anew"),
        ('"shape":[56,56]', '"shape":[]', "pictures do not fit together; make it anew"),
        ('"noise":0.1', '"noise":-1', "greater than or equal to 0; make it anew with"),
        ('"seed":0', '"seed":"<b>"', "malformed record: 0.seed"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """With the thing that is wrong, or the command that makes a good one."""
    path = tmp_path / "tasks.json"
    path.write_text(task_sheets.RECORD.read_text().replace(old, new))
    json.loads(path.read_text())
    with pytest.raises(Refusal, match=message):
        read_sheets(path)
