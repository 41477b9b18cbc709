"""Machines as they look to agent_core.features.machine: files below a folder."""

from __future__ import annotations

from pathlib import Path


def pi(root: Path, number: int) -> Path:
    """A Raspberry Pi's files, as far as they are read."""
    for path, text in {
        "sys/firmware/devicetree/base/serial-number": f"100000001234ab{number:02}\0",
        "sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/cpuinfo": f"processor\t: 0\n\nSerial\t\t: 100000001234ab{number:02}\n",
        "sys/block/mmcblk0/device/cid": f"1b534d4542315154{number:016}\n",
        "sys/block/mmcblk0/removable": "0\n",
        "sys/block/loop0/device/cid": "never\n",
        "sys/block/sda/removable": "1\n",
        "sys/block/sda/device/wwid": "a stick\n",
        "sys/class/net/eth0/address": f"dc:a6:32:00:00:{number:02}\n",
        "sys/class/net/eth0/addr_assign_type": "0\n",
        "sys/class/net/eth0/device/x": "",
        "sys/class/net/wlan0/address": "de:ad:be:ef:00:01\n",  # a random one
        "sys/class/net/wlan0/addr_assign_type": "3\n",
        "sys/class/net/wlan0/device/x": "",
        "sys/class/net/lo/address": "00:00:00:00:00:00\n",
        "sys/class/net/lo/addr_assign_type": "0\n",
        "dev/serial/by-id/usb-1a86_USB_Serial-if00-port0": "",
        f"dev/serial/by-id/usb-Klipper_stm32f446xx_2A00450008513131333539{number:02}-if00": "",
        "etc/machine-id": "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
    }.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root
