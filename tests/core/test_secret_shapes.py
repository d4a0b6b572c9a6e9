"""Each known shape of a secret is taken out of what is kept, wherever it stands in results, errors and arguments."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from app.core.diagnostics.activity import Activity
from app.core.errors import Rejected
from app.core.redaction import REDACTED, redact_text
from app.core.storage import Storage

RUN = "Qx7Zk2Wm9Lp4Tn6Rv8Bc3Hd5Jf1Gs0Ya"
UPPER = "Q7ZK2WM9LP4TN6RV"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz"
PEM_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"


def pem(kind: str, end: bool = True) -> str:
    closing = f"\n-----END {kind}-----" if end else ""
    return f"-----BEGIN {kind}-----\n{PEM_BODY}{closing}"


# The name of a shape, a secret of that shape, and the part of it that must not be found again.
SHAPES = {
    "PostHog access token": (f"pha_{RUN}", RUN),
    "PostHog personal key": (f"phx_{RUN}", RUN),
    "Burrow, a client of the proxy": (f"bw_{RUN}-{RUN[:10]}", RUN),
    "Google access token": (f"ya29.a0Ad-{RUN}_{RUN}", RUN),
    "Google service token": (f"ya29.c.{RUN}", RUN),
    "Google refresh token": (f"1//0g{RUN}-L9{RUN}", RUN),
    "Google API key": (f"AIzaSy{RUN}x", RUN),
    "Google client secret": (f"GOCSPX-{RUN}", RUN),
    "PEM, PKCS 8": (pem("PRIVATE KEY"), PEM_BODY),
    "PEM, PKCS 1": (pem("RSA PRIVATE KEY"), PEM_BODY),
    "PEM, EC": (pem("EC PRIVATE KEY"), PEM_BODY),
    "PEM, encrypted": (pem("ENCRYPTED PRIVATE KEY"), PEM_BODY),
    "PEM, OpenSSH": (pem("OPENSSH PRIVATE KEY"), PEM_BODY),
    "PEM, OpenPGP": (pem("PGP PRIVATE KEY BLOCK"), PEM_BODY),
    "PEM, cut off": (pem("PRIVATE KEY", end=False), PEM_BODY),
    "npm": (f"npm_{RUN}abcd", RUN),
    "GitHub personal": (f"ghp_{RUN}abcd", RUN),
    "GitHub OAuth": (f"gho_{RUN}abcd", RUN),
    "GitHub user": (f"ghu_{RUN}abcd", RUN),
    "GitHub server": (f"ghs_{RUN}abcd", RUN),
    "GitHub refresh": (f"ghr_{RUN}abcd", RUN),
    "GitHub fine-grained": (f"github_pat_11ABC_{RUN}", RUN),
    "GitLab": (f"glpat-{RUN}", RUN),
    "Slack bot": (f"xoxb-123456789012-123456789012-{RUN}", RUN),
    "Slack user": (f"xoxp-123456789012-{RUN}", RUN),
    "Slack rotating": (f"xoxe.xoxp-1-{RUN}", RUN),
    "Slack refresh": (f"xoxe-1-{RUN}", RUN),
    "Slack cookie": (f"xoxd-{RUN}%2B{RUN}", RUN),
    "Slack app": (f"xapp-1-A123-456-{RUN}", RUN),
    "Slack hook": (f"https://hooks.slack.com/services/T0/B0/{RUN}", RUN),
    "AWS key id": (f"AKIA{UPPER}", UPPER),
    "AWS temporary key id": (f"ASIA{UPPER}", UPPER),
    "AWS secret beside its id": (f"AKIA{UPPER},{AWS_SECRET}", AWS_SECRET),
    "JWT": (f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.{RUN}", RUN),
    "JWT without a signature": (f"eyJhbGciOiJub25lIn0.eyJzdWIi{RUN}.", RUN),
    "JWT with a blank": (f"eyAiYWxnIjogIm5vbmUiIH0.eyJzdWIi{RUN}.", RUN),
    "JWE": (f"eyJhbGciOiJkaXIifQ..{RUN}.{RUN}.{RUN}", RUN),
    "OpenAI": (f"sk-proj-{RUN}", RUN),
    "Anthropic": (f"sk-ant-api03-{RUN}", RUN),
    "Stripe": (f"sk_live_{RUN}", RUN),
    "Stripe restricted": (f"rk_live_{RUN}", RUN),
    "Stripe hook": (f"whsec_{RUN}", RUN),
    "PyPI": (f"pypi-AgEIcHlwaS5vcmc{RUN}", RUN),
    "Hugging Face": (f"hf_{RUN}", RUN),
    "SendGrid": (f"SG.{RUN[:22]}.{RUN}", RUN),
    "Vault": (f"hvs.{RUN}", RUN),
}
FRAMES = ("{}", "line\n{}\nline", "({}),", '"{}"', "key={}", "see {}", "a\t{}")


def all_of(folder: Path) -> str:
    """What the files of a folder hold."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode("latin-1")


def encoded(text: str) -> str:
    """`text` as it stands in JSON, without the quotes."""
    return json.dumps(text)[1:-1]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_secret_of_this_shape_is_taken_out_of_texts_json_and_forms(shape: str) -> None:
    secret, part = SHAPES[shape]
    for frame in FRAMES:
        text = frame.format(secret)
        once, twice = encoded(text), encoded(encoded(text))
        for kept in (text, once, twice):
            cleaned = redact_text(kept)
            assert REDACTED in cleaned
            assert part not in cleaned
            assert encoded(part) not in cleaned
            assert encoded(encoded(part)) not in cleaned
    if shape != "Slack hook":
        assert quote(part) not in redact_text(f"a=1&text={quote(secret, safe='')}&b=2")


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_secret_of_this_shape_is_not_in_the_activity_store(shape: str, tmp_path: Path) -> None:
    secret, part = SHAPES[shape]
    storage = Storage.open(tmp_path)
    activity = Activity(storage.activity)
    result = {"content": [{"type": "text", "text": f"It stays before\n{secret}"}], "structuredContent": {"v": [secret]}}
    activity.record("mcp", "server", f"tools/call {secret}", detail={"arguments": {"note": secret}, "result": result})
    activity.record(
        "mcp", "server", "tools/call", "error", detail={"error": {"message": f"no: {secret}", "data": secret}}
    )
    activity.record("http", "server", "GET /x", str(Rejected(f"refused {secret}")))
    # What the person sees is the result itself.
    assert result["structuredContent"] == {"v": [secret]}
    await activity.close()
    await storage.close()
    stored = all_of(tmp_path)
    assert "It stays before" in stored
    for form in (part, encoded(part), encoded(encoded(part))):
        assert form not in stored


@pytest.mark.parametrize(
    "text",
    [
        "npm_config_registry=https://registry.npmjs.org npm_lifecycle_event",
        "highp_precision_of_the_shader and graph_of_everything_here",
        "disk_usage_of_the_server, task-with-a-long-name, risk-assessment-of-it",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
        "ASIAN FOOD, AKIAN, eyJ, xoxo-kisses, ya29, SG.1.2",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert redact_text(text) == text
