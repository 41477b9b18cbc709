#!/bin/sh
# Debian packages that some tests need. Installs what is missing where it may, else says what to type.
set -eu
missing=""
have() { command -v "$1" >/dev/null 2>&1; }
have chromium || missing="$missing chromium"
have ffprobe || missing="$missing ffmpeg"
have ip || missing="$missing iproute2"
have nft || have iptables || missing="$missing nftables"
have systemd-analyze || missing="$missing systemd"
have openssl || missing="$missing openssl"
ls /usr/lib/*/libsodium.so.* >/dev/null 2>&1 || ls /usr/lib/libsodium.so.* >/dev/null 2>&1 || missing="$missing libsodium23"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && have apt-get; then
    echo "Installing$missing …"
    # shellcheck disable=SC2086 # a list of words is meant
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing >/dev/null
else
    echo "Some tests need Debian packages that are missing. Type: sudo apt-get install$missing" >&2
    exit 1
fi
