"""A spec says what it is, and refuses what no U-Net can be."""

from __future__ import annotations

import dataclasses

import pytest

from unet import PAPER, RELEASE, TUTORIAL, Refusal, UNetSpec
from unet.spec import CHOICES, spec_with


def test_the_defaults_are_the_paper() -> None:
    """Whoever writes UNetSpec() gets Ronneberger et al. 2015."""
    assert UNetSpec() == PAPER


def test_named_specs_differ_where_their_sources_do() -> None:
    """RELEASE and TUTORIAL change only what phseg_v5 and the recipe change."""

    def difference(spec: UNetSpec) -> dict[str, object]:
        mine, theirs = dataclasses.asdict(PAPER), dataclasses.asdict(spec)
        return {name: theirs[name] for name in mine if mine[name] != theirs[name]}

    assert difference(RELEASE) == {
        "up_relu": True,
        "up_keeps_channels": (0,),
        "dropout_levels": 2,
    }
    assert difference(TUTORIAL) == {
        "in_channels": 3,
        "padding": "zeros",
        "dropout_levels": 0,
        "init": "torch",
    }


def test_release_carries_dropout_in_the_skip_of_level_3() -> None:
    """phseg_v5 drops out after the last convolution of level 3 and of the bottleneck."""
    assert [RELEASE.drops_out(level) for level in range(5)] == [False, False, False, True, True]
    assert [PAPER.drops_out(level) for level in range(5)] == [False, False, False, False, True]


def test_fields_are_keyword_only_and_frozen() -> None:
    """A spec is passed whole and never changed."""
    with pytest.raises(TypeError):
        UNetSpec(1)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        PAPER.depth = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"padding": "same"}, "padding 'same' is not one of valid, zeros, reflect"),
        ({"skip": 1}, "skip 1 is not one of concat, add, attention, none"),
        ({"depth": 0}, "depth 0 is not a whole number from 1 to 16"),
        ({"depth": 17}, "depth 17 is not"),
        ({"depth": True}, "depth True is not"),
        ({"base_channels": 1.5}, "base_channels 1.5 is not a whole number from 1 to 65536"),
        ({"up_relu": 1}, "up_relu 1 is not true or false"),
        ({"residual": 1}, "residual 1 is not true or false"),
        ({"activation": "tanh"}, "activation 'tanh' is not one of relu, leaky_relu, silu, gelu"),
        ({"downsampling": "min"}, "downsampling 'min' is not one of max, average, strided"),
        ({"dropout": 1.0}, "dropout 1.0 is not a probability"),
        ({"dropout": "half"}, "dropout 'half' is not a probability"),
        ({"dropout_levels": 6}, "dropout_levels 6 is not a whole number from 0 to 5"),
        ({"up_keeps_channels": 3}, "up_keeps_channels 3 is not a tuple"),
        ({"up_keeps_channels": (4,)}, "up_keeps_channels 4 is not a whole number from 0 to 3"),
        ({"skip": "add", "up_keeps_channels": (0,)}, "needs equal channels on both sides"),
        ({"unskipped": 0}, "unskipped 0 is not a tuple of levels"),
        ({"unskipped": (-1,)}, "unskipped -1 is not a whole number from 0 to 3"),
        ({"skip": "none", "unskipped": (0,)}, r"'none' leaves out every level, .* \(0,\) must be"),
        ({"depth": 2, "unskipped": (0, 1)}, r"unskipped \(0, 1\) leaves .*: that is skip 'none'"),
        ({"dept": 3}, "'dept' is not a field of a spec; those are in_channels"),
    ],
)
def test_impossible_values_are_refused_by_name(values: dict[str, object], message: str) -> None:
    """The refusal names the field and the value, and says what would do."""
    with pytest.raises(Refusal, match=message) as caught:
        spec_with(PAPER, values)
    assert caught.value.field == list(values)[-1]


def test_a_whole_number_dropout_is_the_same_spec() -> None:
    """TOML's 0 and 0.0 make one spec, so that a cell has one key."""
    assert spec_with(PAPER, {"dropout": 0}) == spec_with(PAPER, {"dropout": 0.0})
    assert type(spec_with(PAPER, {"dropout": 0}).dropout) is float


@pytest.mark.parametrize("name", ["up_keeps_channels", "unskipped"])
def test_the_order_of_levels_makes_no_other_spec(name: str) -> None:
    """Nor does naming one twice, so that a cell has one key."""
    mixed, plain = (spec_with(PAPER, {name: levels}) for levels in ([2, 0, 2], [0, 2]))
    assert mixed == plain
    assert getattr(mixed, name) == (0, 2)


@pytest.mark.parametrize("table", CHOICES.values(), ids=CHOICES)
def test_every_choice_has_a_summary(table: dict[str, object]) -> None:
    """Reports and help texts are made from the tables."""
    assert all(getattr(entry, "summary", "") for entry in table.values())


def test_plain_data_becomes_a_spec() -> None:
    """Lists are tuples; a field that there is not is named, with those that there are."""
    spec = spec_with(PAPER, {"up_keeps_channels": [0, 2], "depth": 3})
    assert (spec.up_keeps_channels, spec.depth) == ((0, 2), 3)
    with pytest.raises(Refusal, match=r"'dept' is not .* in_channels, num_classes, ") as caught:
        spec_with(PAPER, {"dept": 3})
    assert caught.value.field == "dept"
