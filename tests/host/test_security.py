"""Strangers, forged requests, paths that lead out, and requests that are too large, too deep or too slow."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import unicodedata
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_core.errors import HostError
from acestep_core.host.client.client import HostClient
from acestep_core.host.graph.context import Folders
from acestep_core.host.server import events
from acestep_core.host.server.host import HostConfig
from acestep_core.host.server.host_options import add_token_options, token_of
from acestep_core.host.server.redact import redactor
from acestep_core.host.server.security import Guesses, Policy
from acestep_core.host.server.server import running
from acestep_core.io import system
from tests.capabilities import link
from tests.host.lab_site import LAB_PACK, Site, eventually, open_site, with_site
from tests.host.test_server import SLOW, text_prompt, upload, wav
from tests.host.test_validation import PROMPTS


@pytest.mark.parametrize(
    ("policy", "name", "known"),
    [
        (Policy("127.0.0.1"), "127.0.0.1", True),
        (Policy("127.0.0.1"), "localhost", True),
        (Policy("127.0.0.1"), "::1", True),
        (Policy("127.0.0.1"), "localhost.", True),
        (Policy("127.0.0.1"), "evil.example", False),
        (Policy("127.0.0.1"), "192.168.1.5", False),
        (Policy("127.0.0.1"), "127.0.0.1.evil.example", False),
        (Policy("127.0.0.1"), "", False),
        (Policy("127.0.0.1", names=("studio.lan",)), "Studio.LAN", True),
        (Policy("0.0.0.0", "t"), "192.168.1.5", True),
        (Policy("0.0.0.0", "t"), "evil.example", False),
    ],
)
def test_which_names_the_host_answers_to(policy: Policy, name: str, known: bool) -> None:
    assert policy.knows_host(name) is known


FORGED = [
    {"Host": "evil.example"},
    {"Host": "evil.example:8188", "Origin": "http://evil.example:8188"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost"},
    {"Origin": "null"},
    {"Origin": "file://"},
    {"Sec-Fetch-Site": "cross-site"},
]


@with_site()
async def test_forged_requests_are_refused_everywhere(site: Site) -> None:
    for headers in FORGED:
        for method, path in (("GET", "/"), ("POST", "/prompt"), ("GET", "/api/queue"), ("OPTIONS", "/prompt")):
            async with site.session.request(method, site.url + path, headers=headers) as answer:
                assert answer.status == 403, (headers, path)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.session.ws_connect(f"{site.url}/ws", headers=headers)
        assert refused.value.status == 403


@with_site()
async def test_requests_of_our_own_page_pass(site: Site) -> None:
    for headers in ({"Origin": site.url}, {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}, {}):
        assert (await site.get("/queue", headers=headers))[0] == 200
        async with site.session.ws_connect(f"{site.url}/ws", headers=headers) as socket:
            assert (await socket.receive_json())["type"] == "status"


@with_site()
async def test_every_answer_carries_the_headers(site: Site) -> None:
    for path in ("/queue", "/nothing/here", "/view?filename=../x", "/extensions/lab_pack/lab.js"):
        async with site.session.get(site.url + path) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            policy = answer.headers["Content-Security-Policy"]
            assert "connect-src 'self'" in policy and "http" not in policy
            assert "Access-Control-Allow-Origin" not in answer.headers


def test_other_addresses_need_a_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(HostConfig(Folders.under(tmp_path), policy=Policy("0.0.0.0"), port=0)):
            pass

    with pytest.raises(HostError, match="--token"):
        asyncio.run(main())


@with_site(policy=Policy("127.0.0.1", token="right"))
async def test_the_token(site: Site) -> None:
    for path in ("/", "/queue", "/api/object_info", "/extensions/lab_pack/lab.js", "/queue?token=right"):
        assert (await site.get(path))[0] == 401, path
    for wrong in ("Bearer wrong", "Bearer ", "Basic right", "right"):
        assert (await site.get("/queue", headers={"Authorization": wrong}))[0] == 401
    assert (await site.get("/queue", headers={"Authorization": "Bearer right"}))[0] == 200
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await site.session.ws_connect(f"{site.url}/ws")
    async with site.session.ws_connect(f"{site.url}/ws?token=right") as socket:
        assert (await socket.receive_json())["type"] == "status"
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(f"{site.url}/?token=right&template=a", allow_redirects=False) as answer:
            assert answer.status == 302 and answer.headers["Location"] == "/?template=a"
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        async with browser.get(f"{site.url}/queue") as answer:
            assert answer.status == 200


@with_site(policy=Policy("127.0.0.1", token="schlüssel 鍵"))
async def test_a_token_may_be_of_any_letters(site: Site) -> None:
    async with HostClient(site.url, "schlüssel 鍵") as client:
        assert await client.definitions()
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(f"{site.url}/", params={"token": "schlüssel 鍵"}, allow_redirects=False) as answer:
            assert answer.status == 302 and answer.headers["Set-Cookie"].isascii()
        async with browser.get(f"{site.url}/queue") as answer:
            assert answer.status == 200
    for wrong in (b"schl\xfcssel", "schlussel 鍵".encode(), b"\xff\xfe", b"\xed\xa0\x80"):
        for header in (b"Authorization: Bearer ", b"Cookie: acestep_token="):
            assert b" 401 " in await answer_to(site, b"GET /queue HTTP/1.1", header + wrong)
    assert (await site.get("/?token=%FF%FE"))[0] == 401


async def answer_to(site: Site, request: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    """The first line of what the host answers to exactly these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rsplit(":", 1)[1]))
    length = b"Content-Length: %d" % len(body)
    writer.write(b"\r\n".join([request, b"Host: 127.0.0.1", length, b"Connection: close", *headers, b"", body]))
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    return line


