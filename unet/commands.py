"""How both commands begin: their options for all, and the last line of each help."""

from __future__ import annotations

from typing import Annotated

import typer

from unet.version import PACKAGE, version


def new_app(summary: str) -> typer.Typer:
    """A command without subcommands yet, which tells its version and completes words."""
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.callback(help=summary)
    def root(
        # Its callback has answered by then.
        version_asked: Annotated[
            bool, typer.Option("--version", callback=_tell, is_eager=True, help="Say it, and end.")
        ] = False,
    ) -> None: ...

    return app


def _tell(asked: bool) -> None:
    if asked:
        print(PACKAGE, version())
        raise typer.Exit


def example(line: str) -> str:
    """The last line of a command's help, which works as it stands."""
    return f"Example: python -m {line}"
