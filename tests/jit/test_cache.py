"""Code on disk: it may save time, and may never fail, lie, or come from another user."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import pytest

from chainrule import config
from chainrule.jit import cache

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes of files")
KEY, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the files of an empty cache will be."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_problem", "")
    return tmp_path / "cache" / "code"


@pytest.fixture
def file(folder):
    """The one file of a cache."""
    cache.write({KEY: b"machine code"})
    assert cache.read([KEY]) == {KEY: b"machine code"}
    return folder / KEY


def test_reads_what_was_written(folder):
    assert cache.read([KEY]) == {}
    cache.write({KEY: b"one", OTHER: b""})
    assert cache.read([KEY, OTHER, "c" * 32]) == {KEY: b"one", OTHER: b""}
    cache.write({KEY: b"two"})
    assert cache.read([KEY]) == {KEY: b"two"}
    assert sorted(os.listdir(folder)) == [KEY, OTHER]
    assert cache.state() == f"code on disk: {folder}"


def test_a_key_is_text_and_recipe():
    keys = {cache.key("a", "b"), cache.key("b", "a"), cache.key("a", "c"), cache.key("c", "b")}
    assert len(keys) == 4
    assert cache.key("a", "b") == cache.key("a", "b")


@pytest.mark.parametrize("at", [0, 20, 32, -1])
def test_damaged(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert cache.read([KEY]) == {}
    cache.write({KEY: b"machine code"})
    assert cache.read([KEY]) == {KEY: b"machine code"}


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 43])
def test_truncated(file, length):
    os.truncate(file, length)
    assert cache.read([KEY]) == {}


def test_longer_than_written(file):
    file.write_bytes(file.read_bytes() + b"x")
    assert cache.read([KEY]) == {}


def test_under_another_name(file):
    file.rename(file.with_name(OTHER))
    assert cache.read([OTHER]) == {}


def test_a_folder_in_place_of_the_file(folder):
    (folder / KEY).mkdir(parents=True)
    folder.chmod(0o700)
    assert cache.read([KEY]) == {}
    cache.write({KEY: b"1"})
    assert cache.read([KEY]) == {}
    assert os.listdir(folder) == [KEY]


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write(file, mode):
    file.chmod(mode)
    assert cache.read([KEY]) == {}


@posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777])
def test_a_folder_that_others_may_write(file, mode):
    file.parent.chmod(mode)
    assert cache.read([KEY]) == {}
    cache.write({OTHER: b"1"})
    assert os.listdir(file.parent) == [KEY]
    assert cache.state() == f"no code on disk: another user may write {file.parent}"


@posix
def test_made_for_this_user_alone(file):
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@posix
def test_another_users_folder(file, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert cache.read([KEY]) == {}
    cache.write({OTHER: b"1"})
    assert os.listdir(file.parent) == [KEY]


@posix
def test_another_users_file(file, monkeypatch):
    ours, inode = os.fstat, file.stat().st_ino

    def fstat(fd):
        found = ours(fd)
        return os.stat_result([*found[:4], 12345, *found[5:]]) if found.st_ino == inode else found

    monkeypatch.setattr(os, "fstat", fstat)
    assert cache.read([KEY]) == {}


@posix
def test_a_link_to_a_file(file, tmp_path):
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert cache.read([KEY]) == {}
    cache.write({KEY: b"new"})
    assert cache.read([KEY]) == {KEY: b"new"}
    assert not file.is_symlink()


@posix
def test_a_link_to_a_folder(file, tmp_path):
    file.parent.rename(tmp_path / "elsewhere")
    file.parent.symlink_to(tmp_path / "elsewhere")
    assert cache.read([KEY]) == {}
    cache.write({OTHER: b"1"})
    assert os.listdir(tmp_path / "elsewhere") == [KEY]


def test_no_folder_can_be_made(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    cache.write({KEY: b"1"})
    assert cache.read([KEY]) == {}
    assert cache.state().startswith("no code on disk: ")


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(file):
    file.parent.chmod(0o500)
    cache.write({OTHER: b"1"})
    assert cache.read([KEY, OTHER]) == {KEY: b"machine code"}


@pytest.mark.parametrize("call", ["replace", "open", "makedirs", "utime", "scandir"])
def test_any_failing_call_only_costs_the_cache(file, monkeypatch, call):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, full)
        cache.write({"0" * 32: b"1"})
        cache.read([KEY])
    assert cache.read([KEY]) == {KEY: b"machine code"}
    assert not [name for name in os.listdir(file.parent) if name.endswith(".part")]


@pytest.mark.parametrize("off", ["0", "off", "OFF"])
def test_switched_off(tmp_path, monkeypatch, off):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CHAINRULE_CACHE", off)
    cache.write({KEY: b"1"})
    assert cache.read([KEY]) == {}
    assert os.listdir(tmp_path) == []
    assert cache.state() == "no code on disk: switched off"


@pytest.mark.parametrize("system, variables, expected", [
    ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/chainrule"),
    ("linux", {"XDG_CACHE_HOME": "relative"}, "~/.cache/chainrule"),
    ("linux", {}, "~/.cache/chainrule"),
    ("darwin", {"XDG_CACHE_HOME": "/x"}, "~/Library/Caches/chainrule"),
    ("linux", {"CHAINRULE_CACHE": "~/mine"}, "~/mine"),
    ("win32", {"LOCALAPPDATA": "/local"}, "/local/chainrule"),
    ("win32", {}, ""),
])
@posix
def test_where_it_lies(monkeypatch, system, variables, expected):
    for name in ("CHAINRULE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", system)
    assert config.cache() == os.path.expanduser(expected)


def fill(folder, monkeypatch, count: int) -> list[str]:
    """Keys of files of 8 kB, the first of them longest unused."""
    monkeypatch.setattr(cache, "LIMIT", 10 * 8192)
    keys = [f"{i:032x}".replace("0", "f") for i in range(1, count + 1)]
    cache.write({key: b"x" * (8192 - 32) for key in keys})
    for age, key in enumerate(reversed(keys)):
        os.utime(folder / key, (0, time.time() - 60 * age))
    return keys


def test_size_is_bounded(folder, monkeypatch):
    keys = fill(folder, monkeypatch, 30)
    assert len(os.listdir(folder)) == 30  # not yet: only now and then is swept
    newest = "0" * 32
    cache.write({newest: b"1"})
    left = os.listdir(folder)
    assert set(left) == {newest, *keys[-(len(left) - 1):]}
    assert 6 <= len(left) <= 9


def test_within_the_limit_all_stays(folder, monkeypatch):
    fill(folder, monkeypatch, 9)
    cache.write({"0" * 32: b"1"})
    assert len(os.listdir(folder)) == 10


def test_used_files_stay(folder, monkeypatch):
    first, *_ = fill(folder, monkeypatch, 15)
    os.utime(folder / first, (0, time.time() - 100_000))
    cache.read([first])
    cache.write({"0" * 32: b"1"})
    assert cache.read([first])


def test_half_written_files_are_removed_later(file):
    old, new = (file.with_name(f"{KEY}.{x}.part") for x in ("01", "02"))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, time.time() - 100_000))
    cache.write({"0" * 32: b"1"})
    assert sorted(os.listdir(file.parent)) == sorted(["0" * 32, KEY, new.name])


WRITER = """
import sys
from chainrule.jit import cache
keys = [f"{i:02x}" * 16 for i in range(20)]
for turn in range(30):
    for key, content in cache.read(keys).items():
        assert content == key.encode() * 200, key
    cache.write({key: key.encode() * 200 for key in keys[turn % 3::3]})
assert set(cache.read(keys)) == set(keys)
"""


def test_many_processes_at_once(folder):
    processes = [subprocess.Popen([sys.executable, "-c", WRITER]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert not [name for name in os.listdir(folder) if name.endswith(".part")]
