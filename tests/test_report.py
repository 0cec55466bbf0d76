"""A report is a pure function of records, and says no more than they do."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest

from ablations.pages.architecture import CLAIMED_INPUT, TUTORIAL_CLAIMS, tutorial_rows
from ablations.reporting.figures import colours
from ablations.reporting.pictured import MOST_PICTURED, pictured_rows
from ablations.reporting.report import render, write_report
from ablations.reporting.results import Results
from ablations.reporting.run_table import scores
from ablations.runs.plan import Plan
from ablations.runs.records import Record
from ablations.storage.plan_file import load_plan, read_plan
from ablations.tasks.shapes import TASKS
from tests.endurance.sleeper import record_of
from tests.samples import ROOT, TINY
from unet import Refusal


def scored(record: Record, correct: int, *, outcome: str = "done") -> Record:
    """`record` with counts in which `correct` of 1000 pixels of each class are right."""
    row = (correct, (1000 - correct), 0)
    counts = None if outcome == "diverged" else ((row,) * 5,)
    update = {"counts": counts, "bands": (0,), "outcome": outcome, "measures": None}
    return record.model_copy(update=update)


def results(plan: Plan, records: list[Record], correct: list[int]) -> Results:
    """Results in which each record has the score that stands at its place, in thousandths."""
    pairs = zip(records, correct, strict=True)
    return Results.of(plan, [scored(record, value) for record, value in pairs])


def page(found: Results) -> str:
    """The page that a reader opens."""
    return render(found)[f"{found.plan.name}.md"].decode()


def test_the_same_records_give_the_same_bytes(tiny: Plan, tiny_records: list[Record]) -> None:
    """In whatever order they come, figure included."""
    assert render(Results.of(tiny, tiny_records)) == render(Results.of(tiny, tiny_records[::-1]))


def test_the_limits_are_told(tiny: Plan, tiny_records: list[Record]) -> None:
    """Task, budget, seeds and comparisons that the reader must not forget."""
    text = page(Results.of(tiny, tiny_records))
    limits = text.split("## What this does not show")[1].split("\n## ")[0]
    for words in (
        "trained for 3 steps",
        "2 seeds are few",
        "there is one task",
    ):
        assert words in limits


def test_unfinished_sweeps_say_so(tiny: Plan, tiny_records: list[Record]) -> None:
    """One seed is whole, so no difference is claimed; the missing run is counted."""
    found = Results.of(tiny, tiny_records[:3])
    text = page(found)
    assert "**Not finished: 1 of 4 runs are still missing.**" in text
    assert "Nothing yet: 1 of 2 seeds have all their runs" in text
    with pytest.raises(Refusal, match="no run is stored yet"):
        render(Results.of(tiny, []))


def test_one_seed_has_no_scatter(tiny: Plan, tiny_records: list[Record]) -> None:
    """Nothing is said of what cannot be known."""
    text = page(Results.of(tiny, tiny_records[:1]))
    assert "No cell has two seeds yet" in text
    assert "nan" not in text


def test_diverged_runs_are_counted_and_shown(tiny: Plan, tiny_records: list[Record]) -> None:
    """Their seed is left out of balanced means, and the reader is told."""
    broken = [*tiny_records[:3], scored(tiny_records[3], 0, outcome="diverged")]
    found = Results.of(tiny, broken)
    assert found.whole_seeds == [0]
    text = page(found)
    assert "1 (+1 diverged)" in text
    assert "1 of 4 runs diverged; " in text


def test_a_variant_that_always_diverged_keeps_its_row(
    tiny: Plan, tiny_records: list[Record]
) -> None:
    """It has no score, and the others have theirs; also where nothing else was run."""
    lost = [
        record.model_copy(update={"outcome": "diverged", "counts": None})
        if record.parsed_cell().spec.skip == "none"
        else record
        for record in tiny_records
    ]
    table = Results.of(tiny, lost).cells
    assert table[["skip", "seeds", "diverged"]].to_numpy().tolist() == [
        ["concat", 2, 0],
        ["none", 0, 2],
    ]
    assert table["IoU"].isna().tolist() == [False, True]
    assert Results.of(tiny, lost[1:2]).cells["IoU"].isna().all()


def test_unstable_cells_are_marked(tiny: Plan, tiny_records: list[Record]) -> None:
    """A cell that scatters widely over the seeds deserves no belief."""
    text = page(results(tiny, tiny_records, [900, 600, 500, 601]))
    table = text.split("## Each cell")[1].split("\n\n")[1]
    assert table.count("(unstable)") == 1
    assert "(lost)" not in table
    assert "1 of 2 cells lie above 0.05 and are marked unstable" in text


def test_a_lost_class_is_told(tiny: Plan, tiny_records: list[Record]) -> None:
    """A mean over the classes can hide that one of them was never found."""
    found = scored(tiny_records[0], 900)
    assert found.counts is not None
    counts = ((*found.counts[0][:-1], (400, 600, 0)),)
    others = [scored(record, 900) for record in tiny_records[1:]]
    text = page(Results.of(tiny, [found.model_copy(update={"counts": counts}), *others]))
    assert text.count("0.400 (lost)") == 1
    assert "1 lost a class" in text


def test_padding_is_told_to_be_scored_where_it_hardly_reaches(tiny: Plan) -> None:
    """A reader must not take the padding factor for an effect at the border."""
    shapes = load_plan("shapes")
    assert "padding" in shapes.axes
    committed = (ROOT / "reports" / "shapes.md").read_text()
    assert "padding hardly reaches" in committed.split("## What this does not show")[1]
    assert "padding" not in tiny.axes


def test_every_number_of_the_tables_is_that_of_the_records(
    tiny: Plan, tiny_records: list[Record]
) -> None:
    """The CSV recomputed by hand from the records."""
    files = render(Results.of(tiny, tiny_records))
    rows = list(csv.DictReader(io.StringIO(files["tiny_cells.csv"].decode())))
    for row, start in zip(rows, (0, 1), strict=True):
        own = [scores(record)["IoU"] for record in tiny_records[start::2]]
        assert float(row["IoU"]) == pytest.approx(np.mean(own), abs=1e-6)
        assert float(row["IoU sd"]) == pytest.approx(np.std(own, ddof=1), abs=1e-6)
        assert int(row["macs"]) == tiny_records[start].macs
    counts = np.asarray(tiny_records[0].counts).sum(axis=0)[1:]
    by_hand = [tp / (tp + fp + fn) for tp, fp, fn in counts.tolist() if tp + fp + fn]
    assert scores(tiny_records[0])["IoU"] == pytest.approx(np.mean(by_hand))


def test_further_measures_have_their_tables(tiny: Plan, tiny_records: list[Record]) -> None:
    """Each with its definition and direction; what no run has is not there."""
    files = render(Results.of(tiny, tiny_records))
    text = files["tiny.md"].decode()
    errors, further = (
        text.split(f"## {title}")[1].split("\n## ")[0]
        for title in ("Where the errors are", "Further measures")
    )
    assert "| error at 0-1 px |" in errors
    assert "error from 16 px" not in text
    assert "| seam |" in further
    assert "seam is the same for tiles 2^depth pixels apart" in further
    assert "(higher is better)" in further
    old = [record.model_copy(update={"measures": None}) for record in tiny_records]
    assert "Further measures" not in page(Results.of(tiny, old))
    columns = files["tiny_cells.csv"].decode().splitlines()[0].split(",")
    assert {"seam", "seam low", "seam high", "memory"} <= set(columns)


def test_some_runs_without_a_measure_are_told(tiny: Plan, tiny_records: list[Record]) -> None:
    """A seed of which one variant was not measured has no mean over the variants."""
    one = tiny_records[0].model_copy(update={"measures": None})
    text = page(Results.of(tiny, [one, *tiny_records[1:]]))
    row = next(line for line in text.split("## Further")[1].splitlines() if "`concat`" in line)
    assert row.count("(n 1)") == len(row.split("|")) - 5


def test_a_page_is_about_its_headline(tiny: Plan, tiny_records: list[Record]) -> None:
    """Which its first lines define; overlap stays beside it."""
    plan = dataclasses.replace(tiny, headline="calibration error")
    text = page(Results.of(plan, tiny_records))
    shows = text.split("## What this shows")[1]
    assert shows.lstrip().startswith("Calibration error (ECE) is by how much")
    assert "Lower is better." in shows.split("\n- ")[0]
    assert "| calibration error | IoU | Dice | calibration error above the factor's" in text
    assert "Differences in calibration error, paired by seed" in text


def test_a_plan_of_one_variant_has_nothing_to_compare(tiny_records: list[Record]) -> None:
    """An axis of one value is no factor."""
    plan = read_plan(TINY.replace('"concat", "none"', '"concat"'), name="one", file="f")
    text = page(Results.of(plan, tiny_records))
    assert "nothing to compare" in text
    assert "\n- " in text.split("## What this shows")[1].split("\n## ")[0]


def test_a_report_is_written_whole(tmp_path: Path, tiny: Plan, tiny_records: list[Record]) -> None:
    """Every file that the page names is there; the first is the page."""
    first, *others = write_report(Results.of(tiny, tiny_records), tmp_path)
    assert first == tmp_path / "tiny.md"
    assert all(file.stat().st_size for file in (first, *others))
    (figure,) = re.findall(r"\]\((.*?\.png)\)", first.read_text())
    assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").touch()
    with pytest.raises(Refusal, match="cannot be written: "):
        write_report(Results.of(tiny, tiny_records), tmp_path / "file")


def test_environments_are_not_mixed_silently(tiny: Plan, tiny_records: list[Record]) -> None:
    """Each run tells its own, each cell how many it has, and the page warns."""
    odd = tiny_records[0].model_copy(update={"environment": {"torch": "2.0"}})
    results = Results.of(tiny, [odd, *tiny_records[1:]])
    assert ("torch 2.0", 1) in results.environments
    assert sorted(results.cells["environments"]) == [1, 2]
    assert list(results.runs["environment"]).count("torch 2.0") == 1
    assert "the runs were made in 2 environments" in page(results)


def test_other_plans_records_are_left_out(tiny: Plan, tiny_records: list[Record]) -> None:
    """Only the plan's own cells count."""
    fewer = dataclasses.replace(tiny, seeds=1)
    assert len(Results.of(fewer, tiny_records).runs) == 2


