"""Models of JSON bodies: lists are bounded before they are read, and what is wrong is named in our words."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import PydanticCustomError

from app.domain.errors import FieldError, InvalidInput

_Model = TypeVar("_Model", bound=BaseModel)

_MESSAGES: Final[Mapping[str, str]] = {
    "extra_forbidden": "is unknown; leave it out",
    "missing": "is required",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "none_required": "is not supported; leave it out",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
}


def at_most(limit: int, what: str) -> BeforeValidator:
    """Refuses a longer list before its elements are looked at: each of them may be an error of its own."""

    def check(value: object) -> object:
        if isinstance(value, list) and len(value) > limit:
            raise PydanticCustomError("too_many", f"has {len(value)} {what}; at most {limit} are allowed")
        return value

    return BeforeValidator(check)


def read_model(model: type[_Model], document: object) -> _Model:
    """Raises InvalidInput naming every field of the wrong shape."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidInput(*map(_field_error, found)) from error


def _field_error(error: Any) -> FieldError:
    """One of pydantic's errors in our words: `selection.instruments[3]`."""
    path = ""
    for part in error["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    message = error["msg"].replace("Input should be", "must be").replace("String should have", "must have")
    return FieldError(path[:100] or "body", _MESSAGES.get(error["type"], message[:1].lower() + message[1:]))
