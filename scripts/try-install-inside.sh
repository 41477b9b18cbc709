#!/bin/sh
# Of scripts/try-install.sh, run as root inside of the machine that it boots. Ends with the line ALL WELL, or without.
set -eu
exec >>/try/out/log 2>&1
say() { echo "   $*"; }
fail() { echo "FAILED: $*"; journalctl --no-pager -q -n 40 -u 'moonraker-obico*' 2>/dev/null || true; exit 1; }

echo "127.0.0.1 localhost $(hostname)" >>/etc/hosts # sudo asks for it
useradd --create-home --shell /bin/sh pi
echo "pi ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/pi
as_pi() { su - pi -c "$1"; }
names=printer
[ "${PRINTERS:-1}" = 1 ] || names="printer printer_2 printer_voron-2.4"
port=17125
for name in $names; do
    as_pi "mkdir -p ~/${name}_data/config ~/${name}_data/logs ~/${name}_data/gcodes
        printf '[server]\nhost: 0.0.0.0\nport: $port\n' >~/${name}_data/config/moonraker.conf
        printf 'klipper_mcu\nKlipperScreen\n' >~/${name}_data/moonraker.asvc"
    port=$((port + 1))
done
as_pi "sudo true; echo secret >~/secret; git clone -q /try/tree ~/obico"
mkdir -p /dev/serial/by-id
ln -s ../../null /dev/serial/by-id/usb-Klipper_rp2040_E66141040396A62A-if00
case $names in *\ *) agents=$(for name in $names; do echo "moonraker-obico@$name"; done) ;; *) agents=moonraker-obico ;; esac

# Every file of the system with mode, owner and content; not the machine's own diaries.
picture() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /try -o -path /var/log \
        -o -path /var/tmp -o -path /var/lib/systemd -o -path /var/cache \) -prune -o -printf '%p %y %m %U %G %l\n' | sort
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /try -o -path /var/log \
        -o -path /var/tmp -o -path /var/lib/systemd -o -path /var/cache \) -prune -o -type f -print0 |
        sort -z | xargs -0 sha256sum
}
until_true() {
    tries=0
    until eval "$1"; do
        tries=$((tries + 1))
        [ $tries -lt 120 ] || return 1
        sleep 0.25
    done
}
answers() {
    for name in $names; do
        as_pi "~/moonraker-obico-env/bin/moonraker-obico status -c ~/${name}_data/config/moonraker-obico.cfg" >/tmp/status || return 1
    done
}

pgrep_obico() { # how many agents run
    count=0
    for pid in /proc/[0-9]*; do
        if tr '\0' ' ' <"$pid/cmdline" 2>/dev/null | grep -q 'moonraker-obico run'; then count=$((count + 1)); fi
    done
    echo $count
}

for round in 1 2; do
    picture >/tmp/before
    as_pi "~/obico/install.sh --yes --wheelhouse /try/wheels" >/tmp/said 2>&1 || { cat /tmp/said; fail "install.sh, round $round"; }
    for agent in $agents; do
        until_true "systemctl is-active -q $agent" || { systemctl status --no-pager "$agent" || true; fail "$agent is not active"; }
    done
    until_true answers || { cat /tmp/status; fail "status does not answer"; }
    grep -q "not linked" /tmp/status || fail "status: $(cat /tmp/status)"
    first=${agents%%[ 
]*}
    pid=$(systemctl show -P MainPID "$first")
    [ "$(stat -c %U "/proc/$pid")" = pi ] || fail "it does not run as pi"
    nsenter -t "$pid" -m test ! -e /home/pi/secret || fail "the service sees the home folder"
    nsenter -t "$pid" -m sh -c ': 2>/dev/null >/home/pi/obico/x' 2>/dev/null && fail "the service can write to the checkout"
    # What tells this machine from a copy of its card is seen by the service as by `link` in a terminal.
    facts='import sys; sys.path.insert(0, "/home/pi/obico")
