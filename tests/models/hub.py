"""A local hub that answers the requests of ``huggingface_hub`` from directories."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.http_server import LocalHttpServer

__all__ = ["Fault", "LocalHub"]

_API = re.compile(r"/api/models/(?P<id>.+?)(/revision/(?P<revision>[^/]+))?")
_RESOLVE = re.compile(r"/(?P<id>.+?)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")
_CDN = re.compile(r"/cdn/(?P<id>.+)/(?P<name>[^/]+)")
#: The hub keeps these in its large file storage, on another host, with their SHA-256 as ETag.
_LARGE = {".bin", ".onnx", ".safetensors", ".h5", ".ot"}
_MAIN = "main"


class Fault(Enum):
    """What can go wrong with a file."""

    CUT = auto()
    """The connection is closed in the middle."""
    CHANGED = auto()
    """The right number of bytes, one of them changed."""


class LocalHub(LocalHttpServer):
    """Serves each directory ``OWNER/NAME`` of ``root`` as a repository with one commit.

    Args:
        root: the directories.
        aliases: former ids of repositories, and their present ones.

    Attributes:
        url: for ``HF_ENDPOINT``.
        downloads: ``id/file`` of every file that was sent, in order.
        ranges: offset of the last range request for a file, by ``id/file``.
        faults: what goes wrong with a file, by ``id/file``.
        is_down: every request is answered with 503.
    """

    def __init__(self, root: Path, aliases: dict[str, str] | None = None) -> None:
        self.root = root
        self.aliases = aliases or {}
        self.downloads: list[str] = []
        self.ranges: dict[str, int] = {}
        self.faults: dict[str, Fault] = {}
        self.is_down = False
        self.is_closed = False
        super().__init__(_Handler)
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop; requests on open connections are no longer answered."""
        self.is_closed = True
        super().close()

    def files(self, hub_id: str) -> dict[str, Path]:
        """The files of a repository, by name with folders; empty if there is no such repository."""
        directory = self.root / hub_id
        paths = sorted(path for path in directory.rglob("*") if path.is_file())
        return {path.relative_to(directory).as_posix(): path for path in paths}

    def commit(self, hub_id: str) -> str:
        """The one commit of a repository: 40 digits that depend on its content."""
        content = "".join(f"{name} {_sha256(path)}\n" for name, path in self.files(hub_id).items())
        return hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: Any

    @property
    def hub(self) -> LocalHub:
        hub: LocalHub = self.server.owner
        return hub

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name for it
        """Nothing on standard error."""

    def _answer(self) -> None:
        if self.hub.is_closed:
            self.close_connection = True
            return
        path = unquote(urlsplit(self.path).path)
        routes = ((_API, self._describe), (_CDN, self._deliver), (_RESOLVE, self._resolve))
        found = next(((match, answer) for pattern, answer in routes if (match := pattern.fullmatch(path))), None)
        if self.hub.is_down or found is None:
            self._send(503 if self.hub.is_down else 404)
        else:
            self._answer_about(found[0].groupdict(), found[1])

    def _answer_about(self, found: dict[str, str], answer: Callable[[dict[str, str]], None]) -> None:
        if found["id"] in self.hub.aliases:
            self._send(307, {"Location": self.path.replace(found["id"], self.hub.aliases[found["id"]], 1)})
        elif not self.hub.files(found["id"]):
            self._send(404, {"X-Error-Code": "RepoNotFound"})
        elif found.get("revision") not in {None, _MAIN, self.hub.commit(found["id"])}:
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
        else:
            answer(found)

    def _describe(self, found: dict[str, str]) -> None:
        names = self.hub.files(found["id"])
        described = {
            "id": found["id"],
            "sha": self.hub.commit(found["id"]),
            "siblings": [{"rfilename": name} for name in names],
        }
        self._send(200, {"Content-Type": "application/json"}, json.dumps(described).encode())

    def _resolve(self, found: dict[str, str]) -> None:
        path = self.hub.files(found["id"]).get(found["name"])
        if path is None:
            return self._send(404, {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": self.hub.commit(found["id"])}
        if path.suffix not in _LARGE:
            return self._send_file(found, path, {**headers, "ETag": f'"{_git_checksum(path)}"'})
        linked = {
            "X-Linked-Etag": f'"{_sha256(path)}"',
            "X-Linked-Size": str(path.stat().st_size),
            "Location": f"{self.hub.url}/cdn/{found['id']}/{found['name']}",
        }
        return self._send(302, {**headers, **linked})

    def _deliver(self, found: dict[str, str]) -> None:
        self._send_file(found, self.hub.files(found["id"])[found["name"]], {})

    def _send_file(self, found: dict[str, str], path: Path, headers: dict[str, str]) -> None:
        content = path.read_bytes()
        key = f"{found['id']}/{found['name']}"
        fault = self.hub.faults.get(key)
        if self.command == "GET":
            self.hub.downloads.append(key)
        if fault is Fault.CHANGED:
            content = content[:-1] + bytes([content[-1] ^ 1])
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        if asked:
            self.hub.ranges[key] = start
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start:]
        if fault is Fault.CUT and self.command == "GET":
            return self._send(206 if asked else 200, headers, body, sent=len(body) // 2)
        return self._send(206 if asked else 200, headers, body)

    def _send(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", *, sent: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git_checksum(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
