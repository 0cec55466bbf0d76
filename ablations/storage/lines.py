"""Where in a plan file a mistake stands, and how it is told in one line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from unet.refusal import Refusal, did_you_mean, shown


@final
@dataclass(frozen=True)
class Lines:
    """The lines of a plan file, to say where a mistake stands."""

    source: str
    file: str

    def refusal(self, path: Sequence[str], message: str) -> Refusal:
        """One line with the place of the key `path`."""
        return Refusal(f"{self.file}:{self.number(path)}: {message}")

    def unknown(self, path: Sequence[str], legal: Collection[str]) -> Refusal:
        """Of a key that there is not, with those that there are."""
        name, keys = ".".join(path), ", ".join(legal)
        hint = did_you_mean(path[-1], legal)
        return self.refusal(path, f"unknown key {shown(name)}; legal keys are {keys}{hint}")

    def complaint(
        self, problem: ValidationError, model: type[BaseModel], path: tuple[str, ...]
    ) -> Refusal:
        """One of pydantic's complaints in one line, with the legal keys where a key is wrong."""
        error = first_error(problem)
        path = path or tuple(str(part) for part in error["loc"])
        name = ".".join(path)
        if error["type"] == "extra_forbidden":
            return self.unknown(path, _model_at(model, error["loc"][:-1]).model_fields)
        if error["type"] == "missing":
            return self.refusal(path, f"{name} is missing: give it a value")
        said = error["msg"].removeprefix("Value error, ")
        return self.refusal(path, f"{name} = {shown(error['input'])}: {said[0].lower()}{said[1:]}")

    def number(self, path: Sequence[str]) -> int:
        """The line of the key `path`, or else of the table that it belongs in, or else 1."""
        best, most_shared = 1, 0
        table: tuple[str, ...] = ()
        for number, text in enumerate(self.source.splitlines(), start=1):
            if header := re.match(r"\s*\[{1,2}([^\[\]]+)\]", text):
                table = keys = _keys(header[1])
            elif assignment := re.match(r"""\s*([\w."'-]+)\s*=""", text):
                keys = (*table, *_keys(assignment[1]))
            else:
                continue
            shared = min(len(keys), len(path))
            if shared > most_shared and keys[:shared] == tuple(path[:shared]):
                best, most_shared = number, shared
        return best


def first_error(problem: ValidationError) -> ErrorDetails:
    """The error to tell: a mistyped key is both unknown and missing, and unknown says more."""
    return min(problem.errors(), key=lambda error: error["type"] != "extra_forbidden")


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """The model of a part, as far as the path to it leads from model to model."""
    for name in path:
        field = model.model_fields.get(str(name))
        inner = get_args(field.annotation) if field else ()
        if inner and isinstance(inner[0], type) and issubclass(inner[0], BaseModel):
            model = inner[0]
    return model


def _keys(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))
