#!/bin/sh
# install.sh on a clean Debian 12 with a systemd of its own: `make try-install` (as root; 3 minutes, the first time 2 more).
#
# A root made by debootstrap is booted by systemd-nspawn on an overlay in memory, once for one printer and once for
# three. Inside, a user without rights but sudo clones this repository and runs install.sh twice and --uninstall, and all
# of that a second time; afterwards no file of the whole system may differ. The service is a real one: it must be active,
# come back after a kill -9, and see nothing of the home but what it needs.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
home=$here/.cache/try-install
base=$home/base
packages=python3,python3-venv,sudo,git,systemd,systemd-sysv,dbus
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

[ "$(id -u)" = 0 ] || { echo "root's rights are needed for debootstrap and systemd-nspawn" >&2; exit 1; }
missing=""
command -v debootstrap >/dev/null || missing="$missing debootstrap"
command -v systemd-nspawn >/dev/null || missing="$missing systemd-container"
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of words is meant
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing >/dev/null
fi
mkdir -p "$home"
if [ ! -e "$base/.complete" ]; then
    echo "Making a Debian 12 in $base (two minutes, once) …"
    rm -rf "$base"
    debootstrap --variant=minbase --include=$packages bookworm "$base" "$mirror" >"$home/debootstrap.log" 2>&1 ||
        { tail -5 "$home/debootstrap.log" >&2; exit 1; }
    touch "$base/.complete"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/try-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/wheels" "$work/out" "$work/tree"
"${PYTHON:-python3}" -m pip download -q --disable-pip-version-check --no-deps -d "$work/wheels" "websocket-client>=1.3"
# The sources as they are, committed or not, as a repository to be cloned.
git -C "$here" ls-files -z --cached --others --exclude-standard -- agent_core moonraker_obico install.sh .gitignore |
    (cd "$here" && xargs -0 cp -t "$work/tree" --parents)
git -c init.defaultBranch=main -C "$work/tree" init -q
git -C "$work/tree" add -A
git -C "$work/tree" -c user.name=try -c user.email=try@example.org commit -q -m "as it is"
chown -R 1000:1000 "$work/tree" # the user inside: git does not read other people's repositories
cp "$here/scripts/try-install-inside.sh" "$work/inside.sh"

status=0
for printers in ${*:-1 3}; do
    echo "== $printers printer(s)"
    begun=$(date +%s)
    : >"$work/out/log"
    # A boot of its own; the work is a service that turns the machine off at its end.
    timeout 400 systemd-nspawn --quiet --directory="$base" --volatile=overlay --register=no --keep-unit --boot \
        --bind-ro="$work/tree:/try/tree" --bind-ro="$work/wheels:/try/wheels" --bind="$work/out:/try/out" \
        --bind-ro="$work/inside.sh:/try/inside.sh" --bind-ro="$here/scripts/try-install.service:/etc/systemd/system/try-install.service" \
        systemd.unit=try-install.service systemd.setenv=PRINTERS="$printers" \
        >"$work/out/console" 2>&1 || true
    cat "$work/out/log"
    if grep -q '^ALL WELL$' "$work/out/log"; then
        echo "== $printers printer(s): well, in $(($(date +%s) - begun)) s"
    else
        echo "== $printers printer(s): FAILED"
        tail -20 "$work/out/console"
        status=1
    fi
done
exit $status
