"""Files by name from a hub or a web address: its cache first, then the network, failing fast where there is none."""

from __future__ import annotations

import errno
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from graftwork.errors import BackboneError, StorageError
from graftwork.files import sha256_of

REACH_SECONDS = 3.0
"""How long a host may take to answer at all; a download that has begun may take as long as it needs."""
HUB_FILE = "model.safetensors"
"""The weights in a hub's repository."""
OR_EMBEDDED = "use `--backbone efficientnet_lite0`, which came with the installation, or a local file"
"""What to do next where weights for a training cannot be fetched."""

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""Errors of writing to an open file, which name no path; other errors of the disk do."""


class Unavailable(BackboneError):
    """These weights cannot be had by name; others may be."""


class Unreachable(Unavailable):
    """The network or the host does not answer; other weights may still be on this machine."""


def cached_hub_file(repository: str, name: str = HUB_FILE, revision: str | None = None) -> Path | None:
    """Return a file of a hub's repository when it is in its cache, without touching the network."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def hub_file(repository: str, name: str = HUB_FILE, revision: str | None = None) -> Path:
    """Return a file of a hub's repository, from its cache (``HF_HOME``) or downloaded (``HF_ENDPOINT``).

    Raises
    ------
    Unreachable
        When it is not in the cache and the hub cannot be reached or ``HF_HUB_OFFLINE`` is set, or the connection is
        lost.
    Unavailable
        When the hub has no such file, or it may not be fetched.
    StorageError
        When the cache cannot be written.
    """
    cached = cached_hub_file(repository, name, revision)
    return cached if cached is not None else download_from_hub(repository, name, revision)


def download_from_hub(
    repository: str,
    name: str = HUB_FILE,
    revision: str | None = None,
    *,
    again: bool = False,
    progress: type[Any] | None = None,
    otherwise: str = OR_EMBEDDED,
) -> Path:
    """Return a file of a hub's repository as the hub has it now.

    Parameters
    ----------
    repository, name, revision
        The file; None is the main branch.
    again
        Fetch it even if the cache seems to have it.
    progress
        What the client tells of progress instead of showing a bar, in the form of a class of tqdm's.
    otherwise
        What to do next where there is no connection.

    Raises
    ------
    Unreachable, Unavailable, StorageError
        As ``hub_file``.
    """
    import huggingface_hub
    from huggingface_hub import constants, errors

    what = repository if name == HUB_FILE else f"{name} of {repository}"
    require_online(what, otherwise)
    require_reachable(constants.ENDPOINT, what, otherwise)
    options: dict[str, Any] = {} if progress is None else {"tqdm_class": progress}
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                repository, name, revision=revision, etag_timeout=REACH_SECONDS, force_download=again, **options
            )
        )
    except errors.GatedRepoError as error:
        raise Unavailable(
            f"{repository} must be open to you, but the hub asks you to accept its terms first: log in with "
            "`hf auth login` and accept them on its page"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise Unavailable(
            f"{repository} must be a repository with {name}, but the hub has none; check the name"
        ) from error
    except errors.LocalEntryNotFoundError as error:  # the client's word for a first request without good answer
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            raise Unavailable(_answers(what, error.__cause__)) from error
        raise Unreachable(_offline(what, "the connection to the hub was lost", otherwise)) from error
    except errors.HfHubHTTPError as error:
        raise Unavailable(_answers(what, error)) from error
    except (OSError, RuntimeError, errors.HTTPError) as error:  # type: ignore[attr-defined]  # of the client's library
        if _is_of_the_disk(error):
            raise StorageError(_not_written(Path(constants.HF_HUB_CACHE), error, "HF_HOME")) from error
        raise Unreachable(_offline(what, f"the download broke off ({_first_line(error)})", otherwise)) from error


def web_file(url: str, sha256_prefix: str | None) -> Path:
    """Return a file of torchvision's, from torch's own cache (``TORCH_HOME``) or downloaded and checked.

    Raises
    ------
    Unreachable
        When it is not in the cache and its host cannot be reached or ``HF_HUB_OFFLINE`` is set.
    BackboneError
        When the file that arrives, or is cached, is another one than expected.
    StorageError
        When the cache cannot be written.
    """
    import torch.hub

    name = Path(urlsplit(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        _require_sha256(path, sha256_prefix)
        return path
    require_online(name)
    require_reachable(url, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256_prefix, progress=False)
    except RuntimeError as error:  # torch's word for a wrong checksum
        raise BackboneError(
            f"{name} must have the checksum in its name, but: {_first_line(error)}; try again"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        if _is_of_the_disk(error):
            raise StorageError(_not_written(path.parent, error, "TORCH_HOME")) from error
        raise Unreachable(_offline(name, _first_line(error))) from error
    return path


def _require_sha256(path: Path, prefix: str | None) -> None:
    if prefix is not None and not (checksum := sha256_of(path)).startswith(prefix):
        raise BackboneError(
            f"{path} must have the checksum in its name, but has {checksum[: len(prefix)]}; delete it, and it is "
            "fetched again"
        )


def require_online(what: str, otherwise: str = OR_EMBEDDED) -> None:
    """Raise Unreachable where ``HF_HUB_OFFLINE`` is set: who sets it wants no connection at all, to no host."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise Unreachable(_offline(what, "HF_HUB_OFFLINE is set", otherwise))


def require_reachable(url: str, what: str, otherwise: str = OR_EMBEDDED) -> None:
    """Raise Unreachable unless the host of ``url`` answers within a few seconds, whatever it answers.

    The hub's own client tries five times, half a minute in all, where there is no network.
    """
    parts = urlsplit(url)
    request = urllib.request.Request(f"{parts.scheme}://{parts.netloc}/", method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=REACH_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()  # a refusal is an answer
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(_offline(what, f"{parts.hostname} does not answer", otherwise)) from error


def _offline(what: str, why: str, otherwise: str = OR_EMBEDDED) -> str:
    return f"{what} must be on this machine or be fetched, but {why}; {otherwise}"


def _answers(what: str, error: Exception) -> str:
    return f"{what} must be fetched from the hub, which answers: {_first_line(error)}; try again later"


def _is_of_the_disk(error: Exception) -> bool:
    # urllib gives the address of its answer as the path
    of_a_path = isinstance(error, OSError) and error.filename is not None
    return (of_a_path and not isinstance(error, urllib.error.URLError)) or getattr(error, "errno", 0) in _DISK_ERRORS


def _not_written(folder: Path, error: Exception, variable: str) -> str:
    why = getattr(error, "strerror", None) or _first_line(error)
    return f"{folder} must be writable, but: {why}; free some space, or choose another place ({variable})"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
