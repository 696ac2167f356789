from __future__ import annotations

import os

from acestep_core.records import fingerprints


def test_large_files_are_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "LARGE", 4)
    monkeypatch.setattr(fingerprints, "user_folder", lambda: tmp_path / "cache" / "checkpoints")
    reads, read = [], fingerprints.content_hash
    monkeypatch.setattr(fingerprints, "content_hash", lambda path: reads.append(path.name) or read(path))
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"weights")
    first = fingerprints.sha256_of(file)
    fingerprints._sha256.cache_clear()
    assert fingerprints.sha256_of(file) == first and reads == [file.name]
    stat = file.stat()
    file.write_bytes(b"changed")  # as long as before
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert fingerprints.sha256_of(file) != first and len(reads) == 2
    (tmp_path / "cache" / "sha256.json").write_text("{")
    fingerprints._sha256.cache_clear()
    assert fingerprints.sha256_of(file) != first and len(reads) == 3
    (tmp_path / "small").write_bytes(b"ab")
    fingerprints.sha256_of(tmp_path / "small")
    assert "small" not in (tmp_path / "cache" / "sha256.json").read_text()
