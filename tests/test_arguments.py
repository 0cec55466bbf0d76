"""Nets whose forward asks for more than an image: what they are given, and what is seen then."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.checks.small import Small, says
from unet.examination import Examination
from unet.verify import results_of, verify


class Timed(Small):
    """Asks for a time, as the nets of diffusion models do."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, 4))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:  # type: ignore[override]
        skip = torch.relu(self.enter(x)) + self.embed(time[:, None])[:, :, None, None]
        return self.head(torch.relu(self.leave(self.join(skip, self.up(self.down(skip))))))


class TimeOfTheFirst(Timed):
    """Gives all images of a batch the time of the first."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return super().forward(x, time[:1].expand(len(x)))


class TimedAfterAll(Timed):
    """Says that it can do without a time, and cannot."""

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:  # type: ignore[override]
        if time is None:
            raise ValueError("give a time")
        return super().forward(x, time)


class Labelled(Timed):
    """Asks for a class and for nothing by place."""

    def __init__(self) -> None:
        super().__init__()
        self.names = nn.Embedding(10, 1)

    def forward(self, x: Tensor, *, label: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, self.names(label)[:, 0])


class Compared(Small):
    """Asks for two images, before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat([before, after], 1))


@pytest.mark.parametrize(
    ("factory", "further"),
    [
        (Timed, {"time": "a number for each image"}),
        (TimedAfterAll, {"time": "a number for each image"}),
        (Labelled, {"label": "an integer for each image"}),
        (Compared, {"after": "a second image"}),
    ],
)
def test_nets_that_ask_for_more_are_given_it(factory: type[Small], further: dict[str, str]) -> None:
    """They are sound, and with a skip out of place they are not."""

    class Shifted(factory):  # type: ignore[valid-type, misc]
        def join(self, skip: Tensor, risen: Tensor) -> Tensor:
            return super().join(skip.roll(2, -1), risen)

    given = factory()
    x = Examination(given, in_channels=1)
    assert x.further_inputs == further
    assert type(given) is factory
    assert not [r for r in results_of(x) if r.status == "fail"]
    assert [r for r in verify(Shifted(), in_channels=1) if r.status == "fail"]


def test_a_number_that_images_of_a_batch_share_is_noticed() -> None:
    """Only where numbers differ from image to image can it be seen."""
    check = "samples_of_a_batch_do_not_mix"
    assert says(Timed(), check).status == "pass"
    said = says(TimeOfTheFirst(), check)
    assert said.status == "fail"
    assert "is given another one's time" in said.message
