"""An agent that misbehaves as its arguments say, in the standard library alone: `KEY=VALUE …`, see `BEHAVIOUR`.

Each prompt's text is a list of words that say what to do: `say:TEXT`, `think:TEXT`, `ask`, `ask2`, `read:PATH`,
`write:PATH`, `run:CMD`, `crash`, `wait`, `env`, `secret`, `chunks`, `blocks`, `options`.
"""

import json
import os
import sys
import threading
import time

BEHAVIOUR = {
    # How a cancelled turn is answered: cancelled, end_turn, error, refused (the notification is answered), late, never.
    "cancel": "cancelled",
    # How session/load is answered: ids, new-ids, none, late, null, empty, error.
    "load": "",
    "resume": "",
    "version": "1",
    "new": "",
    "modes": "",
    "models": "",
    "name": "scripted",
    "slow": "0",
    "http": "",
    "stderr": "",
    # Whether prompts may have pictures and embedded texts, and sessions further folders.
    "images": "",
    "embedded": "",
    "more": "",
    # How the offer of version 2 is taken: as any other, or with an error, an exit or nonsense.
    "draft": "",
    **dict(each.partition("=")[::2] for each in sys.argv[1:]),
}
LOGIN = {"command": "agent", "args": ["login"]}
WRITING = threading.Lock()
ANSWERS: dict = {}
ARRIVED = threading.Condition()
CANCELLED = threading.Event()
STATE = {"id": 0, "options": {}}


def send(message: dict) -> None:
    with WRITING:
        sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        sys.stdout.buffer.flush()


def update(**fields: object) -> None:
    send({"method": "session/update", "params": {"sessionId": "s-1", "update": fields}})


def say(text: str, kind: str = "agent_message_chunk", **more: object) -> None:
    update(sessionUpdate=kind, content={"type": "text", "text": text}, **more)


def ask(method: str, params: dict) -> dict:
    STATE["id"] += 1
    number = STATE["id"]
    send({"id": number, "method": method, "params": {"sessionId": "s-1", **params}})
    with ARRIVED:
        ARRIVED.wait_for(lambda: number in ANSWERS)
    return ANSWERS.pop(number)


