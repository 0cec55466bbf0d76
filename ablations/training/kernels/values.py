"""The values of a map: float32, or the bits of bfloat16 (uint16), which numba has no type for.

A map is an array of them in memory's order. All arithmetic is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

Map = NDArray[Any]
Channels = NDArray[np.float32]
"""A number for each channel."""

WORD, HALF = ir.IntType(32), ir.IntType(16)


def _reading(_context: Any, value: Any) -> Any:
    def upper_half(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bits = builder.shl(builder.zext(values[0], WORD), WORD(16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), upper_half if value == types.uint16 else _as_it_is


def _writing(_context: Any, _value: Any, alike: Any) -> Any:
    def rounded(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        bits = builder.bitcast(values[0], WORD)
        odd = builder.and_(builder.lshr(bits, WORD(16)), WORD(1))
        up = builder.add(bits, builder.add(odd, WORD(0x7FFF)))
        return builder.trunc(builder.lshr(up, WORD(16)), HALF)

    return alike(types.float32, alike), rounded if alike == types.uint16 else _as_it_is


def _as_it_is(_context: Any, _builder: Any, _signature: Any, values: Any) -> Any:
    return values[0]


read = cast("Callable[[Any], np.float32]", intrinsic(_reading))
"""A value of a map in float32, of which bfloat16 is the upper half."""

written = cast("Callable[[np.float32, Any], Any]", intrinsic(_writing))
"""A float32 as it is written beside a value of a map: to nearest, and to the even one of two."""
