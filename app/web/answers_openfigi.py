"""The JSON that OpenFIGI's endpoints answer, as models for the description."""

from typing import Annotated

from pydantic import ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

from app.web.answers import Shown


class FigiRecord(Shown):
    model_config = ConfigDict(alias_generator=to_camel)

    figi: str | None
    security_type: str | None
    market_sector: str
    ticker: str
    name: str
    exch_code: str | None
    """Bloomberg's."""
    share_class_figi: Annotated[str | None, Field(alias="shareClassFIGI")]
    composite_figi: Annotated[str | None, Field(alias="compositeFIGI")]
    security_type2: str
    security_description: str


class FigiRecords(Shown):
    data: list[FigiRecord]


class FigiWarning(Shown):
    warning: str


class FigiError(Shown):
    """What is wrong with a question."""

    error: str


class MappingResults(RootModel[list[FigiRecords | FigiWarning | FigiError]]):
    """One result for each job, in order."""


class FigiPage(Shown):
    data: list[FigiRecord]
    next: str = ""
    """`start` of the next page; absent on the last."""


class CountedFigiPage(FigiPage):
    total: Annotated[int, Field(ge=0)]


class SearchAnswer(RootModel[FigiPage | FigiError]):
    """A page, or what is wrong."""


class FilterAnswer(RootModel[CountedFigiPage | FigiError]):
    """A page with the number of all records, or what is wrong."""


class FigiValues(Shown):
    values: list[str]
