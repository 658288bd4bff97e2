"""The JSON that lookups answer, as models for the description."""

from typing import Annotated

from pydantic import Field

from app.domain.errors import FieldError
from app.web.answers import Count, Instrument, Searched, Shown


class FoundInstruments(Searched):
    """What one identifier names."""

    matches: list[Instrument]
    """Best first: those that are traded, then primary listings, then by prominence; at most 25."""
    total: Count
    """How many there are."""
    ambiguous: Annotated[bool, Field(examples=[False])]
    """Whether they are of several issues. Those of one ISIN are not, nor of one share-class FIGI."""
    warning: str = ""
    """What is odd about the identifier, such as its check digit; absent otherwise."""


class Refusal(Shown):
    """Why an identifier cannot be looked up."""

    detail: str
    errors: list[FieldError]


class RefusedIdentifier(Shown):
    error: Refusal


class LookupResults(Shown):
    """One result for each identifier, in order."""

    results: list[FoundInstruments | RefusedIdentifier]
