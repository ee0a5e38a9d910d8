"""The server: HTTP and WebSocket, and its page. The process that talks to clients hears nothing itself; worker
processes do, so that one that dies or hangs costs its own request only."""
