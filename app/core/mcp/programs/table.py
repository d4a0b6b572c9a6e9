"""PROGRAMS: the MCP clients that Burrow knows by name.

Each entry names its source. "Run" means that the released program was started with a file or a command of this form
and sent its requests with the header: Claude Code 2.1.332, Codex 0.171.0 (`dev.py proof programs`).
"""

from __future__ import annotations

from app.core.mcp.programs.program import (
    ANYWHERE,
    LINUX,
    MACOS,
    WINDOWS,
    Base,
    ConfigPlace,
    Entry,
    Format,
    Installed,
    Program,
    Via,
)

# Run; https://code.claude.com/docs/en/mcp (scopes, `claude mcp add`, `claude mcp list`). The file holds much more than
# servers and is rewritten while a session runs, so entries are made with `claude mcp add`. The header comes after the
# address: it takes any number of values, and would take the name for one.
CLAUDE_CODE = Program(
    id="claude-code",
    title="Claude Code",
    format=Format.JSON,
    key="mcpServers",
    entry=Entry(type_http="http", type_stdio="stdio"),
    places=(ConfigPlace(ANYWHERE, Base.HOME, ".claude.json", variable="CLAUDE_CONFIG_DIR"),),
    installed=Installed(("claude",), (ConfigPlace(ANYWHERE, Base.HOME, ".claude"),)),
    owns_file=True,
    add=("claude", "mcp", "add", "--scope", "user", "{name}", "--", "{command}"),
    add_http=(
        *("claude", "mcp", "add", "--transport", "http", "--scope", "user", "{name}", "{url}"),
        *("--header", "{header}"),
    ),
    remove=("claude", "mcp", "remove", "--scope", "user", "{name}"),
    lists=("claude", "mcp", "list"),
    checks=True,
    reload="Start a new session of Claude Code.",
)

# https://modelcontextprotocol.io/docs/develop/connect-local-servers (file, `command` and `args`, restart). The file
# takes no address: https://docs.lunar.dev/mcpx/connect_with_claude. Since February 2026 the package for Windows reads
# a file of its own: https://github.com/anthropics/claude-code/issues/26073, read there first if it is installed.
CLAUDE_DESKTOP = Program(
    id="claude-desktop",
    title="Claude Desktop",
    format=Format.JSON,
    key="mcpServers",
    entry=Entry(),
    places=(
        ConfigPlace((MACOS,), Base.SUPPORT, "Claude/claude_desktop_config.json"),
        ConfigPlace(
            (WINDOWS,),
            Base.LOCAL_DATA,
            "Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
            flavor="package",
        ),
        ConfigPlace((WINDOWS,), Base.APPLICATION_DATA, "Claude/claude_desktop_config.json"),
        ConfigPlace((LINUX,), Base.CONFIG, "Claude/claude_desktop_config.json"),
    ),
    installed=Installed(
        ("claude-desktop",),
        (
            ConfigPlace((MACOS,), Base.SYSTEM, "Applications/Claude.app"),
            ConfigPlace((MACOS,), Base.SUPPORT, "Claude"),
            ConfigPlace((WINDOWS,), Base.LOCAL_DATA, "Packages/Claude_*"),
            ConfigPlace((WINDOWS,), Base.APPLICATION_DATA, "Claude"),
            ConfigPlace((LINUX,), Base.CONFIG, "Claude"),
        ),
    ),
    vias=(Via.STDIO,),
    reload="Quit Claude Desktop completely and start it again.",
)

# https://cursor.com/docs/mcp (`~/.cursor/mcp.json`, `url` and `headers` without a type) and
# https://cursor.com/docs/cli/mcp (`mcp list`, the same configuration). The command is called `cursor-agent` here,
# because its other name, `agent`, may be anybody's.
CURSOR = Program(
    id="cursor",
    title="Cursor",
    format=Format.JSONC,
    key="mcpServers",
    entry=Entry(),
    places=(ConfigPlace(ANYWHERE, Base.HOME, ".cursor/mcp.json"),),
    installed=Installed(
        ("cursor", "cursor-agent"),
        (ConfigPlace(ANYWHERE, Base.HOME, ".cursor"), ConfigPlace((MACOS,), Base.SYSTEM, "Applications/Cursor.app")),
    ),
    lists=("cursor-agent", "mcp", "list"),
    checks=True,
    reload="Switch the server on in Cursor's settings, under MCP, if it is not on already.",
)


def _code(folder: str, flavor: str) -> tuple[ConfigPlace, ...]:
    file = f"{folder}/User/mcp.json"
    return (
        ConfigPlace((LINUX,), Base.CONFIG, file, flavor=flavor),
        ConfigPlace((MACOS,), Base.SUPPORT, file, flavor=flavor),
        ConfigPlace((WINDOWS,), Base.APPLICATION_DATA, file, flavor=flavor),
    )


