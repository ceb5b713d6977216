"""The modality of a form, by its kind."""

from __future__ import annotations

from gan_core.errors import DataError
from gan_core.modalities.clips import Clips
from gan_core.modalities.form import Form
from gan_core.modalities.images import Images
from gan_core.modalities.modality import Modality
from gan_core.modalities.recordings import Recordings
from gan_core.modalities.tokens import Tokens

MODALITIES: dict[str, type[Modality]] = {"image": Images, "audio": Recordings, "tokens": Tokens, "video": Clips}


def mistake_of(form: Form) -> str:
    """Why there can be no examples of this form; '' when there can."""
    return MODALITIES[form.kind](form).mistake()


def modality_of(form: Form) -> Modality:
    """DataError for a form that no examples have."""
    found = MODALITIES[form.kind](form)
    if wrong := found.mistake():
        raise DataError(f"{form.kind}: {wrong}")
    return found
