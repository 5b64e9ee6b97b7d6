"""Values as msgspec structs: such a class is created in a fortieth of the time that a dataclass takes.

A dataclass compiles its methods from text when its module is imported. With some 300 classes that was up to a third
of the CPU of a command's start. Dataclasses are left where only they can do something: a field that is not part of
the comparison, the text or the constructor, or a property that is computed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field, structs
from msgspec.structs import fields, force_setattr

if TYPE_CHECKING:
    from dataclasses import replace  # with this one mypy checks the arguments, for structs as for dataclasses
else:
    from msgspec.structs import replace

__all__ = ["Struct", "asdict", "field", "fields", "force_setattr", "replace"]


def asdict(value: Struct) -> dict[str, Any]:
    """Return the fields of a struct by name; structs in them, also in collections, become dictionaries."""
    return {name: _convert(part) for name, part in structs.asdict(value).items()}


def _convert(value: Any) -> Any:
    if isinstance(value, Struct):
        return asdict(value)
    if type(value) in {tuple, list}:
        return type(value)(_convert(part) for part in value)
    if type(value) is dict:
        return {key: _convert(part) for key, part in value.items()}
    return value
