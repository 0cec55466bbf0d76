"""A record is read if it is whole and belongs together, else refused with what is wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ablations.runs.records import Picture, Record
from unet import Refusal


def changed(record: Record, **values: object) -> str:
    """A record's text with other values."""
    return json.dumps({**json.loads(record.model_dump_json()), **values})


def pictures(image: int, mask: int) -> dict[str, Any]:
    """An example of pictures with such sides."""
    one, other = (Picture.of(np.zeros((n, n), np.uint8)).model_dump() for n in (image, mask))
    return {"image": one, "mask": other, "prediction": other}


BOARD = {"rows": 1.0, "columns": 1.0, "both": 1.0, "total": 9.0}
TOO_MANY = {name: {"pixels": 8, "changed": 9} for name in ("one", "lattice", "seam")}


def measured(**values: object) -> dict[str, object]:
    """Sound measures of five classes, but for `values`."""
    sound = {
        "boundary": [[1, 1, 1, 1]] * 5,
        "confidence": [[0, 0, 0]],
        "start": BOARD,
        "end": BOARD,
    }
    return {**sound, "shifts": None, **values}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"counts": None}, "outcome 'done' does not go with its counts"),
        ({"counts": [[[1, 2, 3]] * 5]}, "counts are not those of 5 bands"),
        ({"counts": [[[1, 2, 3]] * 4] * 5}, "counts are not those of 5 bands"),
        ({"counts": [], "bands": []}, "counts are not those of 0 bands"),
        ({"counts": [[[-1, 2, 3]] * 5] * 5}, "counts.0.0.0: Input should be greater"),
        ({"counts": [[[2**63, 2, 3]] * 5] * 5}, "counts.0.0.0: Input should be less"),
        ({"macs": 10**400}, "macs: Input should be less"),
        ({"train_seconds": float("nan")}, "train_seconds: Input should be"),
        ({"train_seconds": float("inf")}, "train_seconds: Input should be a finite number"),
        ({"cell": {"spec": []}}, "cell is malformed"),
        ({"example": pictures(35, 20)}, "a picture of (35, 35) where the task has 36"),
        ({"example": pictures(36, 36)}, "a picture of (36, 36) where the task has 20"),
        ({"measures": measured(boundary=[[1, 1, 1, 1]])}, "boundaries of 1 classes where the"),
        ({"measures": measured(boundary=[[1, 2, 1, 1]] * 5)}, "more of a boundary lies near"),
        ({"measures": measured(boundary=[[1, 1, 1]] * 5)}, "measures.boundary.0.3: Field required"),
        ({"bands": [0, 4, 2, 8, 16]}, "bands (0, 4, 2, 8, 16) do not grow from 0"),
        ({"bands": [1, 2, 4, 8, 16]}, "bands (1, 2, 4, 8, 16) do not grow from 0"),
        (
            {"measures": measured(confidence=[])},
            "measures.confidence: Tuple should have at least 1",
        ),
        ({"measures": measured(confidence=[[1, 0, 2]])}, "of 1 decisions 2 were right"),
        ({"measures": measured(confidence=[[1, 2**21, 1]])}, "1 were right, in 2097152 units"),
        ({"measures": measured(end={**BOARD, "total": 1.0})}, "power at period 2 is 3 of all"),
        ({"measures": measured(end={**BOARD, "rows": -1.0})}, "measures.end.rows: Input should"),
        ({"measures": measured(shifts=TOO_MANY)}, "9 of 8 compared pixels changed"),
        ({"outcome": "diverged", "counts": None}, "'diverged' does not go with its measures"),
        ({"key": "../../etc/passwd"}, "key: String should match pattern"),
        ({"key": f"{'0' * 32}\n"}, "key: String should match pattern"),
        ({"\x1b[2J": 1}, r"\x1b[2J: Extra inputs are not permitted"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    tiny_records: list[Record], values: dict[str, object], message: str
) -> None:
    """Before a table or a picture is made of it."""
    with pytest.raises(Refusal) as caught:
        Record.read(changed(tiny_records[0], **values), "here")
    assert str(caught.value).startswith("here: malformed record: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("seed", [1e400, 1.0, "1", -1, 2**63, True, None, [], 10**400])
def test_a_seed_is_a_whole_number(tiny_records: list[Record], seed: object) -> None:
    """Nothing is rounded to one: another text would have the same key."""
    cell = {**tiny_records[0].cell, "seed": seed}
    with pytest.raises(Refusal, match=r"cell is malformed: seed .* is not a whole number"):
        Record.read(changed(tiny_records[0], cell=cell), "here")


def test_a_picture_is_unpacked_no_further_than_its_shape(tiny_records: list[Record]) -> None:
    """Of a bomb, one byte more than there should be; then it is refused."""
    bomb = Picture.of(np.zeros((4096, 4096), np.uint8)).model_dump()
    assert len(bomb["data"]) < 30_000
    example = {**pictures(36, 20), "mask": {**bomb, "shape": [20, 20]}}
    with pytest.raises(Refusal, match="picture is malformed: cannot reshape array of size 401"):
        Record.read(changed(tiny_records[0], example=example), "here")


def test_what_training_leaves_is_read(tiny_records: list[Record]) -> None:
    """All of it, pictures included."""
    for record in tiny_records:
        assert Record.read(record.model_dump_json(), "here") == record
