"""Holds published U-Nets against the checks: writes the record of the conformance report.

`python -m tests.published.conformance FOLDER` installs each package, without what it asks for
besides, into a folder of its own below FOLDER, and verifies its nets in processes of their own
(`nox -s conformance`; some minutes). A check that fails and is not expected to, or that is expected
to fail and holds, ends it with an error. Every expected failure was looked up in the package's
source; its reason says where.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

from unet.exchange import to_json
from unet.reports import Request, reports
from unet.subject import read_target

RECORD: Final = Path(__file__).parents[2] / "reports" / "records" / "conformance.json"


@final
@dataclass(frozen=True)
class Net:
    """A net by its file in the package and its call, and which checks it fails, and why.

    `meant` if its authors say in the source, or by an argument, that they want it so.
    """

    file: str
    call: str
    failures: Mapping[str, str] = field(default_factory=dict)
    meant: bool = False


@final
@dataclass(frozen=True)
class Package:
    """A release on PyPI, what its nets import besides torch, and its nets."""

    name: str
    version: str
    nets: tuple[Net, ...]
    needs: tuple[str, ...] = ()


FIRST_CONVOLUTION: Final = (
    "forward concatenates what the first of each level's two convolutions made (e1, e3, ...), and "
    "pools what the second made"
)

UNUSED_HEADS: Final = (
    "a head is built for every level, so that weights load with and without deep supervision; "
    "without it all but one are idle"
)

PACKAGES: Final = (
    Package(
        "monai",
        "1.6.1",
        (
            Net(
                "monai/networks/nets/unet.py",
                "UNet(spatial_dims=2, in_channels=1, out_channels=2, channels=(16, 32, 64, 128), "
                "strides=(2, 2, 2))",
            ),
            Net(
                "monai/networks/nets/unet.py",
                "UNet(spatial_dims=2, in_channels=1, out_channels=2, channels=(16, 32, 64, 128), "
                "strides=(2, 2, 2), num_res_units=2)",
            ),
            Net(
                "monai/networks/nets/basic_unet.py",
                "BasicUNet(spatial_dims=2, in_channels=1, out_channels=2)",
            ),
            Net(
                "monai/networks/nets/basic_unetplusplus.py",
                "BasicUNetPlusPlus(spatial_dims=2, in_channels=1, out_channels=2, "
                "features=(8, 8, 16, 32, 64, 8))",
                {
                    "everything_computed_is_used": "without deep supervision forward still "
                    "computes final_conv_0_1 to 0_3 and returns only that of 0_4",
                    "every_parameter_is_used": "the weights of those three heads, likewise",
                },
                meant=True,
            ),
            Net(
                "monai/networks/nets/dynunet.py",
                "DynUNet(spatial_dims=2, in_channels=1, out_channels=2, kernel_size=(3, 3, 3, 3), "
                "strides=(1, 2, 2, 2), upsample_kernel_size=(2, 2, 2))",
            ),
            Net(
                "monai/networks/nets/attentionunet.py",
                "AttentionUnet(spatial_dims=2, in_channels=1, out_channels=2, "
                "channels=(16, 32, 64), strides=(2, 2))",
            ),
        ),
    ),
    Package(
        "dynamic-network-architectures",
        "0.4.4",
        (
            Net("nnunet.py", "plain", {"every_parameter_is_used": UNUSED_HEADS}, meant=True),
            Net("nnunet.py", "residual", {"every_parameter_is_used": UNUSED_HEADS}, meant=True),
        ),
        needs=("timm==1.0.22",),
    ),
    Package(
        "unet",
        "0.8.1",
        (
            Net("unet/unet.py", "UNet2D(in_channels=1, out_classes=2)"),
            Net(
                "unet/unet.py",
                "UNet2D(in_channels=1, out_classes=2, padding=1, normalization='batch')",
            ),
        ),
    ),
    Package(
        "unet-pytorch",
        "0.4.3",
        (Net("unet_pytorch/model.py", "UNet(in_channels=1, out_channels=2)"),),
    ),
    Package("fastmri", "0.3.0", (Net("fastmri/models/unet.py", "Unet(in_chans=1, out_chans=1)"),)),
    Package(
        "elektronn3",
        "0.1.1",
        (
            Net(
                "elektronn3/models/unet.py",
                "UNet(in_channels=1, out_channels=2, n_blocks=4, dim=2, conv_mode='same')",
            ),
            Net(
                "elektronn3/models/unet.py",
                "UNet(in_channels=1, out_channels=2, n_blocks=4, dim=2, conv_mode='valid')",
            ),
        ),
    ),
    Package(
        "torch-em",
        "0.10.9",
        (
            Net(
                "torch_em/model/unet.py",
                "UNet2d(in_channels=1, out_channels=2, depth=3, initial_features=16)",
            ),
        ),
    ),
    Package(
        "bio-image-unet",
        "1.2.2",
        (
            Net("bio_image_unet/unet/unet.py", "Unet(in_channels=1, out_channels=1)"),
            Net(
                "bio_image_unet/unet/unet_v0.py",
                "Unet_v0()",
                {"skips_leave_from_the_end_of_their_level": FIRST_CONVOLUTION},
            ),
            Net(
                "bio_image_unet/unet/baby_unet.py",
                "BabyUnet()",
                {"skips_leave_from_the_end_of_their_level": FIRST_CONVOLUTION},
            ),
            Net("bio_image_unet/unet/attention_unet.py", "AttentionUnet()"),
            Net("bio_image_unet/unet3d/unet3d.py", "UNet3D()"),
        ),
    ),
    Package(
        "unet3d",
        "0.1.0",
        (
            Net(
                "unet3d/unet3d.py",
                "UNet3d(1, 2)",
                {
                    "every_level_is_joined": "forward keeps what each Down received: below the "
                    "first level that is the map just pooled",
                    "skips_leave_from_the_end_of_their_level": "each Down convolves and then "
                    "pools, so that what it received has not been through its convolutions",
                },
            ),
        ),
    ),
)


def install(package: Package, folder: Path) -> None:
    """Put a package where nothing else is, if it is not there yet."""
    if folder.exists():
        return
    wanted = [f"{package.name}=={package.version}", *package.needs]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--target", str(folder), *wanted], check=True)


def verified(package: Package, folder: Path) -> Iterator[dict[str, Any]]:
    """The row of the record for each net of a package."""
    sys.path.append(str(folder))  # for what its nets import by name; our own names come first
    for net in package.nets:
        source = folder / net.file if "/" in net.file else Path(__file__).parent / net.file
        target = read_target(f"{source}:{net.call}")
        start = time.perf_counter()
        (report,) = reports([target], Request())
        seconds = time.perf_counter() - start
        yield {
            "package": f"{package.name} {package.version}",
            "net": f"{net.file}:{net.call}",
            "verdict": report["verdict"],
            "error": report.get("error", ""),
            "seconds": round(seconds, 1),
            "cores": os.cpu_count(),
            "inferred": report["inferred"],
            "results": [r for r in report["results"] if r["status"] != "pass"],
            "expected": dict(net.failures),
            "meant": net.meant,
        }


def surprises(row: dict[str, Any]) -> list[str]:
    """What is not as expected, in words."""
    failed = {r["check"] for r in row["results"] if r["status"] == "fail"}
    found = [f"{row['net']}: {row['error']}"] if row["error"] else []
    found += [f"{row['net']} fails {check}" for check in sorted(failed - set(row["expected"]))]
    return found + [
        f"{row['net']} was expected to fail {check} and does not"
        for check in sorted(set(row["expected"]) - failed)
    ]


def main(folder: Path) -> None:
    """Install, verify, write the record; exit with what was not expected."""
    import unet.verify  # noqa: F401  # the start-up that all nets share

    rows = []
    for package in PACKAGES:
        install(package, folder / package.name)
        rows += list(verified(package, folder / package.name))
    lines = [to_json({k: v for k, v in row.items() if k != "error"}) for row in rows]
    unexpected = [line for row in rows for line in surprises(row)]
    if unexpected:
        raise SystemExit("\n".join(unexpected))
    RECORD.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{RECORD}: {len(rows)} nets of {len(PACKAGES)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
