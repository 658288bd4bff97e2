"""Questions in OpenFIGI's form: mapping jobs, each read by itself, and searches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, RootModel, SkipValidation
from pydantic.alias_generators import to_camel
from stdnum import cusip

from app.domain.currencies import quotation
from app.domain.errors import FieldError, InvalidInput, TooManyJobs
from app.domain.instrument import Status
from app.domain.instrument_fields import mic_code
from app.domain.json_model import read_model
from app.domain.lookup import MAX_VALUE_LENGTH, SYMBOL, Sought, compared
from app.domain.openfigi import (
    CUSIP_WITHOUT_CHECK_DIGIT,
    ID_TYPES,
    SECURITIES,
    VALUES,
    composite_records,
    listing_record,
    records_of_figi,
)
from app.domain.query import NO_CONTROLS, Given, Search
from app.domain.symbols import symbols_of_ticker
from app.domain.text import holds_controls
from app.domain.venues import VENUES, mics_of_bloomberg

MAX_JOBS: Final = 100
MAX_JOBS_WITHOUT_KEY: Final = 10
MAX_RECORDS: Final = 100
"""Of one job, and of one page of a search."""
_LISTED: Final = frozenset({Status.ACTIVE.value, Status.SUSPENDED.value})
_CUSIP_LENGTH: Final = 9


class Narrowing(BaseModel):
    """What a record must be besides; null: anything."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, use_attribute_docstrings=True
    )

    exch_code: Annotated[str | None, Field(examples=["US"])] = None
    """Bloomberg's code of an exchange, or of all of a country's; not together with micCode."""
    mic_code: Annotated[str | None, Field(examples=["XNAS"])] = None
    currency: Annotated[str | None, Field(examples=["USD"])] = None
    market_sec_des: Annotated[str | None, Field(examples=["Equity"])] = None
    security_type: Annotated[str | None, Field(examples=["Common Stock"])] = None
    security_type2: Annotated[str | None, Field(examples=["Common Stock"])] = None
    include_unlisted_equities: Annotated[bool | None, Field(strict=True)] = None
    """Whether those that are delisted are asked for, too."""
    option_type: None = None
    """This and what follows cannot be answered here."""
    strike: None = None
    contract_size: None = None
    coupon: None = None
    expiration: None = None
    maturity: None = None
    state_code: None = None


class MappingJob(Narrowing):
    id_type: Annotated[str, Field(json_schema_extra={"enum": list(ID_TYPES)})]
    id_value: Annotated[Any, Field(json_schema_extra={"type": ["string", "integer"]})]


class MappingJobs(RootModel[list[SkipValidation[MappingJob]]]):
    """Up to 100 jobs, 10 without a key."""

    model_config = ConfigDict(
        json_schema_extra={
            "maxItems": MAX_JOBS,
            "examples": [[{"idType": "ID_ISIN", "idValue": "US0378331005", "exchCode": "US"}]],
        }
    )


class FigiFilter(Narrowing):
    """A text, or what narrows all there is, or both."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "apple", "exchCode": "US"}]})

    query: str | None = None
    start: str | None = None
    """`next` of the page before."""


class FigiSearch(FigiFilter):
    """A text, and what narrows it."""

    query: str


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a question's fields come to; None: anything, no value: nothing."""

    mics: frozenset[str] | None
    composite: str | None
    """The exchange code, where it is one of a country and not of an exchange."""
    currency: str | None
    asset_classes: frozenset[str] | None
    statuses: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Job:
    """A mapping job that can be carried out."""

    sought: Sought
    composite: str | None

    def records(self, matches: Sequence[Mapping[str, Any]]) -> list[dict[str, str | None]]:
        """The records that answer it, made of the instruments that match, best first."""
        if self.composite is not None:
            records = composite_records(matches, self.composite)
        elif "figi" in self.sought.kinds:
            records = records_of_figi(self.sought.keys[0], matches)
        else:
            records = [listing_record(facts) for facts in matches]
        return records[:MAX_RECORDS]


def parse_jobs(document: object, most: int) -> list[Job | InvalidInput]:
    """The jobs of a JSON value, in order; InvalidInput in place of what cannot be carried out.

    Raises InvalidInput where it is no list, and TooManyJobs, before any is read, where they are more than
    `most`.
    """
    jobs: Sequence[Any] = read_model(MappingJobs, document).root
    if len(jobs) > most:
        raise TooManyJobs(
            f"{len(jobs)} jobs are too many; {most} are allowed, and {MAX_JOBS} with an API key"
        )
    return [_parsed(job) for job in jobs]


