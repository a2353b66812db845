"""Registers a fine-tuning method of this project with peft.

peft 0.21 accepts only names that stand in its own ``PeftType`` enumeration, although its registry
(`register_peft_method`) is made for others to extend. Enumerations are closed, so the one missing
member is added by hand, in this one place (docs/adr/0002-mome-is-a-peft-method.md).
"""

from __future__ import annotations

from typing import Any

from peft.utils.peft_types import PeftType, register_peft_method

__all__ = ["peft_type", "register"]


def peft_type(name: str) -> PeftType:
    """Return peft's enumeration member of that name, adding it first where it is not there."""
    if name not in PeftType.__members__:
        member = str.__new__(PeftType, name)
        member._name_, member._value_ = name, name
        # From Python 3.12 on a member is an attribute of its class; before, it is looked up in the map.
        setattr(PeftType, name, member)
        PeftType._member_map_[name] = member
        PeftType._value2member_map_[name] = member
        PeftType._member_names_.append(name)
    return PeftType[name]


def register(name: str, config_cls: type[Any], model_cls: type[Any]) -> None:
    """Make ``get_peft_model`` and ``PeftModel.from_pretrained`` know a method; the name is lower case."""
    peft_type(name.upper())
    register_peft_method(name=name, config_cls=config_cls, model_cls=model_cls)