def test_the_figure_puts_skips_side_by_side() -> None:
    """Skips across, the other factors down, as many rows as a page holds."""
    across, rows = pictured_rows(load_plan("quick"))
    assert across == "skip"
    assert rows[0] == (("valid",), ("transposed",))
    assert len(rows) == 6
    assert len(pictured_rows(load_plan("shapes"))[1]) == MOST_PICTURED
    no_skip = read_plan(
        TINY.replace('skip = ["concat", "none"]', 'padding = ["valid", "zeros"]'),
        name="p",
        file="f",
    )
    assert pictured_rows(no_skip) == ("padding", [((), ())])


def test_a_figure_that_is_cut_says_so(tiny_records: list[Record]) -> None:
    """More variants than a page holds: how many of how many are there."""
    rates = ", ".join(["0.005", *(f"{rate}.0" for rate in range(1, MOST_PICTURED + 2))])
    source = TINY.replace("learning_rate = 0.005\n", "").replace(
        "[spec]", f"training.learning_rate = [{rates}]\n\n[spec]"
    )
    results = Results.of(read_plan(source, name="wide", file="f"), tiny_records)
    assert "It has the first 24 of 28 variants." in page(results)


def test_the_figure_survives_missing_runs(tiny: Plan, tiny_records: list[Record]) -> None:
    """A hole where a run is missing; no figure where none has a picture."""
    assert "figures/tiny.png" in render(Results.of(tiny, tiny_records[1:]))
    assert "figures/tiny.png" not in render(Results.of(tiny, tiny_records[2:]))
    plan = load_plan("smoke")
    with pytest.raises(Refusal):
        render(Results.of(plan, tiny_records))


