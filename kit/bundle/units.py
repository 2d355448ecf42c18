"""systemd units of an installation: one service, closed to all it does not need.

Text only; writes nothing. Invariant: the service reaches loopback and the networks it was given,
nothing else, and writes its data folder, nothing else.

Runs on Python 3.9 with the standard library alone.
"""

from __future__ import annotations

from kit.bundle.serving import Serving, checked_networks

SERVICE = "kit.service"


def service_unit(serving: Serving) -> str:
    """kit.service. `systemd-analyze security kit.service` says how closed it is."""
    allowed = " ".join(["localhost", *checked_networks(serving.networks)])
    return _UNIT.format(
        python=serving.root / "current" / "venv" / "bin" / "python",
        home=serving.home,
        user=serving.user,
        host=serving.host,
        port=serving.port,
        allowed=allowed,
    )


_UNIT = """\
[Unit]
Description=The kit: answers from your own documents
After=network.target

[Service]
Type=exec
User={user}
Group={user}
Environment=KIT_HOME={home} PYTHONNOUSERSITE=1
ExecStart={python} -I -m kit serve --host {host} --port {port}
Restart=on-failure
RestartSec=5
TimeoutStopSec=60
KillMode=mixed
OOMPolicy=continue
UMask=0077
# What it may reach: itself and the readers' networks.
IPAddressDeny=any
IPAddressAllow={allowed}
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
# What it may write: its data.
ProtectSystem=strict
ReadWritePaths={home}
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
PrivateUsers=true
# What it may do: run as it is.
NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectClock=true
ProtectHostname=true
ProtectProc=invisible
RestrictNamespaces=user net
RestrictRealtime=true
RestrictSUIDSGID=true
RemoveIPC=true
LockPersonality=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
