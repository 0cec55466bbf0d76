"""What tests begin with: the checkout, and a plan that trains in a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

TINY = """
question = "Does it run?"
seeds = 2

[axes]
skip = ["concat", "none"]

[spec]
depth = 1
base_channels = 4
norm = "batch"
dropout_levels = 0

[task]
name = "labels"
size = 36
scored = 20
noise = 0.1

[training]
steps = 3
batch = 2
learning_rate = 0.005
test_images = 5
"""


def result_of(text: str) -> Any:  # noqa: ANN401  # each command has results of its own
    """What a command printed for machines, once each row of it has told how it is to be read."""
    answer = json.loads(text)
    for row in answer if isinstance(answer, list) else [answer]:
        assert row.pop("schema") == 1
    return answer