from agent_core.features.machine import machine_facts
print(sorted((kind, sorted(values)) for kind, values in machine_facts().items()))'
    su pi -s /usr/bin/python3 -- -B -c "$facts" >/tmp/facts
    nsenter -t "$pid" -m -S 1000 -G 1000 python3 -B -c "$facts" >/tmp/facts.service
    grep -q E66141040396A62A /tmp/facts || fail "the controller is not seen: $(cat /tmp/facts)"
    diff /tmp/facts /tmp/facts.service || fail "the service sees another machine"
    kill -9 "$pid"
    until_true "[ \"\$(systemctl show -P MainPID $first)\" != 0 ] && [ \"\$(systemctl show -P MainPID $first)\" != $pid ]" ||
        fail "it does not come back after kill -9"
    # A second copy waits for the first one, which somebody runs by hand.
    systemctl stop "$first"
    name=${names%% *}
    su - pi -c "exec ~/moonraker-obico-env/bin/moonraker-obico run -c ~/${name}_data/config/moonraker-obico.cfg" >/dev/null 2>&1 &
    until_true "as_pi '~/moonraker-obico-env/bin/moonraker-obico status -c ~/${name}_data/config/moonraker-obico.cfg' >/dev/null" ||
        fail "the copy by hand does not run"
    systemctl start "$first"
    until_true "systemctl show -P StatusText $first | grep -q '^waits: another copy'" || fail "the second copy does not wait"
    kill "$(cat "/home/pi/${name}_data/.moonraker-obico/lock")"
    until_true "systemctl show -P StatusText $first | grep -q '^server: '" || fail "it does not go on when the other has ended"
    say "round $round: installed, $(echo "$agents" | wc -w) agent(s) active, back after kill -9, one waits for a copy by hand, home hidden"

    rm -f /tmp/again
    picture >/tmp/installed
    as_pi "~/obico/install.sh --yes --wheelhouse /try/wheels" >/tmp/said 2>&1 || { cat /tmp/said; fail "install.sh again, round $round"; }
    grep -q "nothing was changed" /tmp/said || { cat /tmp/said; fail "the second run changed something"; }
    picture >/tmp/again
    diff /tmp/installed /tmp/again >/tmp/diff || { head -20 /tmp/diff; fail "the second run left a difference"; }

    as_pi "~/obico/install.sh --yes --uninstall --purge" >/tmp/said 2>&1 || { cat /tmp/said; fail "--uninstall, round $round"; }
    picture >/tmp/after
    diff /tmp/before /tmp/after >/tmp/diff || { head -20 /tmp/diff; fail "--uninstall left something"; }
    systemctl list-units --all --no-legend 'moonraker-obico*' | grep -v not-found && fail "a unit is left"
    say "round $round: second run changed nothing; after --uninstall $(wc -l </tmp/after) lines of the system's picture are the same"
done

# One printer, then three, then one again: each time install.sh makes of it what belongs there.
if [ "${PRINTERS:-1}" != 1 ]; then
    others="$(for name in $names; do [ "$name" = printer ] || echo "${name}_data"; done | tr '\n' ' ')"
    picture >/tmp/before
    as_pi "mkdir ~/away && mv $others away/ && ~/obico/install.sh --yes --wheelhouse /try/wheels" >/tmp/said 2>&1 || fail "one: $(cat /tmp/said)"
    until_true "systemctl is-active -q moonraker-obico" || fail "one printer: not active"
    single=$(systemctl show -P MainPID moonraker-obico)
    [ "$single" != 0 ] || fail "one printer: no process"
    as_pi "mv away/* . && ~/obico/install.sh --yes --wheelhouse /try/wheels" >/tmp/said 2>&1 || fail "three: $(cat /tmp/said)"
    for agent in $agents; do
        until_true "systemctl is-active -q $agent && [ \"\$(systemctl show -P MainPID $agent)\" != 0 ]" || fail "$agent is not active"
    done
    [ ! -d "/proc/$single" ] || fail "the agent of before still runs"
    as_pi "mv $others away/ && ~/obico/install.sh --yes --wheelhouse /try/wheels" >/tmp/said 2>&1 || fail "one again: $(cat /tmp/said)"
    [ "$(systemctl show -P MainPID moonraker-obico)" != 0 ] || fail "one again: no process"
    [ ! -e /etc/systemd/system/moonraker-obico@.service ] || fail "one again: the template is still there"
    [ "$(pgrep_obico)" = 1 ] || fail "one again: $(pgrep_obico) agents run"
    as_pi "mv away/* . && rmdir away && ~/obico/install.sh --yes --uninstall --purge" >/tmp/said 2>&1 || fail "--uninstall: $(cat /tmp/said)"
    picture >/tmp/after
    diff /tmp/before /tmp/after >/tmp/diff || { head -20 /tmp/diff; fail "one, three, one: something is left"; }
    say "one printer, then three, then one: as it should be each time, and nothing left"
fi
echo "ALL WELL"
