"""An agent of version 2 of the protocol (https://agentclientprotocol.com/protocol/v2/migration)."""

import base64
import json
import sys


def send(message: dict) -> None:
    sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    sys.stdout.buffer.flush()


def update(kind: str, /, **fields: object) -> None:
    send({"method": "session/update", "params": {"sessionId": "s-2", "update": {"sessionUpdate": kind, **fields}}})


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def turn(words: str) -> None:
    update("user_message", messageId="u", content=[text(words)])
    update("state_update", state="running")
    update("agent_thought", messageId="t", content=[text("Thinking.")])
    update("tool_call_update", toolCallId="c", title="List", kind="execute", status="in_progress")
    update("tool_call_content_chunk", toolCallId="c", content={"type": "content", "content": text("first ")})
    update("tool_call_content_chunk", toolCallId="c", content={"type": "content", "content": text("second")})
    update("terminal_output_chunk", terminalId="t", data=base64.b64encode(b"out").decode())
    update("agent_message_chunk", messageId="w", content=text("In parts, "))
    update("agent_message", messageId="w", content=[text("In parts, then whole.")])
    update("tool_call_update", toolCallId="d", title="Run", content=[{"type": "terminal", "terminalId": "t"}])
    update("plan_update", plan={"type": "items", "planId": "p", "entries": [{"content": "Step", "status": "pending"}]})
    subject = {"type": "tool_call", "toolCall": {"toolCallId": "c", "kind": "execute"}}
    options = [{"optionId": "ok", "name": "OK", "kind": "allow_once"}]
    asked = {"sessionId": "s-2", "title": "May I?", "description": "It lists.", "subject": subject, "options": options}
    send({"id": "q", "method": "session/request_permission", "params": asked})


heard: list[str] = []
for line in sys.stdin.buffer:
    message = json.loads(line)
    number, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if method == "initialize":
        assert params["protocolVersion"] == 2
        assert params["info"]["name"] == "burrow"
        has = {"session": {"mcp": {"http": {}}}}
        send({"id": number, "result": {"protocolVersion": 2, "info": {"name": "second"}, "capabilities": has}})
    elif method == "session/new":
        choices = [{"value": "plan", "name": "Plan"}, {"value": "ask", "name": "Ask"}]
        mode = {"configId": "m", "category": "mode", "name": "Mode", "type": "select", "options": choices}
        send({"id": number, "result": {"sessionId": "s-2", "configOptions": [{**mode, "currentValue": "ask"}]}})
    elif method == "session/set_config_option":
        assert (params["configId"], params["type"]) == ("m", "id")
        send({"id": number, "result": {"configOptions": [{**mode, "currentValue": params["value"]}]}})
    elif method == "session/prompt":
        heard.append(params["prompt"][0]["text"])
        send({"id": number, "result": {}})
        if heard == ["crash"]:
            sys.exit(4)
        if len(heard) == 1:
            turn(heard[0])
    elif method == "session/close":
        send({"id": number, "result": {}})
    elif method == "session/cancel":
        update("state_update", state="idle", stopReason="cancelled")
    elif method is None and number == "q":
        update("agent_message_chunk", messageId="m", content=text(f"{message['result']['outcome']['outcome']} "))
        update("agent_message_chunk", messageId="m", content=text(",".join(heard)))
        update("state_update", state="idle", stopReason="end_turn")
