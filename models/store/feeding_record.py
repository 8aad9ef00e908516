"""How a published model is fed, as the manifest says it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FeedingRecord", "Side"]


class Side(StrEnum):
    """The end of a row at which it is padded, or of a text at which it is cut off."""

    LEFT = "left"
    RIGHT = "right"


class FeedingRecord(BaseModel):
    """How the published model is fed. The defaults are those of BERT, and of manifests older than this record.

    Attributes:
        pad_id: token id of the padding.
        pad_type_id: type id of the padding.
        padding_side: the end of a row at which it is padded.
        truncation_side: the end of a text at which it is cut off if it is longer than the model reads.
        is_padded: whether rows are padded; if not, the model does not bear it, and rows are as long as their texts.
        counted_id: the end token that all rows of a batch must hold equally often; None if the model does not need it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pad_id: Annotated[int, Field(ge=0)] = 0
    pad_type_id: Annotated[int, Field(ge=0)] = 0
    padding_side: Side = Side.RIGHT
    truncation_side: Side = Side.RIGHT
    is_padded: bool = True
    counted_id: Annotated[int, Field(ge=0)] | None = None
