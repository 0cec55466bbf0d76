"""A plan file becomes cells, or one line that says what is wrong and where."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from ablations.reporting.explain import told
from ablations.reporting.results import Results
from ablations.running.estimate import Work
from ablations.runs.cell import Cell
from ablations.runs.plan import Plan, differences
from ablations.runs.selection import read_only
from ablations.storage.plan_file import load_plan, read_plan, shipped_plans
from ablations.tasks.shapes import Look
from tests.endurance.sleeper import record_of
from tests.samples import TINY
from unet import PAPER, Refusal, algebra
from unet.spec import spec_with


def test_the_shipped_plans_are_plans() -> None:
    """smoke, quick and shapes, with the factors that their users expect."""
    assert {"smoke", "quick", "shapes"} <= set(shipped_plans())
    quick, shapes = load_plan("quick"), load_plan("shapes")
    assert quick.axes == {
        "padding": ("valid", "zeros"),
        "skip": ("concat", "add", "none"),
        "upsampling": ("transposed", "bilinear", "nearest"),
    }
    assert shapes.seeds >= 8
    assert all(set(values) <= set(shapes.axes[axis]) for axis, values in quick.axes.items())


def test_cells_are_every_combination_with_every_seed(tiny: Plan) -> None:
    """All variants of one seed come before the next, so that a stopped sweep is balanced."""
    cells = list(tiny.cells())
    assert [(cell.spec.skip, cell.seed) for cell in cells] == [
        ("concat", 0), ("none", 0), ("concat", 1), ("none", 1),
    ]  # fmt: skip
    assert len({cell.key for cell in cells}) == 4
    assert all(cell.spec.num_classes == 5 for cell in cells)


def test_axes_reach_into_task_and_training() -> None:
    """`training.steps` is an axis like any other."""
    source = TINY.replace("[axes]", "[axes]\ntraining.steps = [2, 4]").replace("steps = 3\n", "")
    plan = read_plan(source, name="p", file="p.toml")
    assert sorted({cell.training.steps for cell in plan.cells()}) == [2, 4]
    assert {plan.levels(cell) for cell in plan.cells()} == {
        (steps, skip) for steps in (2, 4) for skip in ("concat", "none")
    }


DIALS = """
task.noise = [0, 0.1]
task.contrast = [0.5, 1.0]
task.difficulty = [0.0, 0.5]
task.test_noise = [0.2]
task.test_contrast = [0.7, 0.8]
"""


def dialled() -> Plan:
    """The task's dials as axes."""
    source = TINY.replace("[axes]", f"[axes]{DIALS}").replace("noise = 0.1\n", "")
    return read_plan(source.replace('"labels"', '"texture"'), name="p", file="p.toml")


def test_the_dials_of_a_task_are_axes() -> None:
    """Each cell has its own look, in training and in the test; all have one size and one name."""
    plan = dialled()
    cells = list(plan.cells())
    assert len(cells) == plan.seeds * plan.variant_count == 2 * 32
    assert len({cell.key for cell in cells}) == len(cells)
    assert [plan.place(cell) for cell in cells] == list(range(len(cells)))
    assert cells[0].task == plan.task
    assert {cell.task.look("train") for cell in cells} == {
        Look(noise, contrast, difficulty)
        for noise in (0.0, 0.1) for contrast in (0.5, 1.0) for difficulty in (0.0, 0.5)
    }  # fmt: skip
    assert {cell.task.look("test") for cell in cells} == {
        Look(0.2, contrast, difficulty) for contrast in (0.7, 0.8) for difficulty in (0.0, 0.5)
    }
    assert all(Cell.from_data(cell.as_data()) == cell for cell in cells)


def test_the_test_looks_like_the_training_unless_it_is_shifted(tiny: Plan) -> None:
    """A dial of the test images that is not given is that of all images."""
    task = tiny.task
    assert task.look("train") == task.look("test") == Look(0.1)
    shifted = task.model_copy(update={"test_contrast": 0.5})
    assert shifted.look("train") == Look(0.1)
    assert shifted.look("test") == Look(0.1, 0.5)


