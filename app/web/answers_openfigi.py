"""The JSON that OpenFIGI's endpoints answer, as models for the description."""

from typing import Annotated

from pydantic import ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

from app.web.answers import Count, Shown


class FigiRecord(Shown):
    model_config = ConfigDict(alias_generator=to_camel)

    figi: Annotated[str | None, Field(examples=["BBG000B9XRY4"])]
    security_type: Annotated[str | None, Field(examples=["Common Stock"])]
    market_sector: Annotated[str, Field(examples=["Equity"])]
    ticker: Annotated[str, Field(examples=["AAPL"])]
    name: Annotated[str, Field(examples=["Apple Inc."])]
    exch_code: Annotated[str | None, Field(examples=["US"])]
    """Bloomberg's."""
    share_class_figi: Annotated[str | None, Field(alias="shareClassFIGI", examples=["BBG001S5N8V8"])]
    composite_figi: Annotated[str | None, Field(alias="compositeFIGI", examples=["BBG000B9XRY4"])]
    security_type2: Annotated[str, Field(examples=["Common Stock"])]
    security_description: Annotated[str, Field(examples=["AAPL"])]


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
    total: Count


class SearchAnswer(RootModel[FigiPage | FigiError]):
    """A page, or what is wrong."""


class FilterAnswer(RootModel[CountedFigiPage | FigiError]):
    """A page with the number of all records, or what is wrong."""


class FigiValues(Shown):
    values: Annotated[list[str], Field(examples=[["ID_ISIN", "TICKER"]])]