def _parsed(document: object) -> Job | InvalidInput:
    try:
        job = read_model(MappingJob, document)
        narrowed = parse_narrowing(job)
        kinds, key = _identifier(job)
    except InvalidInput as refusal:
        return refusal
    keys: tuple[str, ...] = (key,)
    if SYMBOL in kinds:
        keys = symbols_of_ticker(key, VENUES if narrowed.mics is None else narrowed.mics)
    sought = Sought(
        kinds,
        keys,
        ticker=key if SYMBOL in kinds else None,
        mics=narrowed.mics,
        currency=narrowed.currency,
        asset_classes=narrowed.asset_classes,
        statuses=narrowed.statuses,
    )
    return Job(sought, narrowed.composite)


def _identifier(job: MappingJob) -> tuple[tuple[str, ...], str]:
    kinds = ID_TYPES.get(job.id_type)
    if kinds is None:
        raise InvalidInput.of("idType", f"must be one of {', '.join(ID_TYPES)}, which are supported here")
    if isinstance(job.id_value, bool) or not isinstance(job.id_value, str | int):
        raise InvalidInput.of("idValue", "must be a text or a whole number")
    text = str(job.id_value)
    if len(text) > MAX_VALUE_LENGTH:
        raise InvalidInput.of("idValue", f"must have at most {MAX_VALUE_LENGTH} characters")
    if holds_controls(text):
        raise InvalidInput.of("idValue", NO_CONTROLS)
    key = compared(kinds[0], text)
    if not key:
        raise InvalidInput.of("idValue", "is empty")
    if job.id_type == CUSIP_WITHOUT_CHECK_DIGIT:
        key = _whole_cusip(key)
    return kinds, key


def _whole_cusip(key: str) -> str:
    """Eight characters with the check digit that follows; anything else as it is."""
    if len(key) != _CUSIP_LENGTH - 1 or not (key.isascii() and key.isalnum()):
        return key
    return key + str(cusip.calc_check_digit(key))


def parse_narrowing(given: Narrowing) -> Narrowed:
    """Raises InvalidInput naming every field that is wrong."""
    errors: list[FieldError] = []
    mics = _mics(given, errors)
    code = given.exch_code.upper() if given.exch_code else None
    is_composite = mics and code and all(code not in VENUES[mic].bloomberg for mic in mics)
    currency = quotation(given.currency) if given.currency is not None else None
    if given.currency is not None and currency is None:
        errors.append(FieldError("currency", "is not an ISO 4217 currency"))
    asset_classes = _asset_classes(given, errors)
    if errors:
        raise InvalidInput(*errors)
    return Narrowed(
        mics,
        code if is_composite else None,
        currency.currency if currency else None,
        asset_classes,
        None if given.include_unlisted_equities else _LISTED,
    )


def _mics(given: Narrowing, errors: list[FieldError]) -> frozenset[str] | None:
    if given.exch_code is not None and given.mic_code is not None:
        errors.append(FieldError("micCode", "goes not together with exchCode; leave one of them out"))
        return None
    if given.exch_code is not None:
        mics = mics_of_bloomberg(given.exch_code)
        if not mics:
            errors.append(_not_known("exchCode"))
        return frozenset(mics)
    if given.mic_code is not None:
        try:
            return frozenset({mic_code(given.mic_code)})
        except ValueError as error:
            errors.append(FieldError("micCode", str(error)))
    return None


def _asset_classes(given: Narrowing, errors: list[FieldError]) -> frozenset[str] | None:
    chosen = {
        "marketSecDes": given.market_sec_des,
        "securityType": given.security_type,
        "securityType2": given.security_type2,
    }
    wanted = {field: value for field, value in chosen.items() if value is not None}
    errors += (_not_known(field) for field, value in wanted.items() if value not in VALUES[field])
    if not wanted:
        return None
    return frozenset(
        asset_class
        for asset_class, security in SECURITIES.items()
        if given.market_sec_des in (None, security.sector)
        and given.security_type in (None, security.type)
        and given.security_type2 in (None, security.type2)
    )


def _not_known(field: str) -> FieldError:
    return FieldError(field, f"is not known here; GET /v3/mapping/values/{field} lists what is")


def parse_page(given: FigiFilter, *, max_limit: int) -> Search | None:
    """One page of a search; None where nothing can match. Raises InvalidInput naming every bad field."""
    narrowed = parse_narrowing(given)
    text = Given([("query", given.query or "")], known=("query",))
    query = text.text("query", "")
    text.raise_if_refused()
    filters = {
        "asset_class": narrowed.asset_classes,
        "mic": narrowed.mics,
        "currency": None if narrowed.currency is None else {narrowed.currency},
        "status": narrowed.statuses,
    }
    if any(values is not None and not values for values in filters.values()):
        return None
    return Search(
        query,
        {name: tuple(sorted(values)) for name, values in filters.items() if values},
        limit=min(MAX_RECORDS, max_limit),
    )