def test_parts_of_a_dial_can_be_chosen() -> None:
    """--only takes its values as it takes those of any axis."""
    plan = dialled()
    only = read_only(["task.noise=0.1", "task.difficulty=0.5"], plan)
    cells = list(plan.cells(only))
    assert len(cells) == 2 * 8
    assert {(cell.task.noise, cell.task.difficulty) for cell in cells} == {(0.1, 0.5)}
    work = Work.of(plan, only)
    assert work.cells == len(cells)
    assert work.training_macs == sum(cell.training_macs for cell in cells)
    assert work.test_images == sum(cell.training.test_images for cell in cells) // 2


def test_axis_values_are_those_of_the_cells() -> None:
    """TOML's 0 is a dropout of 0.0, in the axis as in the cell, or a report would not find it."""
    source = TINY.replace('skip = ["concat", "none"]', "dropout = [0, 0.5]")
    plan = read_plan(source, name="p", file="p.toml")
    assert [str(value) for value in plan.axes["dropout"]] == ["0.0", "0.5"]
    assert {plan.levels(cell) for cell in plan.cells()} == {(0.0,), (0.5,)}


def test_a_list_axis_becomes_tuples() -> None:
    """A spec field that is a tuple is a list in TOML."""
    source = TINY.replace('skip = ["concat", "none"]', "up_keeps_channels = [[], [0]]")
    plan = read_plan(source, name="p", file="p.toml")
    assert [cell.spec.up_keeps_channels for cell in plan.cells()][:2] == [(), (0,)]


MISTAKES = [
    ("seeds = 2", "seeds = 2\nheadline = 'IuO'", 4, "headline 'IuO' is not one of IoU, Dice, "),
    (
        '["concat", "none"]',
        '["concat", "nome"]',
        6,
        "skip 'nome' is not one of concat, add, attention, none",
    ),
    ('["concat", "none"]', "[]", 6, "axis skip = [] is not a list of values"),
    ('["concat", "none"]', '"concat"', 6, "is not a list of values"),
    ('["concat", "none"]', '["add", "add"]', 6, "names a value twice"),
    ('["concat", "none"]', '["none"]\ntraining.steps = [1, 0]', 7, "is an axis, but [training]"),
    ("skip =", "skips =", 6, "unknown axis 'skips'; legal axes are base_channels"),
    ('skip = ["concat", "none"]', "", 5, "no axis: give at least one of"),
    ("depth = 1", "depth = 1\nskip = 'add'", 6, "skip is an axis, but [spec] fixes skip as well"),
    ("depth = 1", "dept = 1", 9, "'dept' is not a field of a spec"),
    ("depth = 1", "depth = 1.5", 9, "depth 1.5 is not a whole number"),
    ("depth = 1", "in_channels = 3", 9, "in_channels follows from the task: leave it out"),
    ('name = "labels"', 'name = "lables"', 15, "'lables' is not one of labels, objects"),
    ("size = 36", "size = 37", 16, "size 37 is not legal for skip concat: the nearest legal is 36"),
    ("size = 36", "size = 4", 16, "greater than or equal to 16"),
    ("scored = 20", "scored = 21", 17, "scored 21 cannot be centred in the output of skip concat"),
    ("scored = 20", "scored = 19", 17, "give 20 or less by an even number"),
    ("noise = 0.1", "noise = 0.1\nnoize = 2", 19, "unknown key 'task.noize'; legal keys are name"),
    (
        "noise = 0.1",
        "noise = 0.1\ndifficulty = 0.5",
        19,
        "the task has no such dial: give 0, or one",
    ),
    ("noise = 0.1", "noise = 0.1\ntest_noise = -1", 19, "greater than or equal to 0"),
    ("[axes]", "[axes]\ntask.noise = [0.1]", 6, "task.noise is an axis, but [task] fixes noise"),
    ("[axes]", "[axes]\ntask.difficulty = [0, 1]", 6, "task.difficulty = 1: the task has no such"),
    ("[axes]", "[axes]\ntask.contrast = [1, 11]", 6, "axes.task.contrast = 11: input should be"),
    ("steps = 3", "stepz = 3", 21, "unknown key 'training.stepz'; legal keys are steps, batch"),
    ("batch = 2\n", "", 1, "missing: training.batch; give each a value"),
    ('name = "labels"\nsize = 36\n', "", 1, "missing: task.name, task.size; give each a value"),
    ("batch = 2", "batch = '2'", 22, "training.batch = '2': input should be a valid integer"),
    ("seeds = 2", "seeds = 0", 3, "seeds = 0: input should be greater than or equal to 1"),
    ("seeds = 2", "", 1, "missing: seeds; give each a value"),
    ("[training]", "[trainin]", 20, "unknown key 'trainin'; legal keys are question"),
    ("[training]", "[trainin]", 20, "did you mean 'training'?"),
    ("seeds = 2", "seed = 2", 3, "did you mean 'seeds'?"),
    ("skip =", "skips =", 6, "did you mean 'skip'?"),
    ("depth = 1", "dept = 1", 9, "did you mean 'depth'?"),
    ("noise = 0.1", "noise = 0.1\nnoize = 2", 19, "did you mean 'noise'?"),
    ("seeds = 2", "seeds = 2\nheadline = 'IuO'", 4, "did you mean 'IoU'?"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), MISTAKES)
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, message: str) -> None:
    """File, line, value and the legal ones, in one line."""
    source = TINY.replace(old, new, 1)
    assert source != TINY
    with pytest.raises(Refusal) as caught:
        read_plan(source, name="p", file="p.toml")
    assert str(caught.value).startswith(f"p.toml:{line}: "), str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_missing_keys_are_named_at_once() -> None:
    """Those above all tables and those within them, but for what an axis varies."""
    with pytest.raises(Refusal) as caught:
        read_plan(
            "[axes]\ntraining.steps = [1, 2]\n[task]\nname = 'labels'", name="p", file="p.toml"
        )
    assert str(caught.value) == (
        "p.toml:1: missing: question, seeds, task.size, training.batch, training.learning_rate, "
        "training.test_images; give each a value"
    )


