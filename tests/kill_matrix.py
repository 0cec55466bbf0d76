"""What every check says of every net of the zoo: writes the record of the kill matrix.

`python -m tests.kill_matrix` verifies every net anew (minutes); the report is made from the
record, and the tests hold the record against what the checks say.
"""

from __future__ import annotations

from pathlib import Path

import torch

from tests.zoo.mutants import MUTANTS
from tests.zoo.sound_nets import SOUND
from unet.exchange import to_json
from unet.verify import verify

RECORD = Path(__file__).parent.parent / "reports" / "records" / "kill_matrix.json"

Row = dict[str, object]


def row_of(name: str) -> Row:
    """What the checks say of one net: the names of those that fail and of those that warn."""
    net = SOUND.get(name) or MUTANTS[name]
    torch.manual_seed(0)
    claims = getattr(net, "claims", {})
    results = verify(net.factory, in_channels=net.in_channels, claims=claims)
    failed = dict.fromkeys(result.check for result in results if result.status == "fail")
    warned = dict.fromkeys(result.check for result in results if result.status == "warn")
    return {
        "net": name,
        "host": getattr(net, "host", ""),
        "fault": getattr(net, "fault", ""),
        "level": getattr(net, "level", ""),
        "claims": dict(claims),
        "why": getattr(net, "why", ""),
        "failed": list(failed),
        "warned": list(warned),
    }


def main() -> None:
    """Verify every net and write the record, one net a line."""
    torch.set_num_threads(1)
    rows = [to_json(row_of(name)) for name in [*SOUND, *MUTANTS]]
    RECORD.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    print(f"{RECORD}: {len(rows)} nets")


if __name__ == "__main__":
    main()
