"""What figures are drawn on: matplotlib as it comes, whatever a user has set for other figures."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Final

from unet.refusal import Refusal, printable, shortened

# matplotlib takes longer to import than most commands to answer.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT: Final = "DejaVu Sans"
"""It comes with matplotlib; any other would be there on some machines only."""


MOST_SIGNS: Final = 50
"""Of a text: a longer one leaves no room for what it describes."""


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw in matplotlib's own style, in which a dollar sign is one and begins no formula."""
    mpl = _matplotlib()
    own = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}
    with mpl.rc_context({**own, "font.family": FONT, "text.parse_math": False}):
        yield


def _matplotlib() -> ModuleType:
    """The library; its import ends at a backend that is not there, and reads what a user set."""
    names = ("MPLBACKEND", "MATPLOTLIBRC")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["MATPLOTLIBRC"] = os.devnull
    try:
        import matplotlib as mpl
    except UnicodeDecodeError:
        # The one in the current folder is read before all others.
        raise Refusal("./matplotlibrc: not UTF-8 text; mend it, or use another folder") from None
    finally:
        del os.environ["MATPLOTLIBRC"]
        os.environ.update(kept)
    return mpl


def as_png(figure: Figure) -> bytes:
    """The same bytes on every machine that has the same matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(shortened(_drawable(text.get_text()), MOST_SIGNS))
    buffer = io.BytesIO()
    # Without the library's version in its metadata the file depends on its content alone.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _drawable(text: str) -> str:
    """`text` with an escape for each character that the font lacks, which would all look alike."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(FONT))
    return "".join(
        each
        if font.get_char_index(ord(each))
        else each.encode("ascii", "backslashreplace").decode()
        for each in printable(text)
    )