@pytest.mark.parametrize(
    ("axis", "scored"),
    [('padding = ["zeros", "reflect"]', 36), ('padding = ["valid", "zeros"]', 20)],
)
def test_what_is_scored_by_default_is_what_every_net_covers(axis: str, scored: int) -> None:
    """All of the image where nets keep its size, else the output of the one that keeps least."""
    source = TINY.replace("scored = 20\n", "").replace('skip = ["concat", "none"]', axis)
    cells = list(read_plan(source, name="p", file="p.toml").cells())
    assert {cell.task.scored for cell in cells} == {scored}


def test_images_have_no_noise_by_default_and_keys_do_not_change() -> None:
    """A plan that says so and one that does not are of the same cells, whose keys hold it."""
    silent, said = (
        next(read_plan(source, name="p", file="p.toml").cells())
        for source in (TINY.replace("noise = 0.1\n", ""), TINY.replace("0.1", "0.0"))
    )
    assert silent.task.noise == 0
    assert silent.key == said.key == "2676f4fb9555c3d253bc66fb533fe249"


def test_a_precision_may_be_asked_for_on_the_command_line(tmp_path: Path) -> None:
    """The plan that is stored with the records says so; asked for the usual, it stays as it is."""
    path = tmp_path / "p.toml"
    path.write_text(TINY)
    plan = load_plan(str(path), precision="bfloat16")
    assert plan.source.count('precision = "bfloat16"') == 1
    assert {cell.training.precision for cell in plan.cells()} == {"bfloat16"}
    assert load_plan(str(path), precision="float32").source == TINY
    path.write_text(plan.source)
    assert load_plan(str(path), precision="bfloat16").source == plan.source


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[training]",
            "[ training ]",
            "so --precision bfloat16 changes nothing",
        ),
        ("[training]", "[training]\n  precision = 'float32'", None),
        (
            "[axes]",
            "[axes]\ntraining.precision = ['float32', 'bfloat16']",
            "is an axis",
        ),
        ("[spec]", "[axes.training]\nprecision = [\n'float32',\n'bfloat16']\n[spec]", "is an axis"),
    ],
)
def test_a_precision_on_the_command_line_takes_out_nobodys_lines(
    tmp_path: Path, old: str, new: str, message: str | None
) -> None:
    """Where it cannot be put in, or the plan says another, that is told."""
    path = tmp_path / "p.toml"
    path.write_text(TINY.replace(old, new, 1))
    with pytest.raises(Refusal, match=message or "fixes precision: change it there to bfloat16"):
        load_plan(str(path), precision="bfloat16")


MIRRORED = TINY.replace("size = 36\nscored = 20", "size = 36\nscored = 36\nborder = 'mirrored'")


