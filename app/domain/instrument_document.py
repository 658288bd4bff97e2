"""What a writer says of an instrument: its shape and its fields' rules, for creations and for merge patches.

Each field may be left out or be null. What that means is for a creation or a patch to say
(`app.domain.instrument_write`); what is given is valid, or refused by field.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError

from app.domain.cfi import canonical_cfi
from app.domain.identifiers import IDENTIFIER_FIELDS, canonical_identifier
from app.domain.instrument import MAX_NAME_LENGTH, MAX_SYMBOL_LENGTH, AssetClass, Status
from app.domain.instrument_fields import (
    MAX_ALIASES,
    MAX_ATTRIBUTE_LENGTH,
    MAX_DATED_ALIASES,
    MAX_EXCHANGE_LENGTH,
    MAX_TEXT_LENGTH,
    calendar_date,
    decimal_number,
    iso_country,
    iso_currency,
    mic_code,
    positive_decimal,
    printable_text,
)
from app.domain.json_model import at_most

_MAX_SHOWN: Final = MAX_ALIASES + MAX_DATED_ALIASES
"""Aliases of an instrument as it is read."""


class OptionType(StrEnum):
    CALL = "call"
    PUT = "put"


def _text(parse: Callable[[str], object], **schema: object) -> Any:
    """A JSON text that `parse` makes something of; its ValueError says what is wrong."""

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise PydanticCustomError("string_type", "must be a text")
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("refused", "{reason}", {"reason": str(error)}) from error

    return BeforeValidator(check), WithJsonSchema({"type": "string", **schema})


def _identifier(name: str) -> Any:
    return _text(lambda text: canonical_identifier(name, text), minLength=1)


def _printable(max_length: int) -> Any:
    return _text(lambda text: printable_text(text, max_length), minLength=1, maxLength=max_length)


_PlainText: TypeAlias = Annotated[str, *_printable(MAX_TEXT_LENGTH)]
_Day: TypeAlias = Annotated[date, *_text(calendar_date, format="date")]
_Size: TypeAlias = Annotated[Decimal, *_text(positive_decimal, maxLength=MAX_TEXT_LENGTH, examples=["0.01"])]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ContractDocument(_Part):
    """The terms of a derivative."""

    underlying: _PlainText | None = None
    expiry: _Day | None = None
    strike: (
        Annotated[Decimal, *_text(decimal_number, maxLength=MAX_TEXT_LENGTH, examples=["187.5"])] | None
    ) = None
    multiplier: _Size | None = None
    option_type: OptionType | None = None


_identifiers: Final[dict[str, Any]] = {
    name: (Annotated[str, *_identifier(name)] | None, None) for name in IDENTIFIER_FIELDS
}
IdentifiersDocument = create_model("IdentifiersDocument", __base__=_Part, **_identifiers)


class InstrumentFields(_Part):
    """What may be said of an instrument."""

    symbol: Annotated[str, *_printable(MAX_SYMBOL_LENGTH)] | None = None
    name: Annotated[str, *_printable(MAX_NAME_LENGTH)] | None = None
    asset_class: AssetClass | None = None
    status: Status | None = None
    mic: Annotated[str, *_text(mic_code, pattern="^[A-Za-z0-9]{4}$")] | None = None
    """ISO 10383."""
    exchange: Annotated[str, *_printable(MAX_EXCHANGE_LENGTH)] | None = None
    """A code of one's own; one that stands for a market gives `mic` where a creation leaves it out."""
    currency: Annotated[str, *_text(iso_currency, pattern="^[A-Za-z]{3}$")] | None = None
    """ISO 4217."""
    country: Annotated[str, *_text(iso_country, pattern="^[A-Za-z]{2}$")] | None = None
    """Of the issuer, ISO 3166-1 alpha-2."""
    sector: _PlainText | None = None
    industry: _PlainText | None = None
    identifiers: IdentifiersDocument | None = None
    primary: Annotated[bool, Field(strict=True)] | None = None
    """Whether this is the issuer's primary listing. True makes the other listings of the issue false."""
    cfi: Annotated[str, *_text(canonical_cfi, pattern="^[A-Za-z]{6}$")] | None = None
    """ISO 10962."""
    aliases: (
        Annotated[
            list[_PlainText],
            at_most(_MAX_SHOWN, "aliases"),
            Field(json_schema_extra={"maxItems": _MAX_SHOWN}),
        ]
        | None
    ) = None
    """Without dates, to 50. A patch may repeat those with dates, as they are shown; it changes none."""
    listed_on: _Day | None = None
    delisted_on: _Day | None = None
    """If it lies ahead: when the instrument becomes delisted by itself."""
    tick_size: _Size | None = None
    lot_size: _Size | None = None
    contract: ContractDocument | None = None
    attributes: dict[_PlainText, Annotated[str, *_printable(MAX_ATTRIBUTE_LENGTH)] | None] | None = None
    """Texts by names."""


class InstrumentDocument(InstrumentFields):
    """An instrument as it is written. In a new one, null is as if it were left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "symbol": "ACME",
                    "name": "Acme Corporation",
                    "asset_class": "equity",
                    "mic": "XNYS",
                    "currency": "USD",
                    "country": "US",
                    "identifiers": {"isin": "US0378331005"},
                    "tick_size": "0.01",
                }
            ]
        }
    )

    symbol: Annotated[str, *_printable(MAX_SYMBOL_LENGTH)]
    name: Annotated[str, *_printable(MAX_NAME_LENGTH)]
    asset_class: AssetClass
