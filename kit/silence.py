"""The environment our processes start with: no telemetry, no update check, no hub, no debugger.

Knows the libraries' switches, not what they do. Some libraries read these when they are imported,
so a launcher sets them before Python starts, or a process before its first heavy import.
"""

from __future__ import annotations

from collections.abc import Mapping

# ggml starts gdb or lldb when it aborts. Threat: one that loads its set-up from where it runs, or
# symbols over the network (debuginfod), with the documents of a conversation in reach.
NO_DEBUGGER = {"GGML_NO_BACKTRACE": "1"}
# Measured on gradio 6.31.0, huggingface_hub 2.4.0, chromadb 1.5.9 and transformers 5.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "DO_NOT_TRACK": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",  # exactly so; Gradio ignores DO_NOT_TRACK
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "NO_PROXY": "localhost,127.0.0.1,::1",
    "no_proxy": "localhost,127.0.0.1,::1",
    **NO_DEBUGGER,
}
REMOVED = (
    "GRADIO_SHARE",
    "GRADIO_VIBE_MODE",
    "GRADIO_HISTORY_BUCKET",
    "GRADIO_ALLOWED_PATHS",
    "GRADIO_LOCAL_DEV_MODE",
    "GRADIO_WATCH_DIRS",
    "GRADIO_ROOT_PATH",
    "GRADIO_MCP_SERVER",
    "SPACE_ID",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "FTP_PROXY",
)


def quiet_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with every switch set that keeps our libraries silent; the rest is unchanged."""
    removed = {*REMOVED, *(name.lower() for name in REMOVED)}
    return {name: value for name, value in environ.items() if name not in removed} | QUIET