def test_a_mirrored_image_is_scored_whole() -> None:
    """A net without padding is given the smallest legal image whose output covers it."""
    for depth, size, given in ((1, 36, 52), (2, 36, 76), (2, 62, 104), (3, 96, 188)):
        source = MIRRORED.replace("depth = 1", f"depth = {depth}").replace("36", str(size))
        cell = next(read_plan(source, name="p", file="p.toml").cells())
        law = algebra.size_law(cell.spec)
        assert cell.input_size == given
        assert law.output(given) >= size > law.output(given) - law.step
        cost = algebra.cost(cell.spec, given, given)
        assert cell.training_macs == 3 * cost.macs * cell.training.steps * cell.training.batch
        assert Cell.from_data(cell.as_data()) == cell
    same = read_plan(
        MIRRORED.replace("depth = 1", "depth = 1\npadding = 'zeros'"), name="p", file="p.toml"
    )
    assert next(same.cells()).input_size == 36


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("scored = 36", "scored = 20", 18, "task.border = 'mirrored': all of a mirrored image is"),
        ("= 36", "= 37", 16, "size 37 has no rim of equal width on all sides for skip concat"),
        ("depth = 1", "depth = 3", 16, "size 36 is too small to be mirrored 44 pixels deep for"),
        ("depth = 1", "padding = 'zeros'\ndepth = 3", 17, "size 36 is not legal for skip concat"),
        ("'mirrored'", "'mirror'", 18, "task.border = 'mirror': input should be 'context' or"),
    ],
)
def test_what_cannot_be_mirrored_is_refused(old: str, new: str, line: int, message: str) -> None:
    """With the file and the line, in one line."""
    with pytest.raises(Refusal) as caught:
        read_plan(MIRRORED.replace(old, new), name="p", file="p.toml")
    assert str(caught.value).startswith(f"p.toml:{line}: {message}"), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = 2", f"seeds = {'9' * 5000}", "not TOML: "),
        ("seeds = 2", f"seeds = {'[' * 3000}", "not TOML: "),
        ('"Does it run?"', '"Does it\\nrun?"', "string should match pattern"),
        ("[axes]", '[axes]\ntraining.steps = [2]\n"training.steps" = [3]', "given twice"),
        ("[axes]", '[axes]\ntask.name = ["labels", "objects"]', "unknown axis 'task.name'"),
        ("depth = 1", f"depth = 0x{'f' * 9999}", "depth a value too large to show: int is not"),
        ('["concat", "none"]', f"[0x{'f' * 9999}]", "a value too large to show: list"),
        ("depth = 1", f"depth = {{{'.'.join('a' * 2000)} = 1}}", "depth a value too large to show"),
        (
            "seeds = 2\n\n[axes]",
            f"seeds = 1000000\n\n[axes]\ndropout = {[n / 64 for n in range(60)]}",
            "120000000 cells are more than the 100000000 that a plan may have",
        ),
        ("seeds = 2", f"seeds = 2 # {'.' * 20_000}", "longer than the 20000 characters"),
    ],
)
def test_hostile_plans_are_one_line_too(old: str, new: str, message: str) -> None:
    """Numbers without end, nesting without end, headings within a heading, grids without end."""
    with pytest.raises(Refusal, match=message):
        read_plan(TINY.replace(old, new, 1), name="p", file="p.toml")


def test_other_seeds_are_another_plan(tmp_path: Path) -> None:
    """In its text as well, so that a store made for it can be read again."""
    more = load_plan("quick", seeds=8)
    assert more.seeds == 8
    assert read_plan(more.source, name="quick", file="f").identity == more.identity
    assert more.axes == load_plan("quick").axes
    odd = tmp_path / "odd.toml"
    odd.write_text(TINY.replace("seeds = 2", '"seeds" = 2'))
    with pytest.raises(Refusal, match="--seeds 8 changes nothing"):
        load_plan(str(odd), seeds=8)
    with pytest.raises(Refusal, match="less than or equal to 1000000"):
        load_plan("quick", seeds=10**7)


