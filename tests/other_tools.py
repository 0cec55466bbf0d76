"""What other tools find on the zoo's nets: writes the record that stands beside our kill matrix.

`python -m tests.other_tools` asks each tool about every net, in the way that its own documentation
shows, with a right batch, a right loss and Adam (minutes; `nox -s other_tools` installs the
tools). What a tool says of a sound net as well is no finding: a broken net counts as found if the
tool says something of it that it does not say of its host.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch
import torchinfo
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.mutants import MUTANTS
from tests.zoo.records import Mutant, Sound
from tests.zoo.sound_nets import SOUND
from unet.exchange import to_json
from unet.running import main_output

RECORD: Final = Path(__file__).parent.parent / "reports" / "records" / "other_tools.json"

BATCH: Final = 4

Said = list[str]
"""The names of what a tool objects to."""


def image_for(net: Sound | Mutant, batch: int) -> Tensor:
    """A batch of images of the size that its host is made for."""
    host = SOUND[net.host] if isinstance(net, Mutant) else net
    generator = torch.Generator().manual_seed(0)
    sides = (host.size,) * host.dimensions
    return torch.randn(batch, net.in_channels, *sides, generator=generator)


def output_of(returned: object) -> Tensor:
    """The logits, whatever they are wrapped in."""
    output = main_output(returned)
    assert output is not None
    return output


def loss_of(returned: object, target: Tensor) -> Tensor:
    """Cross entropy for several classes, and of a mask for one."""
    output = output_of(returned)
    if output.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(output, target[:, None].to(output.dtype))
    return functional.cross_entropy(output, target)


def target_for(net: nn.Module, image: Tensor) -> Tensor:
    """A mask that can be learnt, as large as the output: where the image is bright."""
    with torch.no_grad():
        shape = output_of(copy.deepcopy(net)(image)).shape
    middle = image[:, 0]
    for axis, size in enumerate(shape[2:], start=1):
        middle = middle.narrow(axis, (middle.shape[axis] - size) // 2, size)
    return (middle > 0).long()


def torchinfo_and_a_shape(entry: Sound | Mutant) -> Said:
    """A test as most repositories have it: parameters and output shape are those of the host."""
    host = SOUND[entry.host] if isinstance(entry, Mutant) else entry
    found = []
    for wanted in (host, entry):
        net = wanted.factory().eval()
        summary = torchinfo.summary(net, input_data=image_for(wanted, 1), verbose=0)
        shape = output_of(net(image_for(wanted, 1))).shape
        found.append((summary.total_params, tuple(shape)))
    (parameters, shape), (mine, my_shape) = found
    return ["parameters"] * (mine != parameters) + ["shape"] * (my_shape != shape)


def pytest_torch(entry: Sound | Mutant) -> Said:
    """Its zero-code checks for any model: contract, invariance, checkpoint, gradients."""
    from pytest_torch import check_inference_contract
    from pytest_torch.checkpoint import assert_checkpoint_roundtrip
    from pytest_torch.invariance import assert_layout_invariant
    from pytest_torch.training import assert_gradients_finite

    net, image = entry.factory().eval(), image_for(entry, BATCH)
    near = {"rtol": 1e-4, "atol": 1e-4}  # as in its own zero-code tests
    contract = check_inference_contract(net, image, raise_on_failure=False, **near)
    said = [f"contract: {check.name}" for check in contract.failures]
    asked: Mapping[str, Callable[[], object]] = {
        "invariance": lambda: assert_layout_invariant(net, image, **near),
        "checkpoint": lambda: assert_checkpoint_roundtrip(entry.factory, image, model=net, **near),
        "gradients": lambda: assert_gradients_finite(
            copy.deepcopy(net).train(), image, lambda returned: output_of(returned).mean()
        ),
    }
    for name, ask in asked.items():
        try:
            ask()
        except Exception:  # noqa: BLE001  # an assertion, or what the net raised
            said.append(name)
    return said


def torchtest2(entry: Sound | Mutant) -> Said:
    """Its one call before training, warnings included.

    But for overfitting one batch: nets this narrow need more than its 200 steps, sound or not.
    """
    from torchtest2 import check_model

    net, image = entry.factory(), image_for(entry, BATCH)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    target = target_for(net, image)
    report = check_model(net, image, target, loss_fn=loss_of, optimizer=optimizer, overfit_steps=0)
    return [check.name for check in (*report.failures, *report.warnings)]


def torch_audit(entry: Sound | Mutant) -> Said:
    """All its phases around three steps of training."""
    from torch_audit import audit_dynamic

    net, image = entry.factory(), image_for(entry, BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-4)
    target = target_for(net, image)
    with audit_dynamic(net, optimizer=optimizer, every_n_steps=1) as auditor:
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            auditor.backward(loss_of(auditor.forward(image), target))
            auditor.optimizer_step()
    return [finding.rule_id for finding in auditor.finish(report=False).findings]


TOOLS: Final[Mapping[str, Callable[[Sound | Mutant], Said]]] = {
    "torchinfo": torchinfo_and_a_shape,
    "pytest-torch": pytest_torch,
    "torchtest2": torchtest2,
    "torch-audit": torch_audit,
}


def row_of(name: str) -> dict[str, object]:
    """What every tool says of one net; that a net ends the tool's run is said as well."""
    torch.set_num_threads(1)
    entry = SOUND.get(name) or MUTANTS[name]
    said: dict[str, Said] = {}
    for tool, ask in TOOLS.items():
        torch.manual_seed(0)
        with quietly():
            try:
                said[tool] = sorted(set(ask(entry)))
            except Exception as error:  # noqa: BLE001  # whatever a net or a tool may raise
                said[tool] = [f"ended by {type(error).__name__}"]
    return {"net": name, "said": said}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Tools print; here only their verdicts are wanted."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Ask every tool about every net and write the record, one net a line."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(row_of, [*SOUND, *MUTANTS]))
    versions = {tool: version(tool) for tool in TOOLS}
    lines = [to_json(row) for row in ({"versions": versions}, *rows)]
    RECORD.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{RECORD}: {len(rows)} nets")


if __name__ == "__main__":
    main()