def test_colours_mix_where_classes_overlap() -> None:
    """Black is no class; two classes give the mean of their colours."""
    labels = np.array([[0, 1, 2, 3]], dtype=np.uint8)
    none, one, two, both = colours(labels, TASKS["objects"])[0]
    assert none.tolist() == [0, 0, 0]
    np.testing.assert_allclose(both, (one + two) / 2)
    single = colours(labels[:, :2], TASKS["labels"])[0]
    np.testing.assert_allclose(single, [none, one])


def test_the_tutorials_comments_are_not_what_its_code_does() -> None:
    """The recipe rebuilt from its description, run on its own input, layer by layer."""
    import torch
    from torch import nn

    widths = (3, 64, 128, 256, 512, 1024)
    x = torch.zeros(1, 3, CLAIMED_INPUT, CLAIMED_INPUT, device="meta")
    seen = [x.shape]
    skips = []
    with torch.device("meta"):
        for level in range(5):
            for channels in (widths[level], widths[level + 1]):
                x = nn.Conv2d(channels, widths[level + 1], kernel_size=3, padding=1)(x)
                seen.append(x.shape)
            skips.append(x)
            if level < 4:
                x = nn.MaxPool2d(kernel_size=2, stride=2)(x)
                seen.append(x.shape)
        upsampled = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)(x)
    rows = tutorial_rows()
    real = [f"{shape[2]} x {shape[3]} x {shape[1]}" for shape in seen]
    assert [row["what it returns"] for row in rows[:-1]] == real
    assert [row["verdict"] for row in rows[:-1]].count("holds") == 1
    assert len(rows) == len(TUTORIAL_CLAIMS) + 1
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        torch.cat([upsampled, skips[3]], dim=1)
    assert rows[-1]["what it returns"] == "RuntimeError: 70 beside a skip of 71"
    assert (upsampled.shape[-1], skips[3].shape[-1]) == (70, 71)


