"""Which proxy a request goes through: the environment by its common convention, and never for this machine."""

from __future__ import annotations

import pytest

from app.core.auth.http.proxies import ProxySettings, is_this_machine
from app.core.errors import ProxyUnusable

PROXY = "http://proxy.example:3128"


def settings(**variables: str) -> ProxySettings:
    return ProxySettings.of_environment(variables)


@pytest.mark.parametrize(
    ("variables", "scheme", "proxy"),
    [
        ({}, "https", None),
        ({"HTTPS_PROXY": PROXY}, "https", PROXY),
        ({"HTTPS_PROXY": PROXY}, "http", None),
        ({"HTTP_PROXY": PROXY}, "http", PROXY),
        ({"ALL_PROXY": PROXY}, "https", PROXY),
        ({"ALL_PROXY": PROXY, "HTTPS_PROXY": "http://other.example"}, "https", "http://other.example"),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other.example"}, "https", PROXY),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, "https", None),
        ({"https_proxy": f"{PROXY}\n"}, "https", PROXY),
        ({"https_proxy": "proxy.example:3128"}, "https", PROXY),
        ({"https_proxy": "http://name:p%40ss@proxy.example:3128/"}, "https", "http://name:p%40ss@proxy.example:3128"),
        ({"https_proxy": "http://[fd00::1]:3128"}, "https", "http://[fd00::1]:3128"),
        ({"https_proxy": "http://bücher.example:3128"}, "https", "http://xn--bcher-kva.example:3128"),
        ({"all_proxy": "socks5://127.0.0.1:1080"}, "https", "socks5://127.0.0.1:1080"),
        ({"all_proxy": "SOCKS5H://127.0.0.1:1080"}, "https", "socks5h://127.0.0.1:1080"),
        ({"all_proxy": "socks://127.0.0.1:1080/"}, "https", "socks5://127.0.0.1:1080"),
    ],
)
def test_the_proxy_of_a_scheme_is_the_one_that_the_environment_names(
    variables: dict[str, str], scheme: str, proxy: str | None
) -> None:
    assert settings(**variables).proxy_for(scheme, "posthog.example") == proxy


@pytest.mark.parametrize(
    ("excluded", "host", "port"),
    [
        ("*", "any.example", None),
        ("example.com", "example.com", None),
        ("example.com", "app.example.com", None),
        (".example.com", "app.example.com", None),
        (".example.com", "example.com", None),
        ("*.example.com", "app.example.com", None),
        ("EXAMPLE.com", "example.COM.", None),
        ("other, example.com", "example.com", None),
        ("other example.com", "example.com", None),
        ("other\nexample.com\n", "example.com", None),
        (",,example.com,", "example.com", None),
        ("example.com:8443", "example.com", 8443),
        ("example.com:443", "example.com", None),
        ("bücher.example", "xn--bcher-kva.example", None),
        ("10.0.0.0/8", "10.1.2.3", None),
        ("10.1.2.3/8", "10.200.0.1", None),
        ("10.1.2.3", "10.1.2.3", None),
        ("10.1.2.3:8443", "10.1.2.3", 8443),
        ("10.0.0.0/8", "::ffff:10.1.2.3", None),
        ("fd00:1::/64", "fd00:1::5", None),
        ("fd00:1::/64", "[fd00:1::5]", None),
        ("[fd00:1::]/64", "fd00:1::5", None),
        ("fd00:1::5", "fd00:1:0:0::5", None),
        ("[fd00:1::5]", "fd00:1::5", None),
        ("[fd00:1::5]:8443", "fd00:1::5", 8443),
        ("localhost,fd00:1::/64,[::1],example.com", "example.com", None),
    ],
)
def test_an_excluded_host_needs_no_proxy_however_it_is_written(excluded: str, host: str, port: int | None) -> None:
    assert settings(ALL_PROXY=PROXY, NO_PROXY=excluded).proxy_for("https", host, port) is None


@pytest.mark.parametrize(
    ("excluded", "host", "port"),
    [
        ("", "example.com", None),
        ("example.com", "notexample.com", None),
        ("example.com", "example.com.evil.net", None),
        ("example.com:8443", "example.com", None),
        ("10.0.0.0/8", "11.0.0.1", None),
        ("10.0.0.0/8", "fd00::1", None),
        ("fd00:1::/64", "fd00:2::5", None),
        ("[fd00:1::5]:8443", "fd00:1::5", 443),
        ("[,]:x,:,10.0.0.0/99,/,.,*.", "example.com", None),
    ],
)
def test_another_host_goes_through_the_proxy(excluded: str, host: str, port: int | None) -> None:
    assert settings(ALL_PROXY=PROXY, NO_PROXY=excluded).proxy_for("https", host, port) == PROXY


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "app.localhost",
        "127.0.0.1",
        "127.8.8.8",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0.0.0.0",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "::",
    ],
)
def test_this_machine_is_never_reached_through_a_proxy(host: str) -> None:
    assert settings(HTTP_PROXY=PROXY, ALL_PROXY="nonsense://").proxy_for("http", host, 8000) is None


@pytest.mark.parametrize(
    "host", ["example.com", "localhost.example.com", "notlocalhost", "128.0.0.1", "::2", "", "1.x"]
)
def test_another_machine_is_not_taken_for_this_one(host: str) -> None:
    assert not is_this_machine(host)


@pytest.mark.parametrize(
    "value",
    [
        "ftp://proxy.example",
        "socks4://proxy.example:1080",
        "http://proxy.example:port",
        "http://proxy.example:99999",
        "http://[::1:3128",
        "http://",
        "http://:3128",
        "http://proxy.example\nsecond",
        "http://pro xy.example",
        "http://proxy\x00.example",
        "http://\udcff.example",
        "http://.:3128",
        f"http://{'x' * 70}.example",
    ],
)
def test_a_proxy_that_is_none_is_named_by_its_variable_and_keeps_no_other_host(value: str) -> None:
    named = settings(https_proxy=value, NO_PROXY="excluded.example")
    assert named.proxy_for("https", "excluded.example") is None
    assert named.proxy_for("https", "127.0.0.1") is None
    assert named.proxy_for("http", "posthog.example") is None
    with pytest.raises(ProxyUnusable, match="https_proxy") as caught:
        named.proxy_for("https", "posthog.example")
    assert len(caught.value.cause) < 200
    caught.value.cause.encode()


def test_the_password_of_a_proxy_that_cannot_be_used_is_not_told() -> None:
    with pytest.raises(ProxyUnusable) as caught:
        settings(HTTPS_PROXY="http://me:hunter2@proxy.example:nine").proxy_for("https", "posthog.example")
    assert "hunter2" not in str(caught.value)
