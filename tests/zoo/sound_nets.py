"""Every sound U-Net of the zoo by name: `SOUND`."""

from __future__ import annotations

from typing import Final

from tests.zoo import sound_blocks, sound_same, sound_topologies, sound_valid
from tests.zoo.records import Sound

SOUND: Final[dict[str, Sound]] = {
    **sound_valid.SOUND,
    **sound_same.SOUND,
    **sound_blocks.SOUND,
    **sound_topologies.SOUND,
}
