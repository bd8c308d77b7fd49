"""What Waypost accepts is one URL for everybody: three independent parsers find the host in it that Waypost means.

Two read by the WHATWG rules (Node and ada, which browsers and runtimes use), one by RFC 3986 (urllib, as many back ends do).
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
from urllib.parse import urlsplit

import ada_url
import pytest
from clients import MERCHANT, REDIRECT, CallFailed

CASES = int(os.environ.get("WAYPOST_TEST_URLS", "4000"))

SCHEMES = ["https://"] * 12 + ["http://", "HTTPS://", "https:/", "https:", "//", "https:\\\\", "com.example.app://", "com.example.app:", "javascript://", "\thttps://", "https:///", "blob:https://"]
USERS = [""] * 14 + ["user@", "user:pass@", "@", "%40", "a.example.com@", "a.example.com:443@", "\\@"]
HOSTS = ["shop.example.com"] * 6 + [
    "a.example.com", "xn--bcher-kva.example", "bücher.example", "EXAMPLE.com", "example.com.", "localhost", "127.0.0.1", "127.1", "0x7f.1",
    "2130706433", "[::1]", "[::ffff:127.0.0.1]", "①②⑦.①", "evil.com%2eexample.com", "evil.com%23.example.com", "evil.com#.example.com",
    "evil.com?.example.com", "evil.com/.example.com", "evil.com\\.example.com", "evil.com\t.example.com", "a..example.com", "-a.example.com",
    "a_b.example.com", "xn--a.example", "exa%6dple.com", "example。com", "example．com", "a b.example.com", "example.com%00", "shop.example.com,evil.com",
    "shop.example.com;evil.com", "a.example.1", "a.example.0x1", "", ".", "example", "\u00ad.example.com", "evil.com\uff0fexample.com", "shop.example.com|x",
]
PORTS = [""] * 10 + [":443", ":8443", ":80", ":", ":0", ":65535", ":65536", ":08443", ":a", ":8443@evil.com"]
PATHS = [""] * 4 + [
    "/", "/a", "/a/../b", "/a/%2e%2e/b", "/a/..;/b", "//evil.com", "/\\evil.com", "/a%2fb", "/a%5cb", "/a b", "/a%", "/a%zz", "/a%00", "/é", "/{{id}}",
    "/%7B%7Bid%7D%7D", "/a;b=c", "/@evil.com", "/:@", "/a^b", "/a|b", "/a\"b", "/a'b", "/a`b", "/a<b>",
]
QUERIES = [""] * 6 + ["?", "?a=b", "?a=b&a=c", "?u=https://evil.com", "?a={{metadata.order}}", "?@evil.com", "?a=b?c=d", "?a=\\", "?a='b'", "?a=b#c", "#", "#a", "#@evil.com/", "?a=%zz"]


def candidates():
    """Texts that look like URLs: every part hostile now and then, and most parts plain, so that some are accepted."""
    chance = random.Random("URLs for everybody")
    parts = [SCHEMES, USERS, HOSTS, PORTS, PATHS, QUERIES]
    plain = [SCHEMES[0], "", HOSTS[0], "", "/a", ""]
    for _ in range(CASES):
        hostile = set(chance.sample(range(len(parts)), chance.choice([1, 1, 2, 2, 3, 6])))
        text = "".join(chance.choice(part) if at in hostile else plain[at] for at, part in enumerate(parts))
        # A letter somewhere that nobody thought of.
        if chance.random() < 0.3:
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice("\\/@:#?%&=.;,|^ \t\u2028[]{}~'\"<>0aA-_é\u200d") + text[at:]
        yield text


def test_everybody_finds_the_same_host(stub_client, merchant_id):
    if not shutil.which("node"):
        assert not os.environ.get("CI"), "node is missing, and nothing is skipped here"
        pytest.skip("node is missing")
    call = stub_client.call
    call(f"{MERCHANT}/UpdateMerchant", {"merchant": {"merchant_id": merchant_id, "app_schemes": ["com.example.app"]}})
    item = {"type": "PAYMENT_INTENT", "price": "50", "currency": "USD"}
    body = {"merchant_id": merchant_id, "customer_email": "ana@example.com", "items": [item], "metadata": {"order": "../@evil.com?#"}}
    answers = []
    for text in candidates():
        try:
            answer = call(f"{REDIRECT}/PreviewRedirects", {"create_payment": {**body, "redirect_url": text}})
        except CallFailed as refused:
            assert refused.code == "invalid_argument", text
            continue
        url = answer["redirects"][0].get("url")
        if url:
            answers.append((text, url))
    # Enough of both, or this shows nothing.
    assert CASES // 20 < len(answers) < CASES, len(answers)

    script = pathlib.Path(__file__).with_name("hosts.mjs")
    lines = "".join(json.dumps(url) + "\n" for _, url in answers)
    node = subprocess.run(["node", script], input=lines, capture_output=True, text=True, check=True, timeout=60)
    for (text, url), seen in zip(answers, map(json.loads, node.stdout.splitlines()), strict=True):
        scheme, rest = url.split("://", 1)
        authority = rest[: min([rest.find(c) for c in "/?#" if c in rest], default=len(rest))]
        host, _, port = authority.rpartition(":") if authority.rpartition(":")[2].isdigit() else (authority, "", "")
        assert seen == {"scheme": scheme, "host": host, "port": port, "user": ""}, (text, url)
        ada = ada_url.URL(url)
        assert (ada.protocol, ada.hostname, ada.port, ada.username + ada.password) == (f"{scheme}:", host, port, ""), (text, url)
        python = urlsplit(url)
        assert (python.scheme, python.netloc, python.username) == (scheme, authority, None), (text, url)
        assert (python.hostname or "") == host.strip("[]").lower(), (text, url)
        # And it is a host that the text names, or the machine itself, which the sandbox allows.
        assert host.lower() in text.lower(), (text, url)
