"""Fetching from the Hugging Face Hub, or whatever ``HF_ENDPOINT`` names: needed files only, checked, cached.

The cache is that of ``huggingface_hub`` (``HF_HUB_CACHE``), which resumes what was interrupted and locks each file.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from requests import RequestException

from models.errors import HubError
from models.prepare.source.layout import needed_files
from models.prepare.source.source import Source
from models.store.manifest import digest

__all__ = ["fetch"]

_SHA256_DIGITS, _SHA1_DIGITS = 64, 40


def fetch(hub_id: str, revision: str | None) -> Source:
    """Fetch what a preparation needs of a repository; nothing is asked of the hub when it is offline and all is cached.

    Raises:
        HubError: the hub has no such repository or revision, does not answer and it is not cached, or a file is
            not what the hub says it is.
        PreparationError: the repository has nothing that can be prepared.
    """
    try:
        directory = _download(hub_id, revision)
    except GatedRepoError as error:
        raise HubError(hub_id, "needs an account: log in with the hub's own command line, or set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise HubError(hub_id, "is not on the hub, or is private (HF_TOKEN)") from error
    except RevisionNotFoundError as error:
        raise HubError(hub_id, f"has no revision {revision}") from error
    except (HfHubHTTPError, RequestException, OSError) as error:
        raise HubError(hub_id, f"could not be fetched; run again to go on where it stopped: {_line(error)}") from error
    for path in sorted(directory.iterdir()):
        _check(hub_id, path)
    return Source(directory, hub_id, directory.name)


def _download(hub_id: str, revision: str | None) -> Path:
    try:
        listing = HfApi().model_info(hub_id, revision=revision)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise
    except (HfHubHTTPError, OfflineModeIsEnabled, RequestException) as error:
        try:
            cached = Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            reason = f"is not cached, and the hub cannot be reached (HF_ENDPOINT, HF_HUB_OFFLINE): {_line(error)}"
            raise HubError(hub_id, reason) from error
        print(f"{hub_id}: no answer from the hub ({type(error).__name__}), taking what is cached", file=sys.stderr)
        return cached
    names = needed_files((sibling.rfilename for sibling in listing.siblings or ()), hub_id)
    return Path(snapshot_download(hub_id, revision=revision, allow_patterns=names))


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check(hub_id: str, path: Path) -> None:
    """Compare a file of the cache with its checksum, which is the name of the blob that it is a link to.

    That name is what the hub calls the file: SHA-256 of large files, git's own checksum of small ones.
    """
    if not path.is_symlink():
        return
    blob = path.resolve()
    if not blob.is_file():
        raise HubError(hub_id, f"is not complete in the cache: {path.name} is missing")
    known = {_SHA256_DIGITS: digest, _SHA1_DIGITS: _git_checksum}.get(len(blob.name))
    if known is None or known(blob) == blob.name:
        return
    blob.unlink()
    path.unlink()
    raise HubError(
        hub_id,
        f"has a file that is not what the hub says: {path.name} does not match its checksum. "
        "The copy is removed from the cache, run again to fetch it",
    )


def _git_checksum(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