def test_a_plan_may_begin_at_another_seed() -> None:
    """The same question to new seeds: places, tables and contrasts count from the first."""
    source = TINY.replace("seeds = 2", "seeds = 3\nfirst_seed = 100")
    plan = read_plan(source, name="p", file="p.toml")
    cells = list(plan.cells())
    assert [cell.seed for cell in cells] == [100, 100, 101, 101, 102, 102]
    assert [plan.place(cell) for cell in cells] == list(range(6))
    of_the_first = read_plan(TINY, name="p", file="p.toml")
    assert plan.place(next(of_the_first.cells())) is None
    assert list(differences(of_the_first, plan)) == ["seeds 2 -> 3", "first_seed 0 -> 100"]
    records = [record_of(cell) for cell in cells]
    results = Results.of(plan, records)
    assert results.whole_seeds == [100, 101, 102]
    assert results.runs["seed"].tolist() == [cell.seed for cell in cells]
    assert np.isfinite(results.design_on("IoU").scores).all()
    assert "p_effects.csv: skip: none - concat" in "\n".join(told(records[4], results))


@pytest.mark.parametrize("name", ["../up", "a b", "", ".hidden", "x/y", "a\n", "a\0"])
def test_a_plans_name_is_a_file_name(name: str) -> None:
    """Reports are named after it."""
    with pytest.raises(Refusal, match="use letters, digits"):
        read_plan(TINY, name=name, file="p.toml")


def test_an_axis_value_that_training_refuses_is_told_at_the_axis() -> None:
    """The blame falls on the line where the value stands."""
    source = TINY.replace("[axes]", "[axes]\ntraining.steps = [2, 0]").replace("steps = 3\n", "")
    with pytest.raises(Refusal, match=r"p.toml:6: axes.training.steps = 0"):
        read_plan(source, name="p", file="p.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[axes", r"plan.toml: not TOML: "),
        (b"\xff\xfe", "not UTF-8 text"),
        (None, "No such file or directory; give a .toml file or one of "),
    ],
)
def test_a_file_that_is_no_plan(tmp_path: Path, content: bytes | None, message: str) -> None:
    """Named, with the way out."""
    path = tmp_path / "plan.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refusal, match=message):
        load_plan(str(path))


def test_a_key_is_its_content(tiny: Plan) -> None:
    """Golden: a key must never change, or every stored record would be lost to its cell."""
    first, second = next(tiny.cells()), next(tiny.cells())
    assert first.key == second.key == "3fba0697b8f3f27e96daceaadc7b1186"
    assert Cell.from_data(first.as_data()) == first


def test_a_key_is_the_hash_of_sorted_json(tiny: Plan) -> None:
    """However it is put together: anybody can compute it from the content."""
    cell = next(tiny.cells())
    spec = {"base_channels": 4, "depth": 1, "dropout_levels": 0, "norm": "batch", "num_classes": 5}
    content = {
        "spec": spec,
        "task": cell.task.model_dump(exclude_defaults=True),
        "training": cell.training.model_dump(exclude_defaults=True),
        "seed": 0,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert cell.key == hashlib.sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (
            f"dropout = {[n / 2000 for n in range(1001)]}\ntraining.steps = {list(range(1000))}",
            "split",
        ),
        ("skip = [{a = 1}]", "is not a list of values"),
        ("up_keeps_channels = [[[0]]]", "is not a list of values"),
    ],
)
def test_axes_that_nobody_can_run(axis: str, message: str) -> None:
    """Too many variants to count, or values that no field can have, are refused at once."""
    source = TINY.replace('skip = ["concat", "none"]', axis)
    source = source.replace("steps = 3\n", "" if "steps" in axis else "steps = 3\n")
    with pytest.raises(Refusal, match=message):
        read_plan(source, name="p", file="p.toml")


def test_a_key_ignores_fields_at_their_defaults(tiny: Plan) -> None:
    """So a field that a later version adds leaves old keys alone; any other value changes it."""
    cell = next(tiny.cells())
    spelled_out = Cell(
        spec=spec_with(PAPER, {**cell.as_data()["spec"], "init": "he"}),
        task=cell.task,
        training=cell.training,
        seed=cell.seed,
    )
    assert spelled_out.key == cell.key
    changed = spec_with(spelled_out.spec, {"init": "torch"})
    assert Cell(spec=changed, task=cell.task, training=cell.training, seed=0).key != cell.key


@pytest.mark.parametrize("broken", [{}, {"spec": {"depth": 0}}, {"spec": 3}])
def test_a_malformed_cell_is_refused(tiny: Plan, broken: dict[str, object]) -> None:
    """Records are data from outside."""
    data = {**next(tiny.cells()).as_data(), **broken} if broken else {}
    with pytest.raises(Refusal, match="cell is malformed"):
        Cell.from_data(data)
