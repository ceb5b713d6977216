"""openapi.json, which says what the generator takes that is served now: its classes, its attributes by name."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from gan_core.bundle import Generator
from gan_core.options.conditions import Attribute
from pipelines.serving.answers import NPY, PNG

WORDS = {
    400: "This generator does not take what is asked for",
    413: "The body is too long",
    422: "No generator takes what is asked for",
    500: "The generator's weights make no images",
    503: "As many requests wait as may",
    504: "The images were not made in time",
}


class Problem(BaseModel):
    """What every error is answered with."""

    detail: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How errors are documented."""
    found: dict[int | str, dict[str, Any]] = {s: {"model": Problem, "description": WORDS[s]} for s in statuses}
    if 503 in found:
        found[503]["headers"] = {"Retry-After": _header("Seconds", "integer")}
    return found


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


SAMPLED = problems(400, 422, 500, 503, 504) | {200: {
    "description": "The images",
    "headers": {"Gan-Version": _header("The URI of the version that made them"),
                "Gan-Seed": _header("The seed that makes them again", "integer")},
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in (PNG, NPY)},
}}


def described(app: FastAPI, generator: Generator, max_images: int) -> dict[str, Any]:
    """The interface as OpenAPI 3.1, with the bounds of this server and this generator."""
    schema = get_openapi(title=app.title, version=app.version, routes=app.routes,
                         description=f"Images of {generator.uri}")
    body = schema["components"]["schemas"]["Sample"]["properties"]
    parameters = schema["paths"]["/sample"]["get"]["parameters"]
    query = {each["name"]: each["schema"] for each in parameters}
    for fields in (body, query):
        fields["n"]["maximum"] = max_images
        _bound(fields["label"], generator.classes)
        if generator.spec.output[0] not in (1, 3):
            fields["format"] |= {"enum": ["npy"]}
    body["attributes"]["anyOf"][0] = {
        "type": "object", "additionalProperties": False,
        "properties": {attribute.name: _values(attribute) for attribute in generator.attributes},
    }
    if not generator.attributes:
        body["attributes"]["anyOf"].pop(0)
    absent = {name for name, there in (("label", generator.classes), ("attributes", generator.attributes)) if not there}
    schema["paths"]["/sample"]["get"]["parameters"] = [each for each in parameters if each["name"] not in absent]
    return schema


def _bound(label: dict[str, Any], classes: int) -> None:
    """A label from 0 to the last class, or none at all."""
    if classes:
        label["anyOf"][0]["maximum"] = classes - 1
    else:
        label["anyOf"].pop(0)


def _values(attribute: Attribute) -> dict[str, Any]:
    """The values of an attribute as JSON schema."""
    low, high = attribute.ends
    if attribute.kind == "continuous":
        return {"type": "number", "minimum": low, "maximum": high}
    return {"type": "integer", "minimum": int(low), "maximum": int(high)}