def mirrored(padding: str) -> Results:
    """A plan of that padding on mirrored images, with records that nobody trained."""
    source = TINY.replace("scored = 20", "scored = 36\nborder = 'mirrored'")
    axes = f'padding = ["zeros", "{padding}"]'
    plan = read_plan(source.replace('skip = ["concat", "none"]', axes), name="rim", file="f")
    return Results.of(plan, map(record_of, plan.cells()))


def test_a_mirrored_border_is_told() -> None:
    """All of the image is scored; who sees it extended is said where somebody does."""
    text = page(mirrored("valid"))
    assert "all of the image, which a net without padding sees extended by mirroring." in text
    assert "the central" not in text
    assert "where padding hardly reaches" not in text
    assert "on the same pixels, all of the image. Scores" in page(mirrored("reflect"))


def test_levels_of_a_dial_are_said_to_see_other_images() -> None:
    """Where an axis varies how images look, and nowhere else."""
    source = TINY.replace("[axes]", "[axes]\ntask.noise = [0.1, 0.3]").replace("noise = 0.1\n", "")
    plan = read_plan(source, name="dial", file="f")
    text = page(Results.of(plan, map(record_of, plan.cells())))
    assert "But the levels of `task.noise` are not scored on the same images" in text
    assert "are not scored on the same images" not in page(mirrored("valid"))


def test_a_row_of_the_figure_shows_one_image() -> None:
    """Levels of a dial, which look different, go down, but for a plan of nothing else."""
    axes = "[axes]\npadding = ['valid', 'zeros']\ntask.noise = [0.1, 0.3]"
    source = TINY.replace("[axes]", axes).replace("noise = 0.1\n", "")
    dial = source.replace('skip = ["concat", "none"]\n', "")
    assert pictured_rows(read_plan(source, name="p", file="f"))[0] == "skip"
    assert pictured_rows(read_plan(dial, name="p", file="f"))[0] == "padding"
    alone = dial.replace("padding = ['valid', 'zeros']\n", "")
    assert pictured_rows(read_plan(alone, name="p", file="f"))[0] == "task.noise"
