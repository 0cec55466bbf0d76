"""A record is read if it is whole and belongs together, else refused with what is wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ablations.records import Picture, Record
from unet import Refusal


def changed(record: Record, **values: object) -> str:
    """A record's text with other values."""
    return json.dumps({**json.loads(record.model_dump_json()), **values})


def pictures(image: int, mask: int) -> dict[str, Any]:
    """An example of pictures with such sides."""
    one, other = (Picture.of(np.zeros((n, n), np.uint8)).model_dump() for n in (image, mask))
    return {"image": one, "mask": other, "prediction": other}


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
