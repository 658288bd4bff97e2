"""The JSON that is answered about aliases, as models for its description."""

from datetime import date
from typing import Annotated

from pydantic import Field

from app.domain.alias import AliasKind
from app.web.answers import Shown


class Alias(Shown):
    """A name that people use for an instrument, or a symbol that it had or has."""

    alias: Annotated[str, Field(examples=["FB"])]
    kind: Annotated[AliasKind, Field(examples=["symbol"])]
    valid_from: Annotated[date | None, Field(examples=["2012-05-18"])]
    """The first day (UTC); null: from ever."""
    valid_to: Annotated[date | None, Field(examples=["2022-06-09"])]
    """The first day on which it no longer is; null: for ever."""
    in_force: Annotated[bool, Field(examples=[False])]
    """Whether it is today. A former symbol goes on finding its instrument, a former name does not."""


class Aliases(Shown):
    """Names without dates first, then all others in the order in which they came."""

    aliases: list[Alias]
