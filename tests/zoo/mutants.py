"""Every broken U-Net of the zoo by name: `MUTANTS`."""

from __future__ import annotations

from typing import Final

from tests.zoo import (
    mutants_claims,
    mutants_flat,
    mutants_framed,
    mutants_listed,
    mutants_modules,
    mutants_valid,
)
from tests.zoo.records import Mutant

TABLES: Final = (
    mutants_flat.MUTANTS,
    mutants_valid.MUTANTS,
    mutants_listed.MUTANTS,
    mutants_modules.MUTANTS,
    mutants_framed.MUTANTS,
    mutants_claims.MUTANTS,
)

MUTANTS: Final[dict[str, Mutant]] = {name: row for table in TABLES for name, row in table.items()}
