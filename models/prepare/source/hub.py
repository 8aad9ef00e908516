"""Fetching from the Hugging Face Hub, or from ``HF_ENDPOINT``: only the necessary files, verified and cached.

The cache is that of ``huggingface_hub`` (``HF_HUB_CACHE``), which resumes interrupted downloads and locks each file.
"""

from __future__ import annotations

import hashlib
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

from models.errors import HubError, first_line
from models.prepare.source.layout import needed_files
from models.prepare.source.source import Check, Source
from models.progress import report
from models.store import CONFIG_NAME
from models.store.manifest import digest

__all__ = ["fetch"]

_SHA256_DIGITS, _SHA1_DIGITS = 64, 40


def fetch(hub_id: str, revision: str | None, check: Check | None = None) -> Source:
    """Fetch the files of a repository that a preparation needs. If the hub does not answer, the cache is used.

    Args:
        hub_id: the repository.
        revision: branch, tag or commit; the main branch if None.
        check: called before anything but ``config.json`` is fetched; what it raises ends the fetching.

    Raises:
        HubError: the hub has no such repository or revision, or does not answer while the files are not cached, or a
            file does not match the hub's checksum.
        PreparationError: the repository contains no model that can be prepared.
    """
    try:
        directory = _download(hub_id, revision, check)
    except GatedRepoError as error:
        raise HubError(hub_id, "requires an account: log in with the hub's command line, or set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise HubError(hub_id, "is not on the hub, or is private (set HF_TOKEN)") from error
    except RevisionNotFoundError as error:
        raise HubError(hub_id, f"has no revision {revision}") from error
    except (HfHubHTTPError, RequestException, OSError) as error:
        raise HubError(
            hub_id, f"could not be fetched; run again to resume the download: {first_line(error)}"
        ) from error
    for path in sorted(directory.iterdir()):
        _verify(hub_id, path)
    return Source(directory, hub_id, directory.name)


def _download(hub_id: str, revision: str | None, check: Check | None) -> Path:
    try:
        listing = HfApi().model_info(hub_id, revision=revision)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise
    except (HfHubHTTPError, OfflineModeIsEnabled, RequestException) as error:
        try:
            cached = Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            reason = f"is not cached, and the hub cannot be reached (HF_ENDPOINT, HF_HUB_OFFLINE): {first_line(error)}"
            raise HubError(hub_id, reason) from error
        report(f"{hub_id}: no answer from the hub ({type(error).__name__}), using the cached files")
        return cached
    names = [sibling.rfilename for sibling in listing.siblings or ()]
    needed = needed_files(names, hub_id)
    if check is not None:
        directory = Path(snapshot_download(hub_id, revision=revision, allow_patterns=CONFIG_NAME))
        _verify(hub_id, directory / CONFIG_NAME)
        check(directory, names)
    return Path(snapshot_download(hub_id, revision=revision, allow_patterns=needed))


def _verify(hub_id: str, path: Path) -> None:
    """Compare a cached file with its checksum, which is the name of the blob that it links to.

    The hub names large files by their SHA-256, and small ones by git's own checksum.
    """
    if not path.is_symlink():
        return
    blob = path.resolve()
    if not blob.is_file():
        raise HubError(hub_id, f"is incomplete in the cache: {path.name} is missing")
    checksum_of = {_SHA256_DIGITS: digest, _SHA1_DIGITS: _git_checksum}.get(len(blob.name))
    if checksum_of is None or checksum_of(blob) == blob.name:
        return
    blob.unlink()
    path.unlink()
    raise HubError(
        hub_id,
        f"has a corrupt file in the cache: {path.name} does not match its checksum. "
        "It has been removed; run again to fetch it",
    )


def _git_checksum(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
