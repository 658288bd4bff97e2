"""JSON Schemas of all that the service takes and answers, from the models that the route table names."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from app.domain.profile import ProfileDocument, ProfileLimits, Selection
from app.domain.query_schema import Schema
from app.web.answers import Problem
from app.web.endpoint import Endpoint

SCHEMAS: Final = "#/components/schemas/"
"""Where the description keeps them."""
_NULL: Final[Schema] = {"type": "null"}


class _WithoutTitles(GenerateJsonSchema):
    """Fields have names; a title made from the name says nothing more."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - overrides pydantic's
        return False


def body_name(endpoint: Endpoint, model: type[BaseModel]) -> str:
    return model.__name__ + ("Patch" if endpoint.method == "PATCH" else "")


def schemas_of(endpoints: Sequence[Endpoint], limits: ProfileLimits) -> dict[str, Any]:
    bodies = [(endpoint, endpoint.body) for endpoint in endpoints if endpoint.body is not None]
    models = {answer.model for endpoint in endpoints for answer in endpoint.answers if answer.model}
    models |= {body for _, body in bodies} | {Problem}
    in_order = sorted(models, key=lambda model: model.__name__)
    _, generated = models_json_schema(
        [(model, "validation") for model in in_order],
        ref_template=SCHEMAS + "{model}",
        schema_generator=_WithoutTitles,
    )
    schemas: dict[str, Any] = generated["$defs"]
    schemas[ProfileDocument.__name__]["properties"]["name"] |= {
        "minLength": 1,
        "maxLength": limits.name_length,
    }
    listed = schemas[Selection.__name__]["properties"]["instruments"]["anyOf"][0]
    listed |= {"minItems": 1, "maxItems": limits.members, "uniqueItems": True}
    for endpoint, body in bodies:
        if endpoint.method == "PATCH":
            schemas[body_name(endpoint, body)] = _patch_of(schemas[body.__name__], schemas)
    return schemas


def _patch_of(schema: Schema, schemas: Mapping[str, Any]) -> Schema:
    """The merge patches (RFC 7396) of what a JSON Schema allows: any field may be left out, or be null."""
    if "$ref" in schema and "properties" in (target := schemas[schema["$ref"].removeprefix(SCHEMAS)]):
        return _patch_of(target, schemas)
    if "anyOf" in schema:
        return {"anyOf": [_patch_of(alternative, schemas) for alternative in schema["anyOf"]]}
    if "properties" in schema:
        fields = {name: _patch_of(field, schemas) for name, field in schema["properties"].items()}
        return {
            **{word: schema[word] for word in ("description", "examples") if word in schema},
            "type": "object",
            "properties": {name: _or_null(field) for name, field in fields.items()},
            "additionalProperties": _NULL,
        }
    return {word: value for word, value in schema.items() if word != "default"}


def _or_null(schema: Schema) -> Schema:
    alternatives = schema.get("anyOf", [schema])
    return {"anyOf": alternatives if _NULL in alternatives else [*alternatives, _NULL]}
