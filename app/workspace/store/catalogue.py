"""The MCP servers that the store offers.

Addresses that start with `self:` are served by the workspace itself. The others are real services, which the workspace
never contacts because it does not leave the machine: they can be looked at, and fail like an unreachable vendor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from app.workspace.store.addresses import absolute
from app.workspace.vendors.names import CLOSED_CLIENT_ID, CLOSED_CLIENT_SECRET, LEDGER, POSTBOX, PREFIX, TIMESHEET

if TYPE_CHECKING:
    from typing import Literal

    AuthType = Literal["api_key", "oauth"]


@dataclass(frozen=True)
class StoreTemplate:
    """One server on offer. `client_id` and `client_secret` are set where the vendor registers no clients itself."""

    name: str
    url: str
    docs_url: str
    description: str
    auth_type: AuthType
    icon_domain: str
    category: str
    client_id: str = ""
    client_secret: str = ""

    @property
    def id(self) -> str:
        return str(uuid5(NAMESPACE_URL, f"mcp-template:{self.url}"))

    @property
    def icon_key(self) -> str:
        return self.name.lower()

    def as_json(self, origin: str) -> dict[str, object]:
        return {
            "id": self.id,
            "name": self.name,
            "url": absolute(self.url, origin),
            "docs_url": absolute(self.docs_url, origin),
            "description": self.description,
            "auth_type": self.auth_type,
            "icon_key": self.icon_key,
            "icon_domain": self.icon_domain,
            "category": self.category,
        }


LEDGER_TEMPLATE = StoreTemplate(
    "Ledger",
    f"self:{LEDGER.path}",
    "",
    "Invoices: look them up, draft new ones, void wrong ones. Part of this workspace, with a sign-in of its own.",
    "oauth",
    "ledger.example",
    "business",
)
POSTBOX_TEMPLATE = StoreTemplate(
    "Postbox",
    f"self:{POSTBOX.path}",
    f"self:{PREFIX}/{POSTBOX.slug}/keys",
    "Shared mailboxes: search mail and send it. Part of this workspace, connected with an API key.",
    "api_key",
    "postbox.example",
    "productivity",
)
TIMESHEET_TEMPLATE = StoreTemplate(
    "Timesheet",
    f"self:{TIMESHEET.path}",
    "",
    "Hours per project. Part of this workspace; its sign-in accepts only clients that were registered by hand.",
    "oauth",
    "timesheet.example",
    "productivity",
    CLOSED_CLIENT_ID,
    CLOSED_CLIENT_SECRET,
)
TEMPLATES: tuple[StoreTemplate, ...] = (
    LEDGER_TEMPLATE,
    POSTBOX_TEMPLATE,
    TIMESHEET_TEMPLATE,
    StoreTemplate(
        "GitHub",
        "https://api.githubcopilot.com/mcp/",
        "https://github.com/github/github-mcp-server",
        "Repositories, issues and pull requests.",
        "api_key",
        "github.com",
        "dev",
    ),
    StoreTemplate(
        "Linear",
        "https://mcp.linear.app/mcp",
        "https://linear.app/docs/mcp",
        "Find, create and update issues, projects and comments.",
        "oauth",
        "linear.app",
        "productivity",
    ),
    StoreTemplate(
        "Notion",
        "https://mcp.notion.com/mcp",
        "https://developers.notion.com/docs/mcp",
        "Search, read and write pages and databases.",
        "oauth",
        "notion.so",
        "productivity",
    ),
    StoreTemplate(
        "Sentry",
        "https://mcp.sentry.dev/mcp",
        "https://docs.sentry.io/product/sentry-mcp/",
        "Issues, traces and releases.",
        "oauth",
        "sentry.io",
        "infra",
    ),
    StoreTemplate(
        "Stripe",
        "https://mcp.stripe.com/",
        "https://docs.stripe.com/mcp",
        "Customers, payments and subscriptions.",
        "api_key",
        "stripe.com",
        "business",
    ),
    StoreTemplate(
        "Figma",
        "https://mcp.figma.com/mcp",
        "https://help.figma.com/hc/en-us/articles/32132100833559",
        "Designs, variables and components as context.",
        "oauth",
        "figma.com",
        "design",
    ),
    StoreTemplate(
        "Context7",
        "https://mcp.context7.com/mcp",
        "https://context7.com/",
        "Current documentation of libraries.",
        "api_key",
        "context7.com",
        "dev",
    ),
    StoreTemplate(
        "Cloudflare",
        "https://observability.mcp.cloudflare.com/mcp",
        "https://developers.cloudflare.com/agents/model-context-protocol/",
        "Logs and analytics of Workers.",
        "oauth",
        "cloudflare.com",
        "infra",
    ),
    StoreTemplate(
        "Hugging Face",
        "https://huggingface.co/mcp",
        "https://huggingface.co/settings/mcp",
        "Models, data sets and papers.",
        "oauth",
        "huggingface.co",
        "data",
    ),
)
BY_ID = {template.id: template for template in TEMPLATES}
