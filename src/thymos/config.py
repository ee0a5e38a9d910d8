"""The base of every settings object: unknown keys are refused, values are checked, nothing changes afterwards."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen set of named values, read from YAML or made in Python."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
