"""An agent written on the protocol's own Python SDK: what it accepts and sends is the SDK's word, not Burrow's."""

import asyncio
from typing import Any

import acp
from acp import schema


class SdkAgent(acp.Agent):
    """Reads a file, asks, writes it in capitals, runs a command, and says how it went."""

    def on_connect(self, conn: Any) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, client_capabilities: Any = None, **_: Any) -> Any:
        assert client_capabilities.fs.read_text_file
        assert client_capabilities.terminal
        return schema.InitializeResponse(
            protocol_version=1,
            agent_capabilities=schema.AgentCapabilities(),
            agent_info=schema.Implementation(name="sdk", version="0.12"),
        )

    def _options(self, value: str) -> list[Any]:
        choices = [schema.SessionConfigSelectOption(value=each, name=each) for each in ("small", "large")]
        option = schema.SessionConfigOptionSelect(
            id="model", name="Model", category="model", type="select", current_value=value, options=choices
        )
        return [option]

    async def new_session(self, cwd: str, mcp_servers: Any = None, **_: Any) -> Any:
        self.folder = cwd
        return schema.NewSessionResponse(session_id="sdk-1", config_options=self._options("small"))

    async def set_config_option(self, config_id: str, session_id: str, value: Any, **_: Any) -> Any:
        return schema.SetSessionConfigOptionResponse(config_options=self._options(value))

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> Any:
        say = self.client.session_update
        if prompt[0].text == "large":
            await say(session_id=session_id, update=acp.update_agent_message_text("x" * 300_000))
            return schema.PromptResponse(stop_reason="max_tokens")
        file = f"{self.folder}/notes.txt"
        read = await self.client.read_text_file(session_id=session_id, path=file)
        call = acp.start_tool_call("c1", "Write notes.txt", kind="edit", status="pending")
        await say(session_id=session_id, update=call)
        answer = await self.client.request_permission(
            session_id=session_id,
            tool_call=schema.ToolCallUpdate(
                tool_call_id="c1",
                title="Write notes.txt",
                locations=[schema.ToolCallLocation(path=file)],
            ),
            options=[schema.PermissionOption(option_id="ok", name="Allow", kind="allow_once")],
        )
        assert answer.outcome.outcome == "selected"
        await self.client.write_text_file(session_id=session_id, path=file, content=read.content.upper())
        made = await self.client.create_terminal(session_id=session_id, command="wc", args=["-c", "notes.txt"])
        ended = await self.client.wait_for_terminal_exit(session_id=session_id, terminal_id=made.terminal_id)
        said = await self.client.terminal_output(session_id=session_id, terminal_id=made.terminal_id)
        await self.client.release_terminal(session_id=session_id, terminal_id=made.terminal_id)
        await say(session_id=session_id, update=acp.update_tool_call("c1", status="completed"))
        text = f"{said.output.split()[0]} bytes, code {ended.exit_code}"
        await say(session_id=session_id, update=acp.update_agent_message_text(text))
        return schema.PromptResponse(stop_reason="end_turn")

    async def cancel(self, session_id: str, **_: Any) -> None:
        pass


asyncio.run(acp.run_agent(SdkAgent()))
