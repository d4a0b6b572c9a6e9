"""The Agent Client Protocol's transport: JSON-RPC messages over the pipes of a process, for clients and agents.

Start with `Peer` (`peer.py`) and `AgentProcess` (`process.py`). Nothing here knows the rest of Burrow or a third
library, so the window, the workspace and the survey agent share it. https://agentclientprotocol.com
"""