def permission(name: str) -> str:
    options = [
        {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
        {"optionId": "no", "name": "No", "kind": "reject_once"},
    ]
    call = {"toolCallId": name, "title": name, "kind": "edit", "locations": [{"path": "granted.txt"}]}
    answer = ask("session/request_permission", {"toolCall": call, "options": options})
    outcome = answer["result"]["outcome"]
    say(f"[{name}: {outcome.get('optionId', outcome['outcome'])}]")
    return outcome["outcome"]


def do(word: str) -> None:
    name, _, value = word.partition(":")
    if name == "say":
        say(value)
    elif name == "think":
        for part in value.split("-"):
            say(f"{part} ", "agent_thought_chunk")
    elif name == "ask":
        permission("first")
    elif name == "ask2":
        both = [threading.Thread(target=permission, args=(each,)) for each in ("first", "second")]
        for each in both:
            each.start()
        for each in both:
            each.join()
    elif name == "read":
        say(json.dumps(ask("fs/read_text_file", {"path": value})))
    elif name == "write":
        say(json.dumps(ask("fs/write_text_file", {"path": value, "content": "new\n"})))
    elif name == "run":
        made = ask("terminal/create", {"command": value})
        if "error" in made:
            say(json.dumps(made))
            return
        terminal = {"terminalId": made["result"]["terminalId"]}
        update(
            sessionUpdate="tool_call",
            toolCallId="run",
            title=value,
            kind="execute",
            content=[{"type": "terminal", **terminal}],
        )
        ended = ask("terminal/wait_for_exit", terminal)
        said = ask("terminal/output", terminal)
        ask("terminal/release", terminal)
        say(json.dumps([ended["result"], said["result"]["output"]]))
    elif name == "crash":
        sys.stderr.write("out of memory: phx_0123456789abcdefghijklmnop\n")
        sys.stderr.flush()
        os._exit(9)
    elif name == "env":
        say(json.dumps({"environ": dict(os.environ), "argv": sys.argv, "servers": STATE.get("servers")}))
    elif name == "secret":
        for part in (
            "The header is Author",
            "ization: Bear",
            "er abcdef",
            "0123456789 and the key phx",
            "_0123456789ab.",
        ):
            say(part)
        update(
            sessionUpdate="tool_call",
            toolCallId="t",
            title="fetch",
            rawInput={"headers": {"Authorization": "Basic dXNlcjpwYXNz"}, "api_key": "abc", "path": "a=b"},
        )
    elif name == "blocks":
        say(json.dumps([STATE["blocks"], STATE["more"]]))
    elif name == "chunks":
        for each in range(300):
            say(f"{each} ")
    elif name == "options":
        say(json.dumps(STATE["options"]))
    elif name == "wait":
        CANCELLED.wait()


def stop(number: object) -> None:
    how = BEHAVIOUR["cancel"]
    if how == "never":
        return
    if how == "error":
        send({"id": number, "error": {"code": -32603, "message": "The operation was aborted"}})
        return
    send({"id": number, "result": {"stopReason": "end_turn" if how in {"end_turn", "late"} else "cancelled"}})
    if how == "late":
        time.sleep(0.1)
        say("late news")


def prompt(number: object, params: dict) -> None:
    text = "\n".join(block["text"] for block in params["prompt"] if block["type"] == "text")
    STATE["blocks"] = params["prompt"]
    if text == "begun":
        say("I begin. ")
        send({"id": number, "error": {"code": -32603, "message": "Overloaded"}})
        return
    if text == "fail":
        send({"id": number, "error": {"code": -32000, "message": "Authentication required"}})
        return
    for word in text.split():
        do(word)
    if CANCELLED.is_set():
        stop(number)
    else:
        say(f"heard {len(text)}")
        send({"id": number, "result": {"stopReason": "end_turn"}})


def history(kind: str) -> None:
    ids = {"ids": "m-{}", "new-ids": "other-{}"}.get(kind)
    told = [("user_message_chunk", "say:one"), ("agent_message_chunk", "one"), ("agent_message_chunk", "heard 7")]
    if kind == "longer":
        told += [("user_message_chunk", "elsewhere"), ("agent_message_chunk", "said elsewhere")]
    for index, (each, text) in enumerate(told):
        more = {"messageId": ids.format(index)} if ids else {}
        half = len(text) // 2
        say(text[:half], each, **more)
        say(text[half:], each, **more)


def answer(message: dict) -> None:
    number, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if method == "initialize" and params["protocolVersion"] > 1 and BEHAVIOUR["draft"]:
        if BEHAVIOUR["draft"] == "exit":
            sys.stderr.write("unknown protocol\n")
            sys.exit(2)
        said = {"error": {"code": -32602, "message": "Unsupported protocol version"}}
        send({"id": number, **(said if BEHAVIOUR["draft"] == "error" else {"result": {"protocolVersion": 7}})})
        return
    if method == "initialize":
        time.sleep(float(BEHAVIOUR["slow"]))
        session = {"resume": {}} if BEHAVIOUR["resume"] else {}
        if BEHAVIOUR["more"]:
            session["additionalDirectories"] = {}
        result = {
            "protocolVersion": int(BEHAVIOUR["version"]),
            "agentInfo": {"name": BEHAVIOUR["name"], "version": "1.0"},
            "agentCapabilities": {
                "loadSession": bool(BEHAVIOUR["load"]),
                "sessionCapabilities": session,
                "mcpCapabilities": {"http": bool(BEHAVIOUR["http"])},
                "promptCapabilities": {
                    "image": bool(BEHAVIOUR["images"]),
                    "embeddedContext": bool(BEHAVIOUR["embedded"]),
                },
            },
            "authMethods": [{"id": "login", "name": "Log in", "_meta": {"terminal-auth": LOGIN}}],
        }
    elif method in {"session/new", "session/load", "session/resume"}:
        STATE["servers"], STATE["more"] = params.get("mcpServers"), params.get("additionalDirectories")
        if method == "session/new" and BEHAVIOUR["new"]:
            send({"id": number, "error": {"code": -32000, "message": "Authentication required"}})
            return
        if method == "session/load":
            if BEHAVIOUR["load"] == "error":
                send(
                    {
                        "id": number,
                        "error": {"code": -32002, "message": "Internal error", "data": {"details": "No such session"}},
                    }
                )
                return
            if BEHAVIOUR["load"] == "hang":
                return
            if BEHAVIOUR["load"] not in {"null", "empty", "late"}:
                history(BEHAVIOUR["load"])
        modes = {"currentModeId": BEHAVIOUR["modes"], "availableModes": [{"id": BEHAVIOUR["modes"], "name": "M"}]}
        models = {"currentModelId": "small", "availableModels": [{"modelId": "small", "name": "S"}, {"modelId": "big"}]}
        result = {"sessionId": "s-1", **({"modes": modes} if BEHAVIOUR["modes"] else {})}
        if BEHAVIOUR["models"]:
            result["models"] = models
        if BEHAVIOUR["load"] == "null" and method != "session/new":
            result = None
    elif method in {"session/set_mode", "session/set_model"}:
        STATE["options"][method] = params
        result = {}
    elif method == "session/set_config_option":
        send({"id": number, "error": {"code": -32601, "message": "Method not found"}})
        return
    elif method == "session/prompt":
        CANCELLED.clear()
        threading.Thread(target=prompt, args=(number, params), daemon=True).start()
        return
    elif method == "session/cancel":
        if BEHAVIOUR["cancel"] == "refused":
            send({"id": None, "error": {"code": -32601, "message": "session/cancel is not known"}})
        CANCELLED.set()
        return
    elif method is None:
        with ARRIVED:
            ANSWERS[number] = message
            ARRIVED.notify_all()
        return
    else:
        if number is not None:
            send({"id": number, "error": {"code": -32601, "message": "Method not found"}})
        return
    send({"id": number, "result": result})
    if method == "session/load" and BEHAVIOUR["load"] == "late":
        time.sleep(0.05)
        history("none")


if BEHAVIOUR["stderr"]:
    sys.stderr.write(BEHAVIOUR["stderr"] + "\n")
    sys.stderr.flush()
    sys.exit(3)
for line in sys.stdin.buffer:
    answer(json.loads(line))
