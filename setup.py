"""Metadata, entry points and extras. Tool settings live in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
(VERSION,) = re.findall(r'VERSION = "(.+)"', (HERE / "agent_core/wire/version.py").read_text(encoding="utf-8"))

# The distribution keeps the public plugin's name: pip then replaces that plugin instead of
# leaving two distributions that both claim the plugin identifier `obico`.
setup(
    name="OctoPrint-Obico",
    version=VERSION,
    description="Watch and control 3D printers from afar: OctoPrint plugin, Klipper agent and self-hosted server",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="AGPL-3.0-or-later",
    author="The founding engineers",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: FastAPI",
        "Intended Audience :: End Users/Desktop",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Printing",
    ],
    python_requires=">=3.10,<4",
    packages=find_packages(
        include=["agent_core*", "octoprint_obico*", "moonraker_obico*", "reference_server*"]
    ),
    include_package_data=True,
    zip_safe=False,
    # Floors without caps: an OctoPrint plugin shares its environment with everybody else.
    install_requires=["websocket-client>=1.3"],
    extras_require={
        "vision": ["numpy>=1.23", "opencv-python-headless>=4.7"],
        "sentry": ["sentry-sdk>=1.40"],
        "client": ["httpx>=0.27"],
        "server": [
            "alembic>=1.12",
            "apprise>=1.9",
            "argon2-cffi>=23.1",
            "av>=14.0",
            "fastapi>=0.110",
            "httpx>=0.27",  # for obico-fleet beside the server; the server itself does not import it
            "orjson>=3.9",
            "pyotp>=2.9",
            "python-multipart>=0.0.18",
            "segno>=1.5",
            "sqlalchemy>=2.0.20",
            "starlette>=0.42",
            "tzdata>=2024.1",
            "uvicorn>=0.54",
            "uvloop>=0.19; platform_machine == 'x86_64' or platform_machine == 'aarch64'",
            "websockets>=12.0",
        ],
        "dev": [
            "aiosmtpd>=1.4",
            "babel>=2.12",
            "build>=1.0",
            "httpx>=0.27",
            "hypothesis>=6.100",
            "jinja2>=3.0",
            "jsonschema-rs>=0.30",
            "mypy>=1.10",
            "onnx>=1.16",
            "pillow>=10.1",
            "playwright>=1.45",
            "pymongo>=4.6",
            "pytest>=8.0",
            "pytest-cov>=5.0",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "requests>=2.28",
            "ruff>=0.6",
            "schemathesis>=4.0",
            "sentry-sdk>=1.40",
            "trustme>=1.1",
            "types-requests>=2.31",
        ],
    },
    entry_points={
        "octoprint.plugin": ["obico = octoprint_obico"],
        "console_scripts": [
            "moonraker-obico = moonraker_obico.__main__:main",
            "obico-fleet = reference_server.fleet_command:main",
            "obico-reference-server = reference_server.__main__:main",
        ],
    },
)
