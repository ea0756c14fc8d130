"""What the machine can do to a deployment: nginx, other people's files and containers, the database, the disk."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import docker
import pytest

from lab import github
from lab.certificates import make_certificate
from lab.house import House, house
from lab.images import busybox_image, remove_all
from lab.private_engine import private_engine
from lab.system_nginx import system_nginx
from lab.tenant import Tenant
from tests.system.checks import assert_failed, serving_slot, unharmed
from tests.system.conftest import MakeTenant, move_in

pytestmark = [pytest.mark.parts, pytest.mark.asyncio(loop_scope="module")]