# https://code.visualstudio.com/docs/copilot/reference/mcp-configuration (`servers`, `type`, `url`, `headers`, the file
# in the user profile) and https://code.visualstudio.com/docs/copilot/customization/mcp-servers (`--add-mcp`). The
# folders are those of https://code.visualstudio.com/docs/configure/settings (settings file locations); Flatpak and
# snap: https://docs.flatpak.org/en/latest/sandbox-permissions.html, https://snapcraft.io/code (classic: no folder of
# its own).
VS_CODE = Program(
    id="vscode",
    title="VS Code",
    format=Format.JSONC,
    key="servers",
    entry=Entry(type_http="http", type_stdio="stdio"),
    places=(
        *_code("Code", ""),
        *_code("Code - Insiders", "Insiders"),
        *_code("VSCodium", "VSCodium"),
        ConfigPlace(
            (LINUX,),
            Base.HOME,
            ".var/app/com.visualstudio.code/config/Code/User/mcp.json",
            flavor="Flatpak",
            sandbox=True,
        ),
        ConfigPlace(
            (LINUX,),
            Base.HOME,
            ".var/app/com.vscodium.codium/config/VSCodium/User/mcp.json",
            flavor="VSCodium, Flatpak",
            sandbox=True,
        ),
    ),
    installed=Installed(
        ("code", "code-insiders", "codium"),
        (
            ConfigPlace((MACOS,), Base.SYSTEM, "Applications/Visual Studio Code.app"),
            ConfigPlace((LINUX,), Base.CONFIG, "Code"),
            ConfigPlace((MACOS,), Base.SUPPORT, "Code"),
            ConfigPlace((WINDOWS,), Base.APPLICATION_DATA, "Code"),
        ),
    ),
    add=("code", "--add-mcp", "{json}"),
    reload="Start the server with “MCP: List Servers” in VS Code if it does not start by itself.",
)

# Run; https://developers.openai.com/codex/mcp (`[mcp_servers.NAME]`, `url`, `http_headers`, `command`, `args`;
# CODEX_HOME). `codex mcp add --url` takes a token from an environment variable only, so an address with a header is
# written into the file. https://github.com/openai/codex/blob/main/codex-rs/config/src/mcp_types.rs has the fields.
CODEX = Program(
    id="codex",
    title="Codex",
    format=Format.TOML,
    key="mcp_servers",
    entry=Entry(headers="http_headers"),
    places=(ConfigPlace(ANYWHERE, Base.HOME, ".codex/config.toml", variable="CODEX_HOME"),),
    installed=Installed(("codex",), (ConfigPlace(ANYWHERE, Base.HOME, ".codex"),)),
    add=("codex", "mcp", "add", "{name}", "--", "{command}"),
    remove=("codex", "mcp", "remove", "{name}"),
    lists=("codex", "mcp", "list"),
    reload="Start a new session of Codex.",
)

# https://zed.dev/docs/ai/mcp (`context_servers`, `url` and `headers`, `command` and `args`). The folders are those of
# https://github.com/zed-industries/zed/blob/main/crates/paths/src/paths.rs, `config_dir`.
ZED = Program(
    id="zed",
    title="Zed",
    format=Format.JSONC,
    key="context_servers",
    entry=Entry(),
    places=(
        ConfigPlace((LINUX,), Base.CONFIG, "zed/settings.json"),
        ConfigPlace((MACOS,), Base.HOME, ".config/zed/settings.json"),
        ConfigPlace((WINDOWS,), Base.APPLICATION_DATA, "Zed/settings.json"),
        ConfigPlace(
            (LINUX,), Base.HOME, ".var/app/dev.zed.Zed/config/zed/settings.json", flavor="Flatpak", sandbox=True
        ),
    ),
    installed=Installed(
        ("zed", "zeditor", "zedit"),
        (
            ConfigPlace((LINUX,), Base.CONFIG, "zed"),
            ConfigPlace((MACOS,), Base.HOME, ".config/zed"),
            ConfigPlace((MACOS,), Base.SYSTEM, "Applications/Zed.app"),
            ConfigPlace((WINDOWS,), Base.APPLICATION_DATA, "Zed"),
        ),
    ),
    reload="Zed reads its settings again by itself.",
)

# https://docs.windsurf.com/windsurf/cascade/mcp (`~/.codeium/windsurf/mcp_config.json`, `serverUrl` and `headers`).
WINDSURF = Program(
    id="windsurf",
    title="Windsurf",
    format=Format.JSON,
    key="mcpServers",
    entry=Entry(url="serverUrl"),
    places=(
        ConfigPlace(ANYWHERE, Base.HOME, ".codeium/windsurf/mcp_config.json"),
        ConfigPlace(ANYWHERE, Base.HOME, ".codeium/windsurf-next/mcp_config.json", flavor="Next"),
    ),
    installed=Installed(("windsurf",), (ConfigPlace(ANYWHERE, Base.HOME, ".codeium/windsurf"),)),
    reload="Press Refresh in the list of MCP servers of Windsurf.",
)

# The form that most programs read: https://modelcontextprotocol.io/docs/develop/connect-local-servers, with the
# members of Claude Code for an address.
GENERIC = Program(
    id="generic",
    title="Other",
    format=Format.JSON,
    key="mcpServers",
    entry=Entry(type_http="http"),
    places=(),
    installed=Installed(),
    reload="Its documentation says where it reads MCP servers.",
)

PROGRAMS: tuple[Program, ...] = (
    CLAUDE_CODE,
    CLAUDE_DESKTOP,
    CURSOR,
    VS_CODE,
    CODEX,
    ZED,
    WINDSURF,
    GENERIC,
)


def program(program_id: str) -> Program:
    """The program with this id; the generic one for any other id."""
    return next((each for each in PROGRAMS if each.id == program_id), GENERIC)
