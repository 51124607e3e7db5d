"""Inputs: what a job gets from the jobs that it waited for."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

MAX_INPUT_BYTES, MAX_INPUTS_BYTES = 16_384, 262_144
"""The largest result that is kept as an input of another job, and all of them together."""


class Input(Struct, frozen=True, kw_only=True):
    """What became of one of the jobs in `after`. Until it has ended there is its id alone."""

    id: Annotated[
        str, Meta(description="As it is in `after`; if that job was retried automatically, the rest is of its retry.")
    ]
    status: Annotated[Literal["succeeded", "failed", "cancelled"], Meta(description="How it ended.")] | UnsetType = (
        UNSET
    )
    result: Annotated[Raw, Meta(description="What it made, any JSON.")] | UnsetType = UNSET
    left_out_bytes: (
        Annotated[int, Meta(description="The size of its result, if that is too large: 16 KiB each, 256 KiB together.")]
        | UnsetType
    ) = UNSET


class InputsWrapper(Struct):
    """The inputs of a job, in the order of `after`."""

    inputs: Annotated[list[Input], Meta(description="One for each job that it waited for.")]