@with_site(policy=Policy("127.0.0.1", token="right"))
async def test_who_guesses_tokens_is_slowed_down(site: Site) -> None:
    def bearer(token: str) -> dict[str, Any]:
        return {"headers": {"Authorization": f"Bearer {token}"}}

    for _ in range(50):  # an old tab of the browser
        assert (await site.get("/queue", **bearer("outdated")))[0] == 401
    statuses = [(await site.get("/queue", **bearer(f"guess {number}")))[0] for number in range(40)]
    assert statuses[0] == 401 and statuses[-1] == 429 and statuses.count(401) <= Guesses.BURST + 2
    status, text = await site.get("/queue", **bearer("right"))
    assert status == 429 and b"Too many" in text
    assert (await site.get("/queue"))[0] == 401  # who offers nothing guesses nothing


def test_guesses_come_back_with_time_and_take_no_room() -> None:
    now = [0.0]
    guesses = Guesses(clock=lambda: now[0])
    for number in range(Guesses.BURST):
        assert not guesses.spent("a")
        guesses.note("a", [f"wrong {number}"])
    assert guesses.spent("a") and not guesses.spent("b")
    now[0] += Guesses.SECONDS
    assert not guesses.spent("a")
    guesses.note("a", ["another"])
    assert guesses.spent("a")
    now[0] += 1e6
    for number in range(Guesses.BURST):
        assert not guesses.spent("a")
        guesses.note("a", [f"later {number}"])
    assert guesses.spent("a")
    for number in range(3 * Guesses.ADDRESSES):
        guesses.note(f"address {number}", ["x"])
    assert len(guesses._wrong) == Guesses.ADDRESSES


PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.wav"\r\n'
FORM = b"Content-Type: multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        *((b"/prompt", [b"Content-Encoding: " + kind], b'{"prompt": {}}') for kind in (b"gzip", b"deflate", b"br")),
        (b"/prompt", [b"Content-Encoding: gzip"], gzip.compress(b'{"prompt": {}}', mtime=0)[:-9]),
        (b"/userdata/a.json", [b"Content-Encoding: gzip"], b"{}"),
        (b"/settings", [b"Content-Encoding: gzip"], b"{}"),
        (b"/upload/image", [FORM, b"Content-Encoding: gzip"], PART + b"\r\nabc\r\n--x--\r\n"),
        (b"/upload/image", [FORM], PART + b"\r\nabc"),
        (b"/upload/image", [FORM], PART + b"\r\nabc\r\n--x"),
        (b"/upload/image", [FORM], b"junk"),
        (b"/upload/image", [FORM], b"--x\r\n" + b"A: b\r\n" * 20_000),
        (b"/upload/image", [FORM], PART + b"Content-Encoding: gzip\r\n\r\nabc\r\n--x--\r\n"),
        (b"/upload/image", [FORM], PART + b"Content-Transfer-Encoding: base64\r\n\r\nabc\r\n--x--\r\n"),
        (b"/upload/image", [b"Content-Type: multipart/form-data"], PART + b"\r\nabc\r\n--x--\r\n"),
        (b"/upload/image", [b"Content-Type: multipart/form-data; boundary=" + b"x" * 100], b"junk"),
    ],
)
def test_broken_bodies_are_the_senders_fault(
    path: bytes, headers: list[bytes], body: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with open_site(tmp_path) as site:
            assert b" 400 " in await answer_to(site, b"POST " + path + b" HTTP/1.1", *headers, body=body)
            assert not list(site.folders.input.iterdir())

    asyncio.run(main())
    assert not [record for record in caplog.records if record.exc_info or "\n" in record.getMessage()]


def test_what_is_expected_to_fail_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    silence = {"duration": 1.0, "sample_rate": 8000, "channels": 1}
    prompt = {
        "1": {"class_type": "EmptyAudio", "inputs": silence},
        "2": {"class_type": "SplitAudioChannels", "inputs": {"audio": ["1", 0]}},
        "3": {"class_type": "PreviewAudio", "inputs": {"audio": ["2", 0]}},
    }

    async def main() -> None:
        async with open_site(tmp_path) as site:
            await answer_to(site, b"GET / HTTP/9.9")
            assert not (await site.run(prompt))["status"]["completed"]

    asyncio.run(main())
    lines = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert any("Only stereo can be split" in record.getMessage() for record in lines)
    assert not [record for record in lines if record.exc_info or "\n" in record.getMessage()]


@with_site()
async def test_sockets_are_counted_and_not_their_names(site: Site) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acestep_core.host.server.events.MAX_CLIENTS", 3)
        address = f"{site.url}/ws?clientId=same"
        sockets = [await site.session.ws_connect(address) for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.session.ws_connect(address)
        assert refused.value.status == 503
        await sockets[0].close()
        await eventually(lambda: site.host.hub._sockets == 2)
        await (await site.session.ws_connect(address)).close()


@pytest.mark.parametrize(
    ("arguments", "variable", "file", "token"),
    [
        ([], None, None, None),
        ([], " from afar\n", None, "from afar"),
        (["--token", "said"], "from afar", None, "said"),
        (["--token-file", "FILE"], "from afar", "\ufeffwritten\n", "written"),
        (["--token", "said", "--token-file", "FILE"], None, "written", "said"),
    ],
)
def test_where_a_token_comes_from(
    arguments: list[str], variable: str | None, file: str | None, token: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "token.txt"
    if file is not None:
        path.write_text(file, encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_token_options(parser, "")
    options = parser.parse_args([str(path) if argument == "FILE" else argument for argument in arguments])
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ACESTEP_TOKEN", raising=False)
        if variable is not None:
            patch.setenv("ACESTEP_TOKEN", variable)
        assert token_of(options) == token


@pytest.mark.parametrize("content", [None, " \n"])
def test_a_token_file_without_a_token_is_no_open_door(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "token.txt"
    if content is not None:
        path.write_text(content)
    parser = argparse.ArgumentParser()
    add_token_options(parser, "")
    with pytest.raises(HostError, match=r"token\.txt"):
        token_of(parser.parse_args(["--token-file", str(path)]))


VIEWS = [
    ("filename=../secret.txt", 400),
    ("filename=..%2F..%2Fsecret.txt", 400),
    ("filename=/etc/passwd", 400),
    ("filename=%00", 400),
    ("filename=", 400),
    ("filename=..", 400),
    ("filename=secret.txt&subfolder=..", 403),
    ("filename=secret.txt&subfolder=/etc", 403),
    ("filename=secret.txt&subfolder=link", 403),
    ("filename=link.txt", 403),
    ("filename=secret.txt&subfolder=%00", 403),
    ("filename=a&type=user", 400),
    ("filename=a&type=models", 400),
    ("filename=a&type=__class__", 400),
    ("filename=.hidden", 404),
    ("", 404),
]


@with_site()
async def test_view_never_leaves_its_folders(site: Site) -> None:
    output = site.folders.output
    (output.parent / "secret.txt").write_text("secret")
    (output / ".hidden").write_text("secret")
    link(output / "link", output.parent)
    link(output / "link.txt", output.parent / "secret.txt")
    endless = ("filename=" + "a" * 5000, 404 if system.WINDOWS else 403)  # to Windows it is a name as any other
    for query, status in (*VIEWS, endless):
        found = await site.get(f"/view?{query}")
        assert found[0] == status, query
        assert b"secret" not in found[1]


@with_site()
async def test_nothing_that_could_run_is_shown_as_itself(site: Site) -> None:
    for name in ("a.html", "a.svg", "a.js", "a.css", "a.xhtml", "a.xml", "a"):
        (site.folders.output / name).write_text("<script>alert(1)</script>")
        async with site.session.get(f"{site.url}/view?filename={name}") as answer:
            assert answer.headers["Content-Type"] == "application/octet-stream", name


UPLOADS = [
    ("../a.wav", {}, 400),
    ("..\\a.wav", {}, 400),
    ("/etc/a.wav", {}, 400),
    (".a.wav", {}, 400),
    ("a" * 300 + ".wav", {}, 400),
    ("a.wav", {"subfolder": "../.."}, 400),
    ("a.wav", {"subfolder": "/var"}, 400),
    ("a.wav", {"subfolder": "link"}, 400),
    ("a.wav", {"subfolder": "x/con"}, 400),
    ("nul.wav", {}, 400),
    ("a.wav.", {}, 400),
    ("a.wav", {"type": "models"}, 400),
    ("a.wav", {"type": "user"}, 400),
    ("a.exe", {}, 415),
    ("a.html", {}, 415),
    ("a.svg", {}, 415),
    ("a.py", {}, 415),
    ("wav", {}, 415),
]


@with_site()
async def test_uploads_that_are_refused(site: Site) -> None:
    link(site.folders.input / "link", site.folders.output)
    for name, fields, status in UPLOADS:
        found, answer = await upload(site, name, wav(), **fields)
        assert found == status, (name, fields, answer)
    assert (await site.post("/upload/image", {"image": "x"}))[0] == 400
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (
        b"",
        b"--x--",
        b"--x\r\n\r\n",
        b"junk",
        b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n",
    ):
        assert 400 <= (await site.post("/upload/image", data=body, headers=headers))[0] < 500, body
    assert [path.name for path in site.folders.input.iterdir()] == ["link"]
    assert [path.name for path in site.folders.temp.iterdir()] == [".host-1.lock"]


@with_site()
async def test_uploads_may_be_named_as_macos_does(site: Site) -> None:
    """It writes accents and syllables apart. Where others see one name in two spellings, neither replaces the other."""
    contents = {unicodedata.normalize(form, "노래 é.wav"): wav() + form.encode() for form in ("NFD", "NFC")}
    for name, content in contents.items():
        status, answer = await upload(site, name, content)
        assert status == 200, answer
    assert {path.read_bytes() for path in site.folders.input.iterdir()} == set(contents.values())
    names = [unicodedata.normalize("NFC", path.name) for path in site.folders.input.iterdir()]
    assert sorted(names) == ["노래 é (1).wav", "노래 é.wav"]


@with_site()
async def test_an_upload_in_another_spelling_is_the_same_file(site: Site) -> None:
    """The same recording is used again, under the name that it has; who overwrites replaces it."""
    apart, whole = (unicodedata.normalize(form, "노래 é.wav") for form in ("NFD", "NFC"))
    assert (await upload(site, apart, wav()))[1]["name"] == apart
    assert (await upload(site, whole, wav()))[1]["name"] == apart
    assert (await upload(site, whole, wav(0.3), overwrite="true"))[1]["name"] == apart
    (path,) = site.folders.input.iterdir()
    assert path.name == apart and path.read_bytes() == wav(0.3)


@with_site(max_upload=10_000)
async def test_uploads_that_are_too_large(site: Site) -> None:
    assert (await upload(site, "a.wav", b"x" * 10_000))[0] == 200
    assert (await upload(site, "b.wav", b"x" * 10_001))[0] == 413

    async def endless() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="c.wav"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 1000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await site.post("/upload/image", data=endless(), headers=headers))[0] == 413
    assert [path.name for path in site.folders.input.iterdir()] == ["a.wav"]


USERDATA = ["..%2Fx.json", "..%252Fx.json", "%2Fetc%2Fpasswd", "link%2Fx.json", "a%2F..%2F..%2Fx", "%00", "."]


@with_site()
async def test_user_data_stays_in_its_folder(site: Site) -> None:
    root = site.folders.user / "default"
    link(root / "link", site.folders.output)
    (site.folders.user / "x.json").write_text("secret")
    for name in USERDATA:
        url = f"{site.url}/userdata/{name}"
        for method in ("GET", "POST", "DELETE"):
            async with site.session.request(method, aiohttp.client.URL(url, encoded=True), data=b"x") as answer:
                assert answer.status in (400, 403, 404, 405), (method, name)
    assert (site.folders.user / "x.json").read_text() == "secret"
    assert list(site.folders.output.iterdir()) == []
    assert (await site.post("/userdata/a.json/move/..%2Fb.json"))[0] in (403, 404)
    await site.post("/userdata/a.json", {})
    assert (await site.post("/userdata/a.json/move/..%2Fb.json"))[0] == 403
    for query in ("dir=..", "dir=/etc", "dir=link"):
        assert (await site.get(f"/userdata?{query}"))[0] == 403, query


@with_site()
async def test_a_page_saved_as_user_data_is_no_page(site: Site) -> None:
    await site.post("/userdata/a.html", data=b"<script>alert(1)</script>")
    async with site.session.get(f"{site.url}/userdata/a.html") as answer:
        assert answer.headers["Content-Type"] == "application/octet-stream"


@with_site()
async def test_save_nodes_stay_in_the_output_folder(site: Site) -> None:
    link(site.folders.output / "link", site.folders.user)
    for prefix in ("../x", "/var/x", "a/../../x", "link/x", "..\\x", "a\0b"):
        prompt = {**SLOW, "4": {"class_type": "SaveAudio", "inputs": {"audio": ["2", 0], "filename_prefix": prefix}}}
        entry = await site.run(prompt)
        assert entry["status"]["status_str"] == "error", prefix
        report = entry["status"]["messages"][-1][1]
        assert str(site.folders.output) not in json.dumps(report)
    assert not any(path.suffix == ".flac" for path in site.folders.output.parent.rglob("*"))


@with_site()
async def test_load_nodes_stay_in_their_folders(site: Site) -> None:
    (site.folders.output.parent / "s.wav").write_bytes(wav())
    link(site.folders.input / "link.wav", site.folders.output.parent / "s.wav")
    for name in ("../s.wav", "/etc/passwd", "link.wav", "..\\s.wav", "a\0.wav", "s.wav [output]", "x" * 5000):
        prompt = {
            "1": {"class_type": "LoadAudio", "inputs": {"audio": name}},
            "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
        }
        status, answer = await site.post("/prompt", {"prompt": prompt})
        assert status == 400, name
        assert answer["node_errors"]["1"]["errors"][0]["type"] == "custom_validation_failed"


BODIES = [
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"3",
    b'"x"',
    b"{" * 100_000,
    b"[" * 5_000 + b"]" * 5_000,
    b'{"prompt": NaN}',
    b'{"prompt": {"1": {"class_type": "LabText", "inputs": {"text": 1e999}}}}',
    b'{"prompt": ' + b"9" * 5000 + b"}",
    b'{"prompt": {}, "number": "x"}',
    b'{"prompt": {}, "number": true}',
    b'{"prompt": {}, "number": 1e300}',
    b'{"prompt": {}, "extra_data": 3}',
    b'{"prompt": {}, "client_id": 3}',
    b'{"prompt": {}, "partial_execution_targets": 3}',
    b'{"prompt": {}, "partial_execution_targets": [[]]}',
]


@with_site()
async def test_bodies_that_are_no_prompt(site: Site) -> None:
    for body in BODIES:
        status, answer = await site.post("/prompt", data=body)
        assert status == 400, body[:50]
        assert answer["error"]["type"] and answer["node_errors"] == {}
        for path in ("/queue", "/history", "/jobs/cancel", "/settings"):
            assert (await site.post(path, data=body))[0] in (200, 400), (path, body[:50])


@with_site()
async def test_a_prompt_id_that_cannot_be_used(site: Site) -> None:
    for value in (3, "", "x" * 200, [], {}):
        assert (await site.post("/prompt", {"prompt": text_prompt(), "prompt_id": value}))[0] == 400, value


@with_site(max_json=100_000)
async def test_bodies_that_are_too_large(site: Site) -> None:
    for path in ("/prompt", "/queue", "/userdata/a.json", "/history", "/interrupt", "/free"):
        assert (await site.post(path, data=b"x" * 100_001))[0] == 413, path

    async def endless() -> Any:
        for _ in range(1000):
            yield b" " * 1000

    assert (await site.post("/prompt", data=endless()))[0] == 413


@with_site()
async def test_a_graph_of_ten_thousand_nodes(site: Site) -> None:
    prompt = {str(i): {"class_type": "LabText", "inputs": {"text": [str(i + 1), 0]}} for i in range(10_000)}
    status, answer = await site.post("/prompt", {"prompt": prompt})
    assert (status, answer["error"]["type"]) == (400, "prompt_too_large")


@with_site()
async def test_texts_that_are_no_text(site: Site) -> None:
    entry = await site.run(text_prompt("\ud800 \0 \u202e"))
    assert entry["outputs"]["2"]["text"] == ["\ud800 \0 \u202e"]


@with_site()
async def test_a_slow_sender_holds_up_nobody(site: Site) -> None:
    address, port = "127.0.0.1", int(site.url.rsplit(":", 1)[1])
    writers = []
    for _ in range(20):
        _, writer = await asyncio.open_connection(address, port)
        writer.write(b"POST /prompt HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        writers.append(writer)
    assert (await site.run(text_prompt()))["status"]["completed"]
    for writer in writers:
        writer.close()


@with_site()
async def test_a_client_that_never_reads_is_dropped(site: Site, limit: int = 300) -> None:
    before = events.MAX_BACKLOG_BYTES
    events.MAX_BACKLOG_BYTES = 2**20
    try:
        session = aiohttp.ClientSession(read_bufsize=2**10)
        socket = await session.ws_connect(f"{site.url}/ws?clientId=lazy", max_msg_size=0)
        socket._response.connection.transport.pause_reading()  # type: ignore[union-attr]
        await eventually(lambda: site.host.hub.watching("lazy"))
        sent = 0
        async with site.listen("keen") as heard:
            for _ in range(limit):
                site.host.hub.send("noise", {"x": "y" * 100_000})
                sent += 1
                await eventually(lambda sent=sent: len(heard) > sent)  # who reads keeps up
            await eventually(lambda: not site.host.hub.watching("lazy"))
            await eventually(lambda: len(heard) == limit + 1)
        await session.close()
    finally:
        events.MAX_BACKLOG_BYTES = before


def test_a_client_that_lags_behind_gets_results_but_no_more_progress() -> None:
    client = events.Client("lazy", None, None)  # type: ignore[arg-type]
    for _ in range(events.CROWDED + 5):
        client.enqueue("progress", optional=True)
    client.enqueue("executed")
    assert list(client._backlog) == ["progress"] * events.CROWDED + ["executed"]


@with_site()
async def test_a_client_may_say_anything(site: Site) -> None:
    async with site.session.ws_connect(f"{site.url}/ws") as socket:
        for text in ("", "{", "[]", "null", '{"type": "feature_flags", "data": 3}', "[" * 10_000):
            await socket.send_str(text)
        await socket.send_bytes(b"\0\1\2")
        assert (await socket.receive_json())["type"] == "status"
        await site.run(text_prompt())
        assert (await socket.receive_json())["type"] == "status"


def test_what_is_cut_out_of_messages(tmp_path: Path) -> None:
    redact = redactor([(tmp_path / "models", "models")])
    text = redact(f"no {tmp_path}/models/acestep/x.safetensors and {Path.home()}/.cache/y")
    assert text == "no models/acestep/x.safetensors and ~/.cache/y"


@pytest.mark.parametrize(
    "spelled",
    [
        r"C:\Users\김철수\models\a.safetensors",
        repr(r"C:\Users\김철수\models\a.safetensors"),
        "c:/users/김철수/models/a.safetensors",
        "file:///C:/Users/김철수/models/a.safetensors",
    ],
)
def test_a_folder_of_windows_is_cut_out_however_it_is_spelled(spelled: str) -> None:
    redact = redactor([(Path(r"C:\Users\김철수\models"), "models")])
    assert "김철수" not in redact(f"cannot open {spelled}.") and "models" in redact(spelled)


def test_folders_behind_links_and_neighbours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    linked = tmp_path / "linked"
    link(linked, tmp_path / "real")
    redact = redactor([(linked, "models")])
    assert redact(f"{linked}/a and {tmp_path}/real/b") == "models/a and models/b"
    assert redact(f"{linked}2/a").endswith("linked2/a")


def test_any_prompt_gets_an_answer(tmp_path: Path) -> None:
    """A property-based fuzz of `/prompt`: refused or run, never an internal error, and the worker survives it all."""

    async def main() -> None:
        async with open_site(tmp_path, packs=(LAB_PACK,)) as site:
            loop = asyncio.get_running_loop()

            def post(body: Any) -> int:
                data = json.dumps(body).encode()
                future = asyncio.run_coroutine_threadsafe(site.post("/prompt", data=data), loop)
                return future.result(30)[0]

            @settings(max_examples=150, suppress_health_check=list(HealthCheck))
            @given(
                prompt=PROMPTS,
                extra=st.dictionaries(st.sampled_from(["front", "number", "extra_data", "client_id"]), st.integers()),
            )
            def fuzz(prompt: Any, extra: Any) -> None:
                assert post({"prompt": prompt, **extra}) in (200, 400)

            await asyncio.to_thread(fuzz)
            entry = await site.run(text_prompt("still here"))
            assert entry["outputs"]["2"]["text"] == ["still here"]
            for item in site.host.history.summaries():
                assert "The host failed" not in json.dumps(item)

    asyncio.run(main())
